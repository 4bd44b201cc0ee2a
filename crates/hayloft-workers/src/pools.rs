//! How many organizations may have workers of each plugin: as the configuration says, unless somebody chose otherwise
//! since.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use hayloft_model::PluginId;

use crate::PoolLimits;

/// The workers of a plugin over all organizations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The plugin.
    pub plugin: PluginId,
    /// How many organizations may have workers of it.
    pub limit: NonZeroUsize,
    /// What was chosen beside the configuration.
    pub chosen: Option<NonZeroUsize>,
    /// How many have.
    pub in_use: usize,
    /// How many starts wait for a place.
    pub waiting: usize,
}

/// The limits of all pools.
#[derive(Debug)]
pub(crate) struct Pools {
    configured: PoolLimits,
    chosen: HashMap<PluginId, NonZeroUsize>,
}

impl Pools {
    pub(crate) fn new(configured: PoolLimits) -> Self {
        Self { configured, chosen: HashMap::new() }
    }

    /// Chooses for a plugin, or leaves it to the configuration.
    pub(crate) fn choose(&mut self, plugin: PluginId, workers: Option<NonZeroUsize>) {
        match workers {
            Some(workers) => self.chosen.insert(plugin, workers),
            None => self.chosen.remove(&plugin),
        };
    }

    pub(crate) fn chosen(&self, plugin: &PluginId) -> Option<NonZeroUsize> {
        self.chosen.get(plugin).copied()
    }

    /// How many workers of this plugin there may be.
    pub(crate) fn of(&self, plugin: &PluginId) -> NonZeroUsize {
        self.chosen(plugin).unwrap_or_else(|| self.configured.of(plugin))
    }

    /// Whether its workers are never stopped because nobody uses them.
    pub(crate) fn is_kept_alive(&self, plugin: &PluginId) -> bool {
        self.configured.keep_alive.contains(plugin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_counts_until_it_is_taken_back() {
        let [one, two]: [PluginId; 2] = ["hay-plugin-a", "hay-plugin-b"].map(|id| id.parse().unwrap());
        let number = |number| NonZeroUsize::new(number).unwrap();
        let mut configured = PoolLimits { workers: number(10), ..PoolLimits::default() };
        configured.by_plugin.insert(one.clone(), number(2));
        let mut pools = Pools::new(configured);
        assert_eq!((pools.of(&one), pools.of(&two)), (number(2), number(10)));
        pools.choose(one.clone(), Some(number(7)));
        pools.choose(two.clone(), Some(number(1)));
        assert_eq!((pools.of(&one), pools.of(&two)), (number(7), number(1)));
        pools.choose(one.clone(), None);
        assert_eq!(
            (pools.of(&one), pools.chosen(&one), pools.chosen(&two)),
            (number(2), None, Some(number(1)))
        );
    }
}
