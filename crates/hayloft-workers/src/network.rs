//! What a worker reaches beside the host: which names, and who answers for them.
//!
//! Who may reach what is decided here from what the plugin says and what the operator said; how it is held to that is
//! `hayloft-egress`.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt};
use hayloft_egress::jail::{JailLimits, JailNetwork, Reason, Refusal, Sockets, Watch};
use hayloft_egress::{Egress, Policy, PrivateGrant, Reach};
use hayloft_model::plugin::NetworkTarget;
use hayloft_model::{PluginDescriptor, PluginId};
use tokio_util::task::AbortOnDropHandle;

use crate::dispatcher::Shared;
use crate::gate::{FolderListener, GateCaller};
use crate::logs::{Level, WorkerLog};

/// What the operator decided about the network of workers.
#[derive(Clone)]
pub struct NetworkSettings {
    /// The way out.
    pub egress: Egress,
    /// For plugins that do not say which hosts they speak to.
    pub default: NetworkDefault,
    /// Whether it is enough that a plugin says so.
    pub declared: DeclaredHosts,
    /// Further hosts of the public internet for single plugins.
    pub grants: HashMap<PluginId, Vec<NetworkTarget>>,
    /// Hosts at certain addresses for single plugins, whatever network those are in.
    pub private: HashMap<PluginId, Vec<PrivateGrant>>,
    /// What each worker may ask of the host.
    pub limits: JailLimits,
}

/// What a plugin reaches that does not say which hosts it speaks to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkDefault {
    /// What it was granted.
    #[default]
    Deny,
    /// Every public host at the web's ports.
    Public,
}

/// Whether a plugin reaches the public hosts that it says it speaks to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeclaredHosts {
    /// Yes.
    #[default]
    Allow,
    /// Only those that it was granted.
    Deny,
}

impl NetworkSettings {
    /// Nothing but what is declared or granted.
    #[must_use]
    pub fn new(egress: Egress) -> Self {
        Self {
            egress,
            default: NetworkDefault::default(),
            declared: DeclaredHosts::default(),
            grants: HashMap::new(),
            private: HashMap::new(),
            limits: JailLimits::default(),
        }
    }

    /// What workers of a plugin may reach.
    #[must_use]
    pub fn policy_of(&self, plugin: &PluginDescriptor) -> Policy {
        if !plugin.may_use_network() {
            return Policy::default();
        }
        let granted = self.grants.get(&plugin.id).cloned().unwrap_or_default();
        let private = self.private.get(&plugin.id).cloned().unwrap_or_default();
        let reach = match (&plugin.network, self.default, self.declared) {
            (Some(declared), _, DeclaredHosts::Allow) => {
                Reach::Listed(declared.iter().cloned().chain(granted).collect())
            }
            (Some(_), _, DeclaredHosts::Deny) | (None, NetworkDefault::Deny, _) => Reach::Listed(granted),
            (None, NetworkDefault::Public, _) => Reach::Public(granted),
        };
        Policy::new(reach, private)
    }
}

impl fmt::Debug for NetworkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkSettings")
            .field("default", &self.default)
            .field("declared", &self.declared)
            .field("grants", &self.grants)
            .field("private", &self.private)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Which texts stand for the values of a choice.
macro_rules! choice {
    ($type:ident, $expected:literal, $($value:ident => $text:literal),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$value => $text),+ })
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$value),)+
                    _ => Err(format!("must be {}", $expected)),
                }
            }
        }
    };
}

choice!(NetworkDefault, "`deny` or `public`", Deny => "deny", Public => "public");
choice!(DeclaredHosts, "`allow` or `deny`", Allow => "allow", Deny => "deny");

/// Where a worker's connections to the outside arrive.
#[derive(Debug)]
pub(crate) enum NetworkSockets {
    /// Made inside the jail's own network.
    Jail(hayloft_sandbox::Network),
    /// A socket in the worker's folder, where it has no network of its own.
    Folder(FolderListener),
}

