//! What a plugin asks an organization for, and what of it the organization grants.
//!
//! What is granted is remembered by organization and plugin. A newer version that asks for more runs on what was
//! granted to the older one, until somebody grants the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::needs::is_invoke;
use super::{Capability, NetworkTarget, PluginDescriptor, Requirements, Service};

/// The name that stands for a list that a plugin does not have: of hosts, where it reaches what plugins without a list
/// reach; of rights or services, where it has all that there are.
const UNLISTED: &str = "*";

/// What a permission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PermissionKind {
    /// Use what belongs to the organization: its messages, its customers, …
    Capability,
    /// Read a variable of the host's environment.
    Environment,
    /// Speak to a host at a port.
    Network,
    /// Have a right in the organization.
    Scope,
    /// Use a service of the host.
    Service,
}

impl PermissionKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Capability, Self::Environment, Self::Network, Self::Scope, Self::Service];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capability => "capability",
            Self::Environment => "environment",
            Self::Network => "network",
            Self::Scope => "scope",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for PermissionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PermissionKind {
    type Err = UnknownPermissionKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownPermissionKind)
    }
}

/// A text that is no kind of permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `capability`, `environment`, `network`, `scope` or `service`")]
pub struct UnknownPermissionKind;

/// One thing that a plugin may do, or asks to be allowed to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Permission {
    /// What it is about.
    pub kind: PermissionKind,
    /// Which: `api.example.com:443`, the name of a variable, `messages`; `*` where the plugin has no list.
    pub name: String,
}

