//! Switch a plugin on, give it settings and credentials.
//!
//! All problems of the values are found at once and then nothing is stored. Otherwise the values become a revision,
//! and a candidate worker shows whether they work (`swap`).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hayloft_model::config::{ConfigValues, Credentials, check};
use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Problem, Problems, Registration, Scope};
use hayloft_store::configurations::{Current, NewConfiguration, SaveError};
use hayloft_store::instances::InstanceChange;
use serde_json::Value;
use tokio::sync::oneshot;

use super::enabling::RunningAttempt;
use super::known::{KnownPlugin, Preparing, Unusable};
use super::view::PluginDetail;
use crate::access::Denied;
use crate::config::credentials;
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// What is to change. What is absent stays.
#[derive(Clone, Debug, Default)]
pub struct SavePlugin {
    /// Whether the plugin is on.
    pub enabled: Option<bool>,
    /// Settings: `null` clears one, the mask keeps it.
    pub config: Option<ConfigValues>,
    /// The chosen auth method and what it needs.
    pub auth: Option<Credentials>,
}

/// What came of a save.
#[derive(Clone, Debug)]
pub struct SaveOutcome {
    /// The plugin as it is now.
    pub detail: PluginDetail,
    /// Whether the candidate's verdict is still to come.
    pub pending: bool,
}

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub enum SavePluginError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// The plugin or the values cannot be used.
    #[error("the plugin or its settings are not valid")]
    Invalid(Problems),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Saves what is given. The answer waits a while for the plugin to run on it.
    ///
    /// # Errors
    /// See [`SavePluginError`]. When it is an error, nothing was stored.
    pub async fn save_plugin(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
        wish: SavePlugin,
    ) -> Result<SaveOutcome, SavePluginError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let (plugin, key) = self.plugins.named_or(organization, id, SavePluginError::UnknownPlugin)?;
        self.save_prepared(caller, plugin, key, wish, self.deadlines.save_answer).await
    }

    /// Saves once the plugin is ready to run, and waits for so long for that and for the plugin to run on it.
    pub(super) async fn save_prepared(
        &self,
        caller: &Caller,
        plugin: Arc<KnownPlugin>,
        key: InstanceKey,
        wish: SavePlugin,
        wait: Duration,
    ) -> Result<SaveOutcome, SavePluginError> {
        let (host, caller) = (self.clone(), caller.clone());
        // Whatever came of an earlier attempt: this one counts.
        self.enabling.forget_failure(&key);
        if wish.enabled == Some(false) {
            self.drop_wish(&key).await;
        }
        // What is still to be saved is saved together with this, so that neither passes the other.
        if self.enabling.is_pending(&key) || self.must_be_prepared(&key, &plugin, wish.enabled).await {
            return self.save_once_prepared(caller, plugin, key, wish, wait).await;
        }
        uninterrupted(async move {
            let outcome = host.save_in_turn(&caller, &plugin, &key, wish, wait, None).await;
            host.forget_wish(&key).await;
            outcome
        })
        .await
    }

    /// Makes the plugin ready and then saves. The answer waits a while for both; they go on without it.
    async fn save_once_prepared(
        &self,
        caller: Caller,
        plugin: Arc<KnownPlugin>,
        key: InstanceKey,
        wish: SavePlugin,
        wait: Duration,
    ) -> Result<SaveOutcome, SavePluginError> {
        let host = self.clone();
        let (kept, is_kept) = oneshot::channel();
        let work = {
            let (plugin, key) = (Arc::clone(&plugin), key.clone());
            async move {
                let (attempt, wish) = host.begin_wish(&key, &caller, wish).await?;
                // Whoever went away needs no word.
                let _ = kept.send(());
                let (plugin, prepared) = host.prepare_newest(plugin, &attempt).await;
                let outcome = match prepared {
                    Ok(()) => {
                        attempt.prepared();
                        host.save_in_turn(&caller, &plugin, &key, wish, wait, Some(&attempt)).await
                    }
                    // It was called off since.
                    Err(_) if !attempt.counts() => host.overtaken(&plugin, &key).await,
                    Err(unusable) => Err(SavePluginError::Invalid(unusable.problems)),
                };
                let failed = outcome.as_ref().err().map(|error| match error {
                    SavePluginError::Invalid(problems) => problems.to_string(),
                    other => other.to_string(),
                });
                host.end_wish(attempt, failed).await;
                // Nobody waits for that.
                tokio::spawn(async move { host.tidy_versions().await });
                outcome
            }
        };
        let mut work = pin!(uninterrupted(work));
        // Before anybody is told that it goes on it is kept, so that it does even if this host ends meanwhile.
        tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            _ = is_kept => {}
        }
        match tokio::time::timeout(wait, work).await {
            Ok(outcome) => outcome,
            Err(_) => self.outcome(&plugin, &key, true).await,
        }
    }

    /// Makes the plugin ready as it is in the end: its folder may hold something else by the time that it is.
    async fn prepare_newest(
        &self,
        mut plugin: Arc<KnownPlugin>,
        attempt: &RunningAttempt,
    ) -> (Arc<KnownPlugin>, Result<(), Unusable>) {
        let key = attempt.key();
        loop {
            let prepared = self.prepare(&plugin).await;
            let now = self.plugins.get(key.organization, &key.plugin);
            match now.filter(|now| now.content_hash() != plugin.content_hash()) {
                Some(now) if prepared.is_err() && attempt.counts() => plugin = now,
                _ => return (plugin, prepared),
            }
        }
    }

    /// Writes what is wished when it is the instance's turn, and waits for so long for the plugin to run on it.
    async fn save_in_turn(
        &self,
        caller: &Caller,
        plugin: &KnownPlugin,
        key: &InstanceKey,
        wish: SavePlugin,
        wait: Duration,
        attempt: Option<&RunningAttempt>,
    ) -> Result<SaveOutcome, SavePluginError> {
        let writing = self.writing.take(key).await;
        if attempt.is_some_and(|attempt| !attempt.counts()) {
            drop(writing);
            return self.overtaken(plugin, key).await;
        }
        // It may have been removed while it was made ready.
        if self.plugins.get(key.organization, &key.plugin).is_none() {
            return Err(SavePluginError::UnknownPlugin(key.plugin.clone()));
        }
        let before = self.instances.get(key);
        let was_enabled = before.as_ref().is_some_and(|instance| instance.enabled);
        let enabled = wish.enabled.unwrap_or(was_enabled);
        let registered =
            plugin.register(self.asked(), Preparing::Installed).await.map_err(SavePluginError::Invalid)?;
        if enabled && registered.problems.has_errors() {
            return Err(SavePluginError::Invalid(registered.problems.clone()));
        }
        let registered = self.registered_for(plugin, key).unwrap_or(registered);
        let is_free = plugin.descriptor().is_some_and(|descriptor| descriptor.free_settings);
        let others = if is_free { OtherSettings::Taken } else { OtherSettings::Refused };
        let change = InstanceChange::new().enabled(enabled);
        let change = match &plugin.package {
            Some(package) => change.content_hash(package.content_hash),
            None => change,
        };
        let saved = self
            .store
            .configurations()
            .save(key, caller, |current| prepare(&wish, current, &registered.registration, others, change))
            .await
            .map_err(|error| match error {
                SaveError::Refused(problems) => SavePluginError::Invalid(problems),
                SaveError::Configuration(error) => StoreError::from(error).into(),
                SaveError::Instance(error) => StoreError::from(error).into(),
            })?;
        if let Some(attempt) = attempt {
            attempt.saved();
        }
        self.applied.before(key, was_enabled);
        self.instances.saved(saved.instance);
        if enabled
            && !was_enabled
            && let Some(descriptor) = plugin.descriptor()
        {
            // What it asked for when somebody wanted it on is what that person granted.
            self.grant_all(key, descriptor, Some(caller)).await?;
        }
        drop(writing);

        if enabled && !self.declared_tools(key).is_empty() {
            // What is declared is listed before anything runs, and even if nothing can.
            self.load_tools(key).await?;
        }
        // What is off is told when it is off; a plugin that is on has so long to show whether it works.
        let wait = enabled.then_some(wait);
        let pending = self.follow(key.clone(), wait).await;
        self.outcome(plugin, key, pending).await
    }

    /// Something else is wished by now.
    async fn overtaken(
        &self,
        plugin: &KnownPlugin,
        key: &InstanceKey,
    ) -> Result<SaveOutcome, SavePluginError> {
        tracing::info!(instance = %key, "what was wished for a plugin was overtaken while it was made ready");
        self.outcome(plugin, key, self.enabling.is_pending(key)).await
    }

    async fn outcome(
        &self,
        plugin: &KnownPlugin,
        key: &InstanceKey,
        pending: bool,
    ) -> Result<SaveOutcome, SavePluginError> {
        let instance = self.instances.get(key);
        let detail = self.plugin_detail(key.organization, plugin, instance.as_deref()).await?;
        Ok(SaveOutcome { detail, pending })
    }

    /// Has the processes follow the row. Gives whether that is still open after the waiting time, if there is one.
    async fn follow(&self, key: InstanceKey, wait: Option<Duration>) -> bool {
        let host = self.clone();
        // A task of its own, so that the waiting time does not end it half way.
        let work = tokio::spawn(async move { host.reconcile(&key).await });
        let ended = match wait {
            Some(wait) => tokio::time::timeout(wait, work).await,
            None => Ok(work.await),
        };
        match ended {
            Ok(Ok(())) => false,
            Ok(Err(error)) => {
                tracing::error!(%error, "the trial of a configuration ended early");
                false
            }
            Err(_) => true,
        }
    }
}