/// The open network of one worker. Dropping it cuts its connections.
#[derive(Debug)]
pub(crate) struct OpenNetwork(#[expect(dead_code, reason = "it is held for its drop")] AbortOnDropHandle<()>);

impl OpenNetwork {
    pub(crate) fn new(sockets: NetworkSockets, policy: Policy, watcher: Watcher) -> Self {
        let settings = &watcher.shared.settings.network;
        let (egress, limits) = (settings.egress.clone(), settings.limits);
        let caller = watcher.caller.clone();
        let network = JailNetwork::new(egress, Arc::new(policy), &limits, Arc::new(watcher));
        Self(AbortOnDropHandle::new(tokio::spawn(async move {
            let served = match sockets {
                NetworkSockets::Jail(sockets) => serve_jail(&network, sockets).await,
                NetworkSockets::Folder(listener) => {
                    serve_folder(&network, &listener, &caller, limits.connections).await
                }
            };
            if let Err(error) = served {
                tracing::error!(worker = %caller.worker(), %error, "failed to answer a worker's network");
            }
        })))
    }
}

async fn serve_jail(network: &JailNetwork, sockets: hayloft_sandbox::Network) -> io::Result<()> {
    let hayloft_sandbox::Network { names, names_by_stream, listeners } = sockets;
    network.serve(Sockets { names, names_by_stream, listeners }).await.map(|never| match never {})
}

async fn serve_folder(
    network: &JailNetwork,
    listener: &FolderListener,
    caller: &GateCaller,
    most: usize,
) -> io::Result<()> {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            stream = listener.next(caller), if connections.len() < most => connections.push(network.requested(stream)),
            Some(()) = connections.next() => {}
        }
    }
}

/// Tells the plugin's people and the host what was refused to a worker.
pub(crate) struct Watcher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: WorkerLog,
    pub(crate) caller: GateCaller,
}

impl Watch for Watcher {
    fn refused(&self, refusal: Refusal) {
        self.log.host(Level::Warn, told(&refusal));
        self.shared.observer.network_refused(&self.caller, &refusal);
    }
}

