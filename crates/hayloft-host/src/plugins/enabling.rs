//! Switch a plugin on as soon as it is ready: how that goes, and what is wished by now.
//!
//! Making ready takes minutes, and meanwhile people change their minds. Of all wishes for an instance the newest counts: it
//! takes up what an earlier one was still to save, and whoever carried the earlier one finds out that it is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hayloft_model::InstanceKey;
use hayloft_model::config::{ConfigValues, Credentials};
use hayloft_model::secret::MASK;

use super::registry::PluginKey;
use super::save::SavePlugin;

/// Instances that are switched on as soon as their plugin is ready, and those for which that failed.
#[derive(Clone, Default)]
pub(crate) struct Enabling(Arc<Mutex<Attempts>>);

#[derive(Default)]
struct Attempts {
    latest: u64,
    newest: HashMap<InstanceKey, Newest>,
}

/// The attempt that counts.
struct Newest {
    number: u64,
    attempt: Attempt,
    /// What is still to be saved.
    wish: Option<SavePlugin>,
}

/// How switching on goes, while the plugin is made ready first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The plugin is being made ready.
    Running,
    /// It is ready, and what was wished for is being saved.
    Saving,
    /// It failed, in words for a person. Nothing was stored.
    Failed(String),
}

/// An attempt that goes on. One that is dropped without its end is forgotten.
pub(crate) struct RunningAttempt {
    enabling: Enabling,
    key: InstanceKey,
    number: u64,
}

impl Enabling {
    /// How it goes, if somebody tries.
    pub(crate) fn of(&self, key: &InstanceKey) -> Option<Attempt> {
        self.attempts().newest.get(key).map(|newest| newest.attempt.clone())
    }

    /// Whether something is still to be saved once the plugin is ready.
    pub(crate) fn is_pending(&self, key: &InstanceKey) -> bool {
        self.attempts().newest.get(key).is_some_and(|newest| newest.wish.is_some())
    }

    /// Whether somebody waits for a plugin to be ready.
    pub(crate) fn is_wanted(&self, (plugin, owner): &PluginKey) -> bool {
        let attempts = self.attempts();
        let mut of = attempts
            .newest
            .iter()
            .filter(|(key, _)| key.plugin == *plugin && owner.is_none_or(|owner| owner == key.organization));
        of.any(|(_, newest)| newest.wish.is_some())
    }

    /// Begins an attempt, from which on no earlier one counts. Gives with it all that is to be saved: what is wished now,
    /// and what was wished before and is not said anew.
    pub(crate) fn begin(&self, key: &InstanceKey, wish: SavePlugin) -> (RunningAttempt, SavePlugin) {
        let mut attempts = self.attempts();
        attempts.latest += 1;
        let number = attempts.latest;
        let earlier = attempts.newest.remove(key).and_then(|earlier| earlier.wish);
        let wish = match earlier {
            Some(earlier) => after(earlier, wish),
            None => wish,
        };
        let newest = Newest { number, attempt: Attempt::Running, wish: Some(wish.clone()) };
        attempts.newest.insert(key.clone(), newest);
        (RunningAttempt { enabling: self.clone(), key: key.clone(), number }, wish)
    }

    /// No attempt counts any more, and nobody asks how the last one went.
    pub(crate) fn forget(&self, key: &InstanceKey) {
        self.attempts().newest.remove(key);
    }

