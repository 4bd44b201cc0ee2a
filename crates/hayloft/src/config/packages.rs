//! `[packages]`: where plugins' dependencies come from, and what making a plugin ready may use.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hayloft_egress::PrivateGrant;
use hayloft_model::PluginId;
use hayloft_packages::{InstallLimits, Registry, Room};

use super::reader::SettingsReader;
use super::setting::Setting;

/// The settings of this section.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("packages.registry", "HAYLOFT_REGISTRY"),
    Setting::new("packages.registry_address", "HAYLOFT_REGISTRY_ADDRESS"),
    Setting::new("packages.npm", "HAYLOFT_NPM"),
    Setting::new("packages.esbuild", "HAYLOFT_ESBUILD"),
    Setting::new("packages.bundle", "HAYLOFT_BUNDLE"),
    Setting::new("packages.keep", "HAYLOFT_KEEP_VERSIONS"),
    Setting::new("packages.script_grants", "HAYLOFT_SCRIPT_GRANTS"),
    Setting::new("packages.install_time", "HAYLOFT_INSTALL_TIME"),
    Setting::new("packages.build_time", "HAYLOFT_BUILD_TIME"),
    Setting::new("packages.memory", "HAYLOFT_INSTALL_MEMORY"),
    Setting::new("packages.disk", "HAYLOFT_INSTALL_DISK"),
    Setting::new("packages.organization_disk", "HAYLOFT_ORGANIZATION_DISK"),
    Setting::new("packages.tasks", "HAYLOFT_INSTALL_TASKS"),
    Setting::new("packages.processor", "HAYLOFT_INSTALL_PROCESSOR"),
];

/// What an organization may have on the disk of plugins of its own, in bytes.
const ORGANIZATION_DISK: u64 = 4 << 30;

/// How plugins become ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Packages {
    /// Where dependencies come from.
    pub(crate) registry: Registry,
    /// Where that is, if it is not on the public internet.
    pub(crate) registry_address: Option<PrivateGrant>,
    /// npm's own package, unless it lies beside Node or is in PATH.
    pub(crate) npm: Option<PathBuf>,
    /// What bundles plugins, unless it lies beside the runner.
    pub(crate) esbuild: Option<PathBuf>,
    /// Whether plugins are bundled.
    pub(crate) bundle: bool,
    /// How many versions of a plugin are kept beside those that run or may be started.
    pub(crate) keep: usize,
    /// Plugins whose dependencies may run scripts while they are fetched.
    pub(crate) script_grants: BTreeSet<PluginId>,
    /// What an organization may have on the disk of plugins of its own, in bytes.
    pub(crate) organization_disk: u64,
    /// What one may use.
    pub(crate) limits: InstallLimits,
}

impl Packages {
    pub(super) fn read(settings: &mut SettingsReader<'_>) -> Self {
        let defaults = InstallLimits::default();
        Self {
            registry: settings.parsed("packages.registry", Registry::default()),
            registry_address: settings.optional("packages.registry_address"),
            npm: settings.optional("packages.npm"),
            esbuild: settings.optional("packages.esbuild"),
            bundle: settings.parsed("packages.bundle", true),
            keep: settings.count("packages.keep", 2),
            script_grants: settings.list("packages.script_grants", &[]).into_iter().collect(),
            organization_disk: settings.size("packages.organization_disk", ORGANIZATION_DISK),
            limits: InstallLimits {
                install: settings.duration("packages.install_time", defaults.install),
                build: settings.duration("packages.build_time", defaults.build),
                memory: settings.size("packages.memory", defaults.memory),
                tasks: settings.count("packages.tasks", defaults.tasks),
                processor: settings.count("packages.processor", defaults.processor),
                room: Room { bytes: settings.size("packages.disk", defaults.room.bytes), ..defaults.room },
                fetch: defaults.fetch,
            },
        }
    }
}