/// The refusal for the plugin's log, with what to do about it.
fn told(refusal: &Refusal) -> String {
    let Refusal { host, port, reason, times } = refusal;
    let what = match (host, port) {
        (Some(host), Some(port)) => format!("a connection to `{host}`, port {port}, was refused"),
        (Some(host), None) => format!("the name `{host}` was not looked up"),
        (None, _) => String::from("connections and names were refused"),
    };
    let times = if *times > 1 { format!(" ({times} times more)") } else { String::new() };
    let hint = match reason {
        Reason::Host | Reason::Port => {
            "; the plugin's `network` list names what it speaks to, and an operator can grant more"
        }
        Reason::NotPublic(_) => "; an operator can grant a private address by name",
        _ => "",
    };
    format!("{what}{times}: {reason}{hint}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hayloft_egress::{Denial, HostName};
    use hayloft_model::Entropy;
    use hayloft_model::plugin::{FormatName, Runtime, Service};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::*;
    use crate::gate::NETWORK_SOCKET;

    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    /// Nobody listens.
    struct Silent;

    impl Watch for Silent {
        fn refused(&self, _: Refusal) {}
    }

    fn plugin(network: Option<&[&str]>) -> PluginDescriptor {
        let runtime = Runtime::Node { entry: "index.js".into() };
        let id = "hay-plugin-a".parse().unwrap();
        let network = network.map(|list| list.iter().map(|target| target.parse().unwrap()).collect());
        PluginDescriptor { network, ..PluginDescriptor::new(id, "1.0.0", FormatName("x".into()), runtime) }
    }

    #[test]
    fn what_is_declared_granted_and_usual_makes_the_policy() {
        let id: PluginId = "hay-plugin-a".parse().unwrap();
        let other: PluginId = "hay-plugin-b".parse().unwrap();
        let granting = NetworkSettings {
            grants: [
                (id.clone(), vec!["granted.example.com".parse().unwrap()]),
                (other, vec!["others.example.com".parse().unwrap()]),
            ]
            .into(),
            private: [(id, vec!["db.internal:5432=10.0.0.5".parse().unwrap()])].into(),
            ..NetworkSettings::new(Egress::system())
        };
        let strict = NetworkSettings { declared: DeclaredHosts::Deny, ..granting.clone() };
        let public = NetworkSettings { default: NetworkDefault::Public, ..granting.clone() };
        let listed = plugin(Some(&["declared.example.com"]));
        let nothing = plugin(Some(&[]));
        let silent = plugin(None);
        let without = PluginDescriptor { services: Some(vec![Service::Kv]), ..plugin(None) };
        for (settings, plugin, reached) in [
            (&granting, &listed, "declared granted"),
            (&granting, &nothing, "granted"),
            (&granting, &silent, "granted"),
            (&strict, &listed, "granted"),
            (&strict, &silent, "granted"),
            (&public, &listed, "declared granted"),
            (&public, &nothing, "granted"),
            (&public, &silent, "declared granted others any"),
        ] {
            let policy = settings.policy_of(plugin);
            let names = ["declared", "granted", "others", "any"].into_iter().filter(|name| {
                let host: HostName = format!("{name}.example.com").parse().unwrap();
                policy.permit(&host, 443).is_ok()
            });
            assert_eq!(names.collect::<Vec<_>>().join(" "), reached);
            let database: HostName = "db.internal".parse().unwrap();
            assert!(policy.permit(&database, 5432).is_ok_and(|permit| permit.is_granted()));
            assert_eq!(policy.permit(&database, 443), Err(Denial::Port));
        }
        assert_eq!(public.policy_of(&without), Policy::default());
    }

    #[test]
    fn choices_read_back() {
        for value in [NetworkDefault::Deny, NetworkDefault::Public] {
            assert_eq!(value.to_string().parse(), Ok(value));
        }
        for value in [DeclaredHosts::Allow, DeclaredHosts::Deny] {
            assert_eq!(value.to_string().parse(), Ok(value));
        }
        assert!("private".parse::<NetworkDefault>().unwrap_err().contains("`deny` or `public`"));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refusal =
            Refusal { host: Some("a.test".into()), port: Some(443), reason: Reason::Host, times: 1 };
        assert_eq!(
            told(&refusal),
            "a connection to `a.test`, port 443, was refused: the host is not among those that the plugin may reach; \
             the plugin's `network` list names what it speaks to, and an operator can grant more"
        );
        let many = Refusal { host: None, port: None, reason: Reason::Various, times: 7 };
        assert_eq!(told(&many), "connections and names were refused (7 times more): of various reasons");
    }

    #[tokio::test]
    async fn one_connection_too_many_waits_until_another_ends() {
        let home = tempfile::tempdir().unwrap();
        let listener = FolderListener::make(home.path(), NETWORK_SOCKET).unwrap().of_jail(std::process::id());
        let worker = format!("wrk_{:032x}", 7).parse().unwrap();
        let caller = GateCaller::new(worker, "hay-plugin-a".parse().unwrap(), &Sevens);
        let limits = JailLimits::default();
        let network =
            JailNetwork::new(Egress::system(), Arc::new(Policy::default()), &limits, Arc::new(Silent));
        let _serving = AbortOnDropHandle::new(tokio::spawn(async move {
            serve_folder(&network, &listener, &caller, 2).await
        }));
        let connect = async || UnixStream::connect(home.path().join(NETWORK_SOCKET)).await.unwrap();
        let held = connect().await;
        // The control: beside the one that is held there is room for one more.
        let answer = async |stream: &mut UnixStream| {
            let mut said = String::new();
            stream.read_to_string(&mut said).await.map(|_| said)
        };
        let mut asking = connect().await;
        asking.write_all(b"lookup hayloft.internal\n").await.unwrap();
        let soon = Duration::from_secs(10);
        assert_eq!(timeout(soon, answer(&mut asking)).await.unwrap().unwrap(), "198.18.0.1\n");

        let _other = connect().await;
        let mut waiting = connect().await;
        waiting.write_all(b"lookup hayloft.internal\n").await.unwrap();
        let waited = timeout(Duration::from_millis(100), answer(&mut waiting)).await;
        assert!(waited.is_err(), "it was answered: {waited:?}");
        drop(held);
        assert_eq!(timeout(soon, answer(&mut waiting)).await.unwrap().unwrap(), "198.18.0.1\n");
    }
}