    /// Nobody asks any more why the last attempt failed. One that goes on counts.
    pub(crate) fn forget_failure(&self, key: &InstanceKey) {
        let mut attempts = self.attempts();
        if matches!(attempts.newest.get(key), Some(Newest { attempt: Attempt::Failed(_), .. })) {
            attempts.newest.remove(key);
        }
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningAttempt {
    /// For which instance.
    pub(crate) const fn key(&self) -> &InstanceKey {
        &self.key
    }

    /// Whether nothing else was wished since.
    pub(crate) fn counts(&self) -> bool {
        self.enabling.attempts().newest.get(&self.key).is_some_and(|newest| newest.number == self.number)
    }

    /// The plugin is ready; what follows is what follows for every plugin.
    pub(crate) fn prepared(&self) {
        self.change(|newest| newest.attempt = Attempt::Saving);
    }

    /// What was wished is stored: what is wished from now on is a save like any other.
    pub(crate) fn saved(&self) {
        self.change(|newest| newest.wish = None);
    }

    /// It is over, and why it failed if it did.
    pub(crate) fn end(self, failed: Option<String>) {
        if let Some(reason) = failed {
            self.change(|newest| {
                newest.attempt = Attempt::Failed(reason);
                newest.wish = None;
            });
        }
    }

    fn change(&self, change: impl FnOnce(&mut Newest)) {
        let mut attempts = self.enabling.attempts();
        if let Some(newest) = attempts.newest.get_mut(&self.key).filter(|newest| newest.number == self.number)
        {
            change(newest);
        }
    }
}

impl Drop for RunningAttempt {
    fn drop(&mut self) {
        let mut attempts = self.enabling.attempts();
        let goes_on = attempts.newest.get(&self.key).is_some_and(|newest| {
            newest.number == self.number && matches!(newest.attempt, Attempt::Running | Attempt::Saving)
        });
        if goes_on {
            attempts.newest.remove(&self.key);
        }
    }
}

/// One wish that says what two say one after the other.
fn after(earlier: SavePlugin, later: SavePlugin) -> SavePlugin {
    SavePlugin {
        enabled: later.enabled.or(earlier.enabled),
        config: match (earlier.config, later.config) {
            (Some(earlier), Some(later)) => Some(over(earlier, &later)),
            (earlier, later) => later.or(earlier),
        },
        auth: match (earlier.auth, later.auth) {
            (Some(earlier), Some(later)) if earlier.method_id == later.method_id => {
                Some(Credentials { values: over(earlier.values, &later.values), method_id: later.method_id })
            }
            (earlier, later) => later.or(earlier),
        },
    }
}

/// Both changes as one: what clears a field still clears it, and the mask keeps what the earlier one says.
fn over(mut earlier: ConfigValues, later: &ConfigValues) -> ConfigValues {
    for (field, value) in later.iter() {
        if value.as_str() != Some(MASK) || earlier.get(field).is_none() {
            earlier.insert(field, value.clone());
        }
    }
    earlier
}

#[cfg(test)]
mod tests {
    use hayloft_model::OrganizationId;
    use serde_json::{Value, json};

    use super::*;

    fn key() -> InstanceKey {
        InstanceKey {
            organization: OrganizationId::from_uuid(uuid::Uuid::nil()),
            plugin: "hay-plugin-test".parse().unwrap(),
        }
    }

    fn values(value: Value) -> ConfigValues {
        value.as_object().unwrap().clone().into_iter().collect()
    }

    fn on(config: Value) -> SavePlugin {
        SavePlugin { enabled: Some(true), config: Some(values(config)), auth: None }
    }

    #[test]
    fn the_newest_attempt_counts_and_takes_up_what_was_not_saved_yet() {
        let (enabling, key) = (Enabling::default(), key());
        let (first, _) = enabling.begin(&key, on(json!({ "a": 1, "b": 1, "s": "secret" })));
        assert!(first.counts() && enabling.is_pending(&key));
        let change = values(json!({ "b": null, "c": 2, "s": MASK, "t": MASK }));
        let (second, wish) =
            enabling.begin(&key, SavePlugin { config: Some(change), ..SavePlugin::default() });
        assert!(!first.counts() && second.counts());
        assert_eq!(wish.enabled, Some(true));
        let all = json!({ "a": 1, "b": null, "c": 2, "s": "secret", "t": MASK });
        assert_eq!(wish.config, Some(values(all)));

        // Whatever becomes of the first one changes nothing.
        first.prepared();
        first.end(Some("it broke".into()));
        assert_eq!(enabling.of(&key), Some(Attempt::Running));
        second.saved();
        assert!(!enabling.is_pending(&key));
        let (third, wish) = enabling.begin(&key, on(json!({ "d": 4 })));
        assert_eq!(wish.config, Some(values(json!({ "d": 4 }))), "what is stored is not wished any more");
        drop(second);
        third.prepared();
        assert_eq!(enabling.of(&key), Some(Attempt::Saving));
        enabling.forget_failure(&key);
        assert!(third.counts());
        enabling.forget(&key);
        assert!(!third.counts());
        third.end(Some("too late".into()));
        assert_eq!(enabling.of(&key), None);
    }

    #[test]
    fn credentials_of_another_method_take_the_place_of_the_earlier_ones() {
        let auth = |method: &str, value: Value| SavePlugin {
            auth: Some(Credentials { method_id: method.into(), values: values(value) }),
            ..SavePlugin::default()
        };
        let both = after(auth("key", json!({ "a": "1" })), auth("key", json!({ "b": "2" }))).auth.unwrap();
        assert_eq!(both.values, values(json!({ "a": "1", "b": "2" })));
        let other = after(auth("key", json!({ "a": "1" })), auth("basic", json!({ "b": "2" }))).auth.unwrap();
        assert_eq!((other.method_id.as_str(), other.values), ("basic", values(json!({ "b": "2" }))));
    }
}
