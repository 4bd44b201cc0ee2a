//! `[runtime]`: the programs inside workers, and their jail.

use std::path::PathBuf;

use hayloft_sandbox::Tier;

use super::reader::SettingsReader;
use super::setting::Setting;

/// The settings of this section.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("runtime.dir", "HAYLOFT_RUNTIME_DIR"),
    Setting::new("runtime.node", "HAYLOFT_NODE"),
    Setting::new("runtime.isolation", "HAYLOFT_ISOLATION"),
    Setting::new("runtime.strongest_isolation", "HAYLOFT_STRONGEST_ISOLATION"),
    Setting::new("runtime.jail_paths", "HAYLOFT_JAIL_PATHS"),
];

/// The programs inside workers.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeFiles {
    /// The folder with the runner, unless it lies beside this program.
    pub(crate) dir: Option<PathBuf>,
    /// The Node executable, unless it is the one in that folder.
    pub(crate) node: Option<PathBuf>,
    /// The weakest isolation that is accepted.
    pub(crate) isolation: Tier,
    /// The strongest isolation that is used, whatever the machine offers.
    pub(crate) strongest_isolation: Tier,
    /// Further paths that every worker may read and execute.
    pub(crate) jail_paths: Vec<PathBuf>,
}

impl RuntimeFiles {
    pub(super) fn read(settings: &mut SettingsReader<'_>) -> Self {
        Self {
            dir: settings.optional("runtime.dir"),
            node: settings.optional("runtime.node"),
            isolation: settings.parsed("runtime.isolation", Tier::B),
            strongest_isolation: settings.parsed("runtime.strongest_isolation", Tier::A),
            jail_paths: settings.list("runtime.jail_paths", &[]),
        }
    }
}