/// What becomes of settings that the plugin's schema does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OtherSettings {
    /// They are wrong.
    Refused,
    /// They are as good as any.
    Taken,
}

/// The settings and credentials after the change, or everything that is wrong with it.
fn prepare(
    wish: &SavePlugin,
    current: Current<'_>,
    registration: &Registration,
    others: OtherSettings,
    instance: InstanceChange,
) -> Result<NewConfiguration, Problems> {
    let stored_values = current.configuration.map(|stored| stored.values.clone()).unwrap_or_default();
    let stored_credentials = current.configuration.and_then(|stored| stored.credentials.as_ref());
    let schema = &registration.config_schema;
    let change = wish.config.clone().unwrap_or_default();
    let mut values = stored_values.merged(&change);
    // Settings that an older version of the plugin had are not this person's mistake; they go with the next save.
    let strangers: Vec<String> = values
        .iter()
        .map(|(name, _)| name)
        .filter(|name| schema.field(name).is_none())
        .filter(|name| others == OtherSettings::Refused && change.get(name).is_none())
        .map(str::to_owned)
        .collect();
    for stranger in &strangers {
        values.remove(stranger);
    }
    let mut problems = match others {
        OtherSettings::Refused => check(&values, schema, "config."),
        OtherSettings::Taken => {
            let named = values.iter().filter(|(name, _)| schema.field(name).is_some());
            check(&named.map(|(name, value)| (name.to_owned(), value.clone())).collect(), schema, "config.")
        }
    };
    let of_auth = wish.auth.as_ref().map(|auth| &auth.values);
    for (place, given) in [("config", wish.config.as_ref()), ("auth.credentials", of_auth)] {
        for (name, value) in given.into_iter().flat_map(ConfigValues::iter) {
            refuse_prototypes(&format!("{place}.{name}"), name, value, &mut problems);
        }
    }
    let credentials = match &wish.auth {
        Some(auth) => {
            problems.extend(credentials::check(auth, stored_credentials, registration));
            Some(credentials::merged(stored_credentials, auth))
        }
        None => stored_credentials.cloned(),
    };
    if problems.has_errors() { Err(problems) } else { Ok(NewConfiguration { values, credentials, instance }) }
}

/// A key that reaches into the prototype of every object where JavaScript copies it carelessly. No setting has it.
fn refuse_prototypes(at: &str, name: &str, value: &Value, problems: &mut Problems) {
    if name == "__proto__" {
        let problem = Problem::error(at, "is no name of a setting");
        problems.push(problem.hint("remove it: in JavaScript it reaches into the prototype of every object"));
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                refuse_prototypes(&format!("{at}.{name}"), name, value, problems);
            }
        }
        Value::Array(items) => {
            for (number, value) in items.iter().enumerate() {
                refuse_prototypes(&format!("{at}.{number}"), "", value, problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
