//! `[plugins]`: where plugins come from, and what of the host they may see.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use hayloft_model::PluginId;
use hayloft_model::plugin::PluginLimits;

use super::limits;
use super::reader::SettingsReader;
use super::setting::Setting;

/// The settings of this section.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("plugins.dirs", "HAYLOFT_PLUGINS_DIR"),
    Setting::new("plugins.environment_grants", "HAYLOFT_ENVIRONMENT_GRANTS"),
    Setting::new("plugins.limits", "HAYLOFT_PLUGIN_LIMITS"),
    Setting::new("plugins.soft_memory", "HAYLOFT_PLUGIN_SOFT_MEMORY"),
];

/// Where plugins come from, and what they may see.
#[derive(Clone, Debug)]
pub(crate) struct Plugins {
    /// Folders with plugins.
    pub(crate) dirs: Vec<PathBuf>,
    /// Environment variables that look like secrets of the host and that one plugin may read all the same.
    pub(crate) environment_grants: HashMap<PluginId, BTreeSet<String>>,
    /// How much of the machine single plugins get, whatever they ask for.
    pub(crate) limits: HashMap<PluginId, PluginLimits>,
    /// Beyond so much memory a worker of a single plugin is replaced, in bytes.
    pub(crate) soft_memory: HashMap<PluginId, u64>,
}

impl Plugins {
    pub(super) fn read(settings: &mut SettingsReader<'_>, maximum: &PluginLimits) -> Self {
        let dirs = settings.list("plugins.dirs", &["./plugins"]);
        let grants = settings.lists_by_name("plugins.environment_grants");
        let environment_grants =
            grants.into_iter().map(|(plugin, names)| (plugin, names.into_iter().collect())).collect();
        let limits = settings.limits_by_plugin("plugins.limits", |name| limits::bound(maximum, name));
        let soft_memory = settings.sizes_by_name("plugins.soft_memory");
        Self { dirs, environment_grants, limits, soft_memory }
    }
}
