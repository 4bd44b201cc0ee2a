//! What a plugin registered for one organization alone: of code that knows only then what it registers.
//!
//! Such a registration takes the place of the one that is the same for all. It is remembered, so that routes and
//! settings are known while no worker runs; while a worker serves, its own word counts.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use hayloft_manifest::registration;
use hayloft_model::{ContentHash, InstanceKey, WorkerId};
use hayloft_store::instance_registrations::InstanceRegistration;
use hayloft_workers::Refusal;
use hayloft_workers::protocol::FailureReason;
use serde_json::value::RawValue;

use super::known::{KnownPlugin, Registered};
use crate::Host;

/// How often one worker may change its mind. Each change is a write.
const MOST_CHANGES: u32 = 100;

/// The registrations of all instances that have one of their own.
#[derive(Default)]
pub(crate) struct OwnRegistrations {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// What was said last, by any worker.
    last: HashMap<InstanceKey, Own>,
    /// What running workers said.
    workers: HashMap<WorkerId, (Arc<Registered>, u32)>,
}

#[derive(Clone)]
struct Own {
    content_hash: ContentHash,
    registered: Arc<Registered>,
}

impl OwnRegistrations {
    /// Takes over what was registered in earlier runs of the host.
    pub(crate) fn recall(&self, stored: Vec<InstanceRegistration>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.last.extend(stored.into_iter().map(|stored| {
            let InstanceRegistration { key, content_hash, registration, problems, .. } = stored;
            (key, Own { content_hash, registered: Arc::new(Registered { registration, problems }) })
        }));
    }

    /// What the serving worker said, or else what the same code said last.
    fn get(
        &self,
        key: &InstanceKey,
        serving: Option<WorkerId>,
        content_hash: ContentHash,
    ) -> Option<Arc<Registered>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let said = serving.and_then(|worker| known.workers.get(&worker)).map(|(said, _)| said);
        let last = || known.last.get(key).filter(|own| own.content_hash == content_hash);
        said.or_else(|| last().map(|own| &own.registered)).cloned()
    }

    /// Whether other code said something here that this code has not said yet.
    fn is_outdated(&self, key: &InstanceKey, content_hash: ContentHash) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.last.get(key).is_some_and(|own| own.content_hash != content_hash)
    }

    /// Notes what a worker says. Gives whether it may say more.
    fn put(&self, key: &InstanceKey, worker: WorkerId, own: Own) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let changes = known.workers.get(&worker).map_or(0, |(_, changes)| *changes);
        known.workers.insert(worker, (Arc::clone(&own.registered), changes.saturating_add(1)));
        known.last.insert(key.clone(), own);
    }

    fn changes(&self, worker: WorkerId) -> u32 {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.workers.get(&worker).map_or(0, |(_, changes)| *changes)
    }

    /// A worker is no more. What it said last is still what is known of the instance.
    pub(crate) fn forget_worker(&self, worker: WorkerId) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).workers.remove(&worker);
    }

    /// An instance was purged.
    pub(crate) fn forget(&self, key: &InstanceKey) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).last.remove(key);
    }
}

impl Host {
    /// What the plugin registers for the organization of an instance, as far as that is known already.
    pub(crate) fn registered_for(&self, plugin: &KnownPlugin, key: &InstanceKey) -> Option<Arc<Registered>> {
        let own = plugin.package.as_ref().and_then(|package| {
            let serving = self.workers.serving(key).map(|worker| worker.id());
            self.own.get(key, serving, package.content_hash)
        });
        own.or_else(|| plugin.registered().cloned())
    }

    /// Whether only a new start tells what the plugin registers for the organization of an instance, since its code is
    /// another one by now.
    pub(crate) fn registers_anew(&self, plugin: &KnownPlugin, key: &InstanceKey) -> bool {
        plugin.package.as_ref().is_some_and(|package| self.own.is_outdated(key, package.content_hash))
    }

    /// Takes over what a worker registered for its organization, once it was checked like every registration.
    pub(crate) async fn update_registration(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        raw: &RawValue,
    ) -> Result<(), Refusal> {
        let refused = |message: &str| Refusal::new(FailureReason::Refused, message);
        let plugin = self.plugins.get(key.organization, &key.plugin);
        let Some((plugin, package)) =
            plugin.as_ref().and_then(|plugin| Some((plugin, plugin.package.as_ref()?)))
        else {
            return Err(refused("the plugin is not on this host any more"));
        };
        // One after the other, so that what is remembered is what was said last.
        let _turn = self.registering.take(key).await;
        if self.own.changes(worker) >= MOST_CHANGES {
            return Err(refused("the worker changed its registration too often"));
        }
        let (registration, problems) = registration::read(raw, &package.descriptor);
        for problem in &problems {
            tracing::warn!(instance = %key, at = problem.at, "{}", problem.message);
        }
        if problems.has_errors() {
            let reason = FailureReason::Configuration;
            let message = String::from("what the plugin registers for the organization is not valid");
            return Err(Refusal { reason, message, problems });
        }
        let registered = Arc::new(Registered { registration, problems });
        let content_hash = package.content_hash;
        if self.registered_for(plugin, key).is_none_or(|known| known.registration != registered.registration)
        {
            let Registered { registration, problems } = &*registered;
            let registrations = self.store.instance_registrations();
            registrations.put(key, content_hash, registration, problems).await.map_err(|error| {
                tracing::error!(instance = %key, %error, "failed to remember what a plugin registered for an organization");
                refused("the host could not remember the registration")
            })?;
        }
        self.own.put(key, worker, Own { content_hash, registered });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hayloft_model::{OrganizationId, Problems, Registration};
    use uuid::Uuid;

    use super::*;

    fn own(hash: u8, name: &str) -> Own {
        let registration = Registration { name: name.into(), ..Registration::default() };
        Own {
            content_hash: ContentHash::from_bytes([hash; 32]),
            registered: Arc::new(Registered { registration, problems: Problems::new() }),
        }
    }

    #[test]
    fn the_serving_workers_word_counts_and_then_the_last_one_of_the_same_code() {
        let table = OwnRegistrations::default();
        let key = |number| InstanceKey {
            organization: OrganizationId::from_uuid(Uuid::from_u128(number)),
            plugin: "a".parse().unwrap(),
        };
        let worker = |number| WorkerId::from_uuid(Uuid::from_u128(number));
        let name = |key: &InstanceKey, serving: Option<u128>, hash| {
            let registered = table.get(key, serving.map(worker), ContentHash::from_bytes([hash; 32]));
            registered.map(|registered| registered.registration.name.clone())
        };
        let (one, two) = (key(1), key(2));
        table.put(&one, worker(7), own(1, "old"));
        table.put(&one, worker(8), own(1, "candidate"));
        assert_eq!(name(&one, Some(7), 1).as_deref(), Some("old"));
        assert_eq!(name(&one, Some(8), 1).as_deref(), Some("candidate"));
        assert_eq!(name(&one, None, 1).as_deref(), Some("candidate"));
        assert_eq!(name(&one, None, 2), None);
        assert!(table.is_outdated(&one, ContentHash::from_bytes([2; 32])));
        assert!(!table.is_outdated(&one, ContentHash::from_bytes([1; 32])));
        assert_eq!(name(&two, None, 1), None);
        assert!(!table.is_outdated(&two, ContentHash::from_bytes([2; 32])));
        table.forget_worker(worker(7));
        assert_eq!(name(&one, Some(7), 1).as_deref(), Some("candidate"));
        table.forget(&one);
        assert_eq!(name(&one, None, 1), None);
    }
}
