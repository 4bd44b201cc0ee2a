//! Who looks at a version, and who exchanges it: many at a time, or one alone. Each version is a matter of its own, so
//! nobody waits for what happens to another one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use hayloft_model::{ContentHash, PluginId};

/// The locks of all versions that somebody looks at.
#[derive(Debug, Default)]
pub(crate) struct Exchanging(Mutex<HashMap<Version, Weak<RwLock<()>>>>);

type Version = (PluginId, ContentHash);

impl Exchanging {
    /// The lock of a version, the same for all who have it at the same time.
    pub(crate) fn of(&self, plugin: &PluginId, hash: ContentHash) -> Arc<RwLock<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (plugin.clone(), hash);
        if let Some(lock) = locks.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        locks.insert(key, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_at_one_version_waits_for_nobody_at_another() {
        let exchanging = Exchanging::default();
        let plugin = |name: &str| name.parse::<PluginId>().unwrap();
        let hash = |number: u8| ContentHash::from_bytes([number; 32]);
        let held = exchanging.of(&plugin("a"), hash(1));
        let alone = held.write().unwrap();
        assert!(exchanging.of(&plugin("a"), hash(1)).try_read().is_err(), "the same version waits");
        assert!(exchanging.of(&plugin("a"), hash(2)).try_read().is_ok());
        assert!(exchanging.of(&plugin("b"), hash(1)).try_write().is_ok());
        drop(alone);
        assert!(exchanging.of(&plugin("a"), hash(1)).try_read().is_ok());
        drop(held);
        drop(exchanging.of(&plugin("c"), hash(1)));
        assert_eq!(exchanging.0.lock().unwrap().len(), 1, "what nobody holds is forgotten");
    }
}
