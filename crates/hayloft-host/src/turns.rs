//! One change at a time for each instance, or for whatever else is changed: saves, disables and purges of the same
//! instance take turns.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use hayloft_model::InstanceKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of all instances, or of all others of a kind.
pub(crate) struct Turns<K = InstanceKey> {
    all: Mutex<HashMap<K, Arc<Semaphore>>>,
    disabling: Mutex<HashSet<K>>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { all: Mutex::default(), disabling: Mutex::default() }
    }
}

/// Holds the others back until it is dropped.
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Waits for the turn of one, first come first served.
    pub(crate) async fn take(&self, key: &K) -> Turn {
        let turns = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever waits holds a clone, so what only the map knows is free to go.
            all.retain(|_, turns| Arc::strong_count(turns) > 1 || turns.available_permits() == 0);
            Arc::clone(all.entry(key.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        // The semaphore is never closed, so there always is a permit to wait for.
        Turn { _permit: turns.acquire_owned().await.ok() }
    }
}

impl Turns {
    /// While the guard lives, the instance may be started although it is switched off: its `onDisable` must run.
    pub(crate) fn disabling(self: &Arc<Self>, key: &InstanceKey) -> Disabling {
        self.disabling.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        Disabling { turns: Arc::clone(self), key: key.clone() }
    }

    pub(crate) fn is_disabling(&self, key: &InstanceKey) -> bool {
        self.disabling.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}

/// See [`Turns::disabling`].
pub(crate) struct Disabling {
    turns: Arc<Turns>,
    key: InstanceKey,
}

impl Drop for Disabling {
    fn drop(&mut self) {
        self.turns.disabling.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use hayloft_model::OrganizationId;

    use super::*;

    #[tokio::test]
    async fn the_same_instance_waits_and_another_does_not() {
        let turns = Turns::default();
        let key = |plugin: &str| InstanceKey {
            organization: OrganizationId::from_uuid(uuid::Uuid::nil()),
            plugin: plugin.parse().unwrap(),
        };
        let first = turns.take(&key("a")).await;
        let _other = turns.take(&key("b")).await;
        let (a, b) = (key("a"), key("c"));
        let mut second = Box::pin(turns.take(&a));
        assert!(poll!(&mut second).is_pending());
        drop(turns.take(&b).await);
        assert!(poll!(&mut second).is_pending());
        drop(first);
        assert!(poll!(&mut second).is_ready());
    }
}
