//! How many organizations have workers of each plugin.
//!
//! An organization has one place in a plugin's pool, from the start of its first worker until its last one is gone,
//! however many it has in between: one with newer settings beside the one that serves, and those that drain.

use std::collections::HashMap;

use hayloft_model::{InstanceKey, OrganizationId, PluginId};

/// The places that are taken.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: HashMap<PluginId, HashMap<OrganizationId, usize>>,
}

impl Places {
    /// Notes another worker of an instance.
    pub(crate) fn take(&mut self, key: &InstanceKey) {
        *self.taken.entry(key.plugin.clone()).or_default().entry(key.organization).or_default() += 1;
    }

    /// Notes that a worker of an instance is gone.
    pub(crate) fn give_back(&mut self, key: &InstanceKey) {
        let Some(plugin) = self.taken.get_mut(&key.plugin) else { return };
        if let Some(workers) = plugin.get_mut(&key.organization) {
            *workers -= 1;
            if *workers == 0 {
                plugin.remove(&key.organization);
            }
        }
        if plugin.is_empty() {
            self.taken.remove(&key.plugin);
        }
    }

    /// Whether an instance has its place.
    pub(crate) fn has(&self, key: &InstanceKey) -> bool {
        self.taken.get(&key.plugin).is_some_and(|plugin| plugin.contains_key(&key.organization))
    }

    /// How many places of a plugin's pool are taken.
    pub(crate) fn of(&self, plugin: &PluginId) -> usize {
        self.taken.get(plugin).map_or(0, HashMap::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organization_has_one_place_until_its_last_worker_is_gone() {
        let key = |organization: u8, plugin: &str| InstanceKey {
            organization: format!("org_{organization:032x}").parse().unwrap(),
            plugin: plugin.parse().unwrap(),
        };
        let mut places = Places::default();
        let plugin = "hay-plugin-a".parse().unwrap();
        for of in [key(1, "hay-plugin-a"), key(1, "hay-plugin-a"), key(2, "hay-plugin-a"), key(1, "other")] {
            places.take(&of);
        }
        assert_eq!(places.of(&plugin), 2);
        places.give_back(&key(1, "hay-plugin-a"));
        assert!(places.has(&key(1, "hay-plugin-a")));
        places.give_back(&key(1, "hay-plugin-a"));
        assert!(!places.has(&key(1, "hay-plugin-a")));
        places.give_back(&key(2, "hay-plugin-a"));
        places.give_back(&key(2, "hay-plugin-a"));
        places.give_back(&key(1, "other"));
        assert_eq!(places.of(&plugin), 0);
        assert!(places.taken.is_empty());
    }
}
