//! The host's own environment variables, and which of them a plugin may read.

use std::collections::{BTreeSet, HashMap};

use hayloft_model::{PluginDescriptor, PluginId, Secret};

/// The environment that the binary found, with the operator's grants. Nothing of it reaches a worker but the names
/// that the plugin's manifest lists.
#[derive(Default)]
pub struct HostEnvironment {
    /// Every variable by name.
    pub variables: HashMap<String, Secret<String>>,
    /// Names that look like secrets of the host and that the operator lets this one plugin read all the same.
    pub grants: HashMap<PluginId, BTreeSet<String>>,
}

impl HostEnvironment {
    /// The variables that the plugin may read and that have a value.
    pub(crate) fn allowed<'a>(
        &'a self,
        descriptor: &'a PluginDescriptor,
    ) -> impl Iterator<Item = (&'a str, &'a Secret<String>)> {
        descriptor
            .env
            .iter()
            .filter(|name| self.is_granted(&descriptor.id, name))
            .filter_map(|name| Some((name.as_str(), self.variables.get(name)?)))
    }

    /// Whether the operator lets a plugin have a variable of this name, if it asks for it.
    pub(crate) fn is_granted(&self, plugin: &PluginId, name: &str) -> bool {
        !hayloft_manifest::needs_grant(name)
            || self.grants.get(plugin).is_some_and(|names| names.contains(name))
    }

    /// The value of one variable, if the plugin may read it.
    pub(crate) fn get<'a>(
        &'a self,
        descriptor: &'a PluginDescriptor,
        name: &str,
    ) -> Option<&'a Secret<String>> {
        self.allowed(descriptor).find(|(allowed, _)| *allowed == name).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use hayloft_model::plugin::{FormatName, Runtime};

    use super::*;

    #[test]
    fn a_plugin_reads_what_it_lists_and_what_is_granted() {
        let descriptor = PluginDescriptor {
            env: ["A_KEY", "A_UNSET", "DB_PASSWORD", "AWS_REGION"].map(String::from).into(),
            ..PluginDescriptor::new(
                "hay-plugin-a".parse().unwrap(),
                "1.0.0",
                FormatName("any".into()),
                Runtime::Node { entry: "index.js".into() },
            )
        };
        let variables = ["A_KEY", "DB_PASSWORD", "AWS_REGION", "PATH"]
            .map(|name| (name.to_owned(), Secret::new(format!("{name}!"))))
            .into();
        let grants = HashMap::from([(descriptor.id.clone(), BTreeSet::from(["AWS_REGION".to_owned()]))]);
        let environment = HostEnvironment { variables, grants };

        let names: Vec<_> = environment.allowed(&descriptor).map(|(name, _)| name).collect();
        assert_eq!(names, ["A_KEY", "AWS_REGION"]);
        assert_eq!(
            environment.get(&descriptor, "A_KEY").map(|value| value.expose().as_str()),
            Some("A_KEY!")
        );
        assert!(environment.get(&descriptor, "PATH").is_none());
    }
}
