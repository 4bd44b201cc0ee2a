//! `[network]`: what plugins reach of the outside.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use hayloft_egress::PrivateGrant;
use hayloft_model::PluginId;
use hayloft_model::plugin::NetworkTarget;
use hayloft_workers::{DeclaredHosts, JailLimits, NetworkDefault};

use super::reader::SettingsReader;
use super::setting::Setting;

/// The settings of this section.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("network.default", "HAYLOFT_NETWORK_DEFAULT"),
    Setting::new("network.declared", "HAYLOFT_NETWORK_DECLARED"),
    Setting::new("network.grants", "HAYLOFT_NETWORK_GRANTS"),
    Setting::new("network.private", "HAYLOFT_NETWORK_PRIVATE"),
    Setting::new("network.certificates", "HAYLOFT_NETWORK_CERTIFICATES"),
    Setting::new("network.connections", "HAYLOFT_NETWORK_CONNECTIONS"),
    Setting::new("network.connections_per_second", "HAYLOFT_NETWORK_CONNECTIONS_PER_SECOND"),
    Setting::new("network.bytes_per_second", "HAYLOFT_NETWORK_BYTES_PER_SECOND"),
    Setting::new("network.lookups_per_second", "HAYLOFT_NETWORK_LOOKUPS_PER_SECOND"),
];

/// How many different ports one plugin may be granted, beside those that it declares. A socket stands for each in its
/// jails.
const MOST_PORTS: usize = 24;

/// What plugins reach of the outside.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// For those that do not say which hosts they speak to.
    pub(crate) default: NetworkDefault,
    /// Whether it is enough that a plugin says so.
    pub(crate) declared: DeclaredHosts,
    /// Further public hosts for single plugins.
    pub(crate) grants: HashMap<PluginId, Vec<NetworkTarget>>,
    /// Hosts at certain addresses for single plugins.
    pub(crate) private: HashMap<PluginId, Vec<PrivateGrant>>,
    /// Further certificates that the host trusts when it speaks TLS itself, as a file in PEM form.
    pub(crate) certificates: Option<PathBuf>,
    /// What each worker may ask of the host, and the host on behalf of each plugin in an organization.
    pub(crate) limits: JailLimits,
}

impl Network {
    pub(super) fn read(settings: &mut SettingsReader<'_>) -> Self {
        let default = settings.parsed("network.default", NetworkDefault::default());
        let declared = settings.parsed("network.declared", DeclaredHosts::default());
        let grants: HashMap<PluginId, Vec<NetworkTarget>> = settings.parsed_lists_by_name("network.grants");
        let private: HashMap<PluginId, Vec<PrivateGrant>> = settings.parsed_lists_by_name("network.private");
        let mut ports: HashMap<&PluginId, BTreeSet<u16>> = HashMap::new();
        for (plugin, targets) in &grants {
            ports.entry(plugin).or_default().extend(targets.iter().flat_map(|target| &target.ports));
        }
        for (plugin, granted) in &private {
            ports.entry(plugin).or_default().extend(granted.iter().map(|grant| grant.port));
        }
        let mut plugins: Vec<_> = ports.into_iter().filter(|(_, ports)| ports.len() > MOST_PORTS).collect();
        plugins.sort();
        for (plugin, ports) in plugins {
            let message = format!(
                "`{plugin}` is granted {} different ports here and in `network.private`; at most {MOST_PORTS} can be",
                ports.len()
            );
            settings.object("network.grants", message);
        }
        let defaults = JailLimits::default();
        let limits = JailLimits {
            connections: settings.count("network.connections", defaults.connections),
            connections_per_second: settings
                .count("network.connections_per_second", defaults.connections_per_second),
            bytes_per_second: settings.size("network.bytes_per_second", defaults.bytes_per_second),
            lookups_per_second: settings.count("network.lookups_per_second", defaults.lookups_per_second),
        };
        let certificates = settings.optional("network.certificates");
        Self { default, declared, grants, private, certificates, limits }
    }
}