impl Permission {
    /// A permission.
    #[must_use]
    pub fn new(kind: PermissionKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// A set of permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(BTreeSet<Permission>);

impl Permissions {
    /// Everything that a plugin's folder asks for.
    #[must_use]
    pub fn asked_by(descriptor: &PluginDescriptor) -> Self {
        use PermissionKind as Kind;
        let unlisted = |kind| vec![Permission::new(kind, UNLISTED)];
        let network = match &descriptor.network {
            None => unlisted(Kind::Network),
            Some(targets) => targets
                .iter()
                .flat_map(|target| target.ports.iter().map(move |port| format!("{}:{port}", target.host)))
                .map(|name| Permission::new(Kind::Network, name))
                .collect(),
        };
        let scopes = match &descriptor.requirements.scopes {
            None => unlisted(Kind::Scope),
            Some(scopes) => scopes.iter().map(|scope| Permission::new(Kind::Scope, scope)).collect(),
        };
        let services = match &descriptor.services {
            None => unlisted(Kind::Service),
            Some(services) => {
                services.iter().map(|service| Permission::new(Kind::Service, service.as_str())).collect()
            }
        };
        let variables = descriptor.env.iter().map(|name| Permission::new(Kind::Environment, name));
        let capabilities = descriptor.capabilities.iter().filter(|capability| reaches_data(**capability));
        let capabilities =
            capabilities.map(|capability| Permission::new(Kind::Capability, capability.as_str()));
        let all = network.into_iter().chain(scopes).chain(services).chain(variables).chain(capabilities);
        all.collect()
    }

    /// What of these is not granted yet.
    #[must_use]
    pub fn missing_from(&self, granted: &Self) -> Self {
        let covered = |permission: &&Permission| {
            // Who has all rights, or all services, has each of them. A host that is named is more than none.
            let has_all = permission.kind != PermissionKind::Network && granted.is_unlisted(permission.kind);
            has_all || granted.contains(permission)
        };
        self.0.iter().filter(|permission| !covered(permission)).cloned().collect()
    }

    /// What a plugin gets of all that it asks for.
    pub fn restrict(&self, descriptor: &mut PluginDescriptor) {
        use PermissionKind as Kind;
        descriptor.network = match &descriptor.network {
            _ if self.is_unlisted(Kind::Network) => None,
            None => Some(self.targets()),
            Some(asked) => {
                let mut kept = asked.clone();
                for target in &mut kept {
                    let host = &target.host;
                    target.ports.retain(|port| self.has(Kind::Network, &format!("{host}:{port}")));
                }
                kept.retain(|target| !target.ports.is_empty());
                Some(kept)
            }
        };
        if !self.is_unlisted(Kind::Scope) {
            descriptor.requirements.scopes = Some(match &descriptor.requirements.scopes {
                None => self.named(Kind::Scope).map(str::to_owned).collect(),
                Some(asked) => asked.iter().filter(|scope| self.has(Kind::Scope, scope)).cloned().collect(),
            });
        }
        if !self.is_unlisted(Kind::Service) {
            let asked = descriptor.services.clone().unwrap_or_else(|| Service::ALL.to_vec());
            let granted = asked.into_iter().filter(|service| self.has(Kind::Service, service.as_str()));
            descriptor.services = Some(granted.collect());
        }
        descriptor.env.retain(|name| self.has(Kind::Environment, name));
        descriptor.capabilities.retain(|capability| {
            !reaches_data(*capability) || self.has(Kind::Capability, capability.as_str())
        });
    }

    /// Whether people may call the tools of a plugin that needs this and gets what is granted here: what
    /// [`Requirements::lets_tools_be_called`] says once [`Self::restrict`] was done, without making a descriptor for it.
    #[must_use]
    pub fn lets_tools_be_called(&self, asked: &Requirements) -> bool {
        let kind = PermissionKind::Scope;
        match &asked.scopes {
            _ if self.is_unlisted(kind) => asked.lets_tools_be_called(),
            None => self.named(kind).any(is_invoke),
            Some(scopes) => scopes.iter().any(|scope| is_invoke(scope) && self.has(kind, scope)),
        }
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contains(&self, permission: &Permission) -> bool {
        self.0.contains(permission)
    }

    /// All of these and of the others.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        self.iter().chain(others.iter()).cloned().collect()
    }

    /// One after the other, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has(&self, kind: PermissionKind, name: &str) -> bool {
        self.0.contains(&Permission::new(kind, name))
    }

    fn is_unlisted(&self, kind: PermissionKind) -> bool {
        self.has(kind, UNLISTED)
    }

    fn named(&self, kind: PermissionKind) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |permission| permission.kind == kind).map(|permission| &*permission.name)
    }

    fn targets(&self) -> Vec<NetworkTarget> {
        let mut targets: BTreeMap<String, NetworkTarget> = BTreeMap::new();
        for target in self.named(PermissionKind::Network).filter_map(|name| name.parse().ok()) {
            let NetworkTarget { host, ports } = target;
            targets
                .entry(host.to_string())
                .or_insert_with(|| NetworkTarget { host, ports: BTreeSet::new() })
                .ports
                .extend(ports);
        }
        targets.into_values().collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().collect())
    }
}

