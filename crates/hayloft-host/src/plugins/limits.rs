//! Whether a plugin may have as much of the machine as it asks for. Too much is refused and never cut down: a plugin
//! that gets less than it needs fails later, and nobody knows why.

use std::collections::HashMap;

use hayloft_model::plugin::{LimitName, PluginLimits};
use hayloft_model::{PluginDescriptor, PluginId, Problem, Problems};

/// What the operator decided about limits of single plugins.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedLimits {
    /// The most that any plugin may ask for.
    pub(crate) maximum: PluginLimits,
    /// What was set for single plugins. It wins over what they ask for, which then does not count.
    pub(crate) set: HashMap<PluginId, PluginLimits>,
}

impl AllowedLimits {
    /// What the plugin asks for and may not have.
    pub(crate) fn problems(&self, plugin: &PluginDescriptor) -> Problems {
        let set = self.set.get(&plugin.id).copied().unwrap_or_default();
        let refused = |name: LimitName| {
            let (asked, maximum) = (plugin.limits.get(name)?, self.maximum.get(name)?);
            let counts = set.get(name).is_none();
            (counts && asked > maximum).then(|| {
                let place = hayloft_manifest::limit_place(plugin, name);
                let (asked, maximum) = (name.show(asked), name.show(maximum));
                Problem::error(place, format!("asks for {asked}, and this host allows at most {maximum}")).hint(format!(
                    "the operator can raise `limits.maximum_worker_{name}`, or set `plugins.limits.\"{}\".{name}`; \
                     the plugin's author can ask for less",
                    plugin.id
                ))
            })
        };
        LimitName::ALL.into_iter().filter_map(refused).collect()
    }
}

#[cfg(test)]
mod tests {
    use hayloft_model::plugin::{FormatName, Runtime};

    use super::*;

    #[test]
    fn too_much_is_refused_unless_the_operator_set_something_else() {
        let descriptor = PluginDescriptor {
            limits: PluginLimits {
                memory: Some(3 << 30),
                tasks: Some(100),
                processor: Some(101),
                temporary: None,
            },
            ..PluginDescriptor::new(
                "hay-plugin-a".parse().unwrap(),
                "1.0.0",
                FormatName("any".into()),
                Runtime::Node { entry: "index.js".into() },
            )
        };
        let maximum = PluginLimits {
            memory: Some(2 << 30),
            tasks: Some(100),
            processor: Some(100),
            temporary: Some(1),
        };
        let mut allowed = AllowedLimits { maximum, set: HashMap::new() };
        let said = allowed.problems(&descriptor).to_string();
        assert_eq!(said.matches("asks for").count(), 2, "{said}");
        assert!(said.contains("limits.memory: asks for 3GiB, and this host allows at most 2GiB"), "{said}");
        assert!(said.contains("`limits.maximum_worker_memory`"), "{said}");
        assert!(said.contains("limits.processor: asks for 101, and this host allows at most 100"), "{said}");

        let set = PluginLimits { memory: Some(1 << 30), processor: Some(50), ..PluginLimits::default() };
        allowed.set.insert(descriptor.id.clone(), set);
        assert!(allowed.problems(&descriptor).is_empty());
        assert!(AllowedLimits::default().problems(&descriptor).is_empty());
    }
}