/// Whether a capability reaches what belongs to the organization. The others only say what the plugin brings along.
const fn reaches_data(capability: Capability) -> bool {
    match capability {
        Capability::Messages
        | Capability::Customers
        | Capability::Sources
        | Capability::Products
        | Capability::Email
        | Capability::Sms => true,
        Capability::Routes
        | Capability::Mcp
        | Capability::Auth
        | Capability::Config
        | Capability::Ui
        | Capability::Cron => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{FormatName, Requirements, Runtime};

    fn plugin(
        network: Option<&[&str]>,
        env: &[&str],
        scopes: Option<&[&str]>,
        services: Option<&[Service]>,
        capabilities: &[Capability],
    ) -> PluginDescriptor {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let runtime = Runtime::Node { entry: "index.js".into() };
        PluginDescriptor {
            network: network.map(|list| list.iter().map(|target| target.parse().unwrap()).collect()),
            env: owned(env),
            requirements: Requirements { scopes: scopes.map(owned), ..Requirements::default() },
            services: services.map(<[_]>::to_vec),
            capabilities: capabilities.to_vec(),
            ..PluginDescriptor::new("a".parse().unwrap(), "1.0.0", FormatName("x".into()), runtime)
        }
    }

    fn shown(permissions: &Permissions) -> Vec<String> {
        permissions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn whether_tools_may_be_called_is_the_same_without_a_descriptor() {
        let lists: [Option<&[&str]>; 5] = [
            None,
            Some(&[]),
            Some(&["mcp:invoke"]),
            Some(&["org:<id>:mcp:invoke", "mcp:list"]),
            Some(&["mcp:list", "xmcp:invoke"]),
        ];
        let mut said = [0, 0];
        for granted in lists {
            let granted = Permissions::asked_by(&plugin(None, &[], granted, None, &[]));
            for asked in lists {
                let mut asking = plugin(None, &[], asked, None, &[]);
                let short = granted.lets_tools_be_called(&asking.requirements);
                granted.restrict(&mut asking);
                assert_eq!(short, asking.requirements.lets_tools_be_called(), "{granted:?} {asked:?}");
                said[usize::from(short)] += 1;
            }
        }
        assert!(said.iter().all(|times| *times > 5), "{said:?}");
    }

    #[test]
    fn what_an_upgrade_asks_for_beyond_what_is_granted_is_missing_and_withheld() {
        use Capability::{Customers, Mcp, Messages, Routes};
        let before = plugin(
            Some(&["a.example:443"]),
            &["A"],
            Some(&["mcp:list"]),
            Some(&[Service::Kv]),
            &[Mcp, Messages],
        );
        let granted = Permissions::asked_by(&before);
        assert!(Permissions::asked_by(&before).missing_from(&granted).is_empty());
        let mut same = before.clone();
        granted.restrict(&mut same);
        assert_eq!(same, before, "what was granted is had in full");

        let after = plugin(
            Some(&["a.example", "b.example"]),
            &["A", "B"],
            Some(&["mcp:list", "mcp:invoke"]),
            Some(&[Service::Kv, Service::Fetch]),
            &[Mcp, Messages, Customers, Routes],
        );
        let pending = Permissions::asked_by(&after).missing_from(&granted);
        assert_eq!(
            shown(&pending),
            [
                "capability customers",
                "environment B",
                "network a.example:80",
                "network b.example:443",
                "network b.example:80",
                "scope mcp:invoke",
                "service fetch"
            ]
        );
        let mut held = after.clone();
        granted.restrict(&mut held);
        let expected = plugin(
            Some(&["a.example:443"]),
            &["A"],
            Some(&["mcp:list"]),
            Some(&[Service::Kv]),
            &[Mcp, Messages, Routes],
        );
        assert_eq!(held, expected);
        let mut freed = after.clone();
        granted.with(&pending).restrict(&mut freed);
        assert_eq!(freed, after);
    }

    #[test]
    fn leaving_a_list_out_asks_for_more() {
        let listed = plugin(Some(&["a.example:443"]), &[], Some(&["mcp:list"]), Some(&[Service::Kv]), &[]);
        let silent = plugin(None, &[], None, None, &[]);
        let (of_listed, of_silent) = (Permissions::asked_by(&listed), Permissions::asked_by(&silent));
        assert_eq!(shown(&of_silent.missing_from(&of_listed)), ["network *", "scope *", "service *"]);
        let mut held = silent.clone();
        of_listed.restrict(&mut held);
        assert_eq!(held, listed);

        // The other way round only a host that is named is something that was not there before.
        assert_eq!(shown(&of_listed.missing_from(&of_silent)), ["network a.example:443"]);
        let mut held = listed.clone();
        of_silent.restrict(&mut held);
        assert_eq!(held.network, None, "as before: what plugins without a list reach");
        assert_eq!((held.requirements, held.services), (listed.requirements, listed.services));
    }
}
