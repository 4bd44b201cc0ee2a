//! What leads the host itself out on behalf of plugins: to their MCP servers elsewhere, under the same rules as their
//! workers.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use hayloft_egress::jail::{Refusal, Watch};
use hayloft_egress::{Outlet, Place, Policy, RootCertStore, Security, Tls, add_roots, system_roots};
use hayloft_host::{ByteStream, Connector, Outbound, OutboundCaller, RemoteUrl};
use hayloft_model::InstanceKey;
use hayloft_workers::NetworkSettings;

use crate::failure::Failure;

/// Makes the host's connections for plugins.
pub(crate) struct PluginOutbound {
    network: NetworkSettings,
    tls: Tls,
    outlets: Arc<Outlets>,
}

/// All servers of one plugin in one organization share its limits. They are kept for a while after they were used, so that
/// whoever comes back at once neither begins anew with them nor has every refusal told.
type Outlets = Mutex<HashMap<InstanceKey, Outlet>>;

impl PluginOutbound {
    /// Under these rules, trusting what the machine trusts and the certificates of a file.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn new(network: NetworkSettings, certificates: Option<&Path>) -> Result<Self, Failure> {
        let mut roots = system_roots().unwrap_or_else(|error| {
            if certificates.is_none() {
                tracing::warn!(%error, "MCP servers elsewhere cannot be spoken to over TLS");
            }
            RootCertStore::empty()
        });
        if let Some(path) = certificates {
            let failed = |error: &dyn std::error::Error| {
                Failure::caused(format!("failed to read the certificates in `{}`", path.display()), error)
            };
            let pem = std::fs::read(path).map_err(|error| failed(&error))?;
            add_roots(&mut roots, &pem).map_err(|error| failed(&error))?;
        }
        let tls = Tls::new(roots).map_err(|error| Failure::caused("failed to set up TLS", &error))?;
        Ok(Self { network, tls, outlets: Arc::default() })
    }

    fn outlet(&self, caller: &OutboundCaller) -> Outlet {
        let watch = Arc::new(Teller(Arc::clone(&caller.refused)));
        let mut outlets = self.outlets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outlet) = outlets.get(&caller.key) {
            return outlet.telling(watch);
        }
        let (egress, limits) = (self.network.egress.clone(), &self.network.limits);
        let outlet = Outlet::new(egress, self.tls.clone(), limits, Arc::clone(&watch) as Arc<dyn Watch>);
        let own = outlet.telling(watch);
        outlets.insert(caller.key.clone(), outlet);
        tokio::spawn(keep(Arc::downgrade(&self.outlets), caller.key.clone()));
        own
    }
}

/// Tells from time to time what an outlet refused again, until nobody uses it any more.
async fn keep(outlets: Weak<Outlets>, key: InstanceKey) {
    loop {
        tokio::time::sleep(Outlet::TELL_EVERY).await;
        let Some(outlets) = outlets.upgrade() else { return };
        let unused = {
            let mut outlets = outlets.lock().unwrap_or_else(PoisonError::into_inner);
            match outlets.get(&key) {
                Some(outlet) if !outlet.is_alone() => {
                    outlet.tell();
                    continue;
                }
                _ => outlets.remove(&key),
            }
        };
        // It tells at its end, and nobody is to wait for that.
        drop(unused);
        return;
    }
}

impl Outbound for PluginOutbound {
    fn connector(&self, caller: &OutboundCaller, address: &RemoteUrl) -> io::Result<Arc<dyn Connector>> {
        let security = if address.is_encrypted() { Security::Tls } else { Security::Clear };
        let place = Place::parse(address.host(), address.port(), security).map_err(io::Error::other)?;
        let policy = self.network.policy_of(&caller.plugin);
        let outlet = self.outlet(caller);
        outlet.permit(&policy, &place).map_err(io::Error::other)?;
        Ok(Arc::new(PluginConnector { outlet, policy, place }))
    }
}

/// Connects to one place.
struct PluginConnector {
    outlet: Outlet,
    policy: Policy,
    place: Place,
}

impl Connector for PluginConnector {
    fn connect(&self) -> BoxFuture<'_, io::Result<ByteStream>> {
        async move {
            let stream = self.outlet.connect(&self.policy, &self.place).await;
            stream.map(|stream| Box::new(stream) as ByteStream).map_err(io::Error::other)
        }
        .boxed()
    }
}

/// Tells the host what was refused.
struct Teller(Arc<dyn Fn(Refusal) + Send + Sync>);

impl Watch for Teller {
    fn refused(&self, refusal: Refusal) {
        (self.0)(refusal);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use hayloft_egress::Egress;
    use hayloft_model::plugin::{FormatName, PluginDescriptor, Runtime};

    use super::*;

    /// A plugin that declares a host, a network with a private grant for it, and what was refused.
    fn outbound() -> (PluginOutbound, OutboundCaller, Arc<Mutex<Vec<Refusal>>>) {
        let id: hayloft_model::PluginId = "hay-plugin-a".parse().unwrap();
        let mut network = NetworkSettings::new(Egress::system());
        network.private.insert(id.clone(), vec!["mcp.internal:8080=127.0.0.1:1".parse().unwrap()]);
        let mut plugin = PluginDescriptor::new(id.clone(), "1.0.0", FormatName("x".into()), Runtime::Servers);
        plugin.network = Some(vec!["mcp.example.com".parse().unwrap()]);
        let refused = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&refused);
        let caller = OutboundCaller {
            key: InstanceKey {
                organization: "org_00000000000000000000000000000001".parse().unwrap(),
                plugin: id,
            },
            plugin: Arc::new(plugin),
            refused: Arc::new(move |refusal| heard.lock().unwrap().push(refusal)),
        };
        (
            PluginOutbound {
                network,
                tls: Tls::new(RootCertStore::empty()).unwrap(),
                outlets: Arc::default(),
            },
            caller,
            refused,
        )
    }

    #[tokio::test]
    async fn only_what_the_plugin_may_reach_has_a_way() {
        let (outbound, caller, refused) = outbound();
        for (url, reached) in [
            ("https://mcp.example.com/mcp", true),
            ("wss://mcp.example.com/", true),
            ("http://mcp.internal:8080/", true),
            ("http://mcp.example.com/", false),
            ("ws://mcp.example.com/", false),
            ("https://mcp.example.com:8443/", false),
            ("https://other.example.com/", false),
            ("http://mcp.internal/", false),
            ("https://127.0.0.1/", false),
            ("https://[::ffff:169.254.169.254]/", false),
        ] {
            let way = outbound.connector(&caller, &RemoteUrl::parse(url).unwrap());
            assert_eq!(way.is_ok(), reached, "{url}");
        }
        assert_eq!(refused.lock().unwrap().len(), 4, "each kind is told once: {refused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn repetitions_are_counted_whoever_they_come_from() {
        let (outbound, caller, refused) = outbound();
        let of_another = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&of_another);
        let another = OutboundCaller {
            refused: Arc::new(move |refusal| heard.lock().unwrap().push(refusal)),
            ..caller.clone()
        };
        let denied = |caller: &OutboundCaller, url: &str| {
            assert!(outbound.connector(caller, &RemoteUrl::parse(url).unwrap()).is_err());
        };
        for _ in 0..3 {
            denied(&caller, "https://other.example.com/");
            denied(&another, "https://third.example.com/");
        }
        let times = |told: &Mutex<Vec<Refusal>>| -> Vec<u64> {
            told.lock().unwrap().iter().map(|told| told.times).collect()
        };
        assert_eq!((times(&refused), times(&of_another)), (vec![1], vec![1]));
        tokio::time::sleep(Outlet::TELL_EVERY * 2).await;
        assert_eq!((times(&refused), times(&of_another)), (vec![1, 2], vec![1, 2]));
        assert!(
            of_another.lock().unwrap().iter().all(|told| told.host.as_deref() == Some("third.example.com"))
        );
        assert!(outbound.outlets.lock().unwrap().is_empty(), "nobody uses it any more");
    }

    #[tokio::test(start_paused = true)]
    async fn servers_of_one_plugin_share_its_limits() {
        let (outbound, caller, _) = outbound();
        let kept = || outbound.outlets.lock().unwrap().len();
        let one = outbound.outlet(&caller);
        drop(outbound.outlet(&caller));
        assert_eq!(kept(), 1);
        let other = OutboundCaller {
            key: InstanceKey { plugin: "hay-plugin-b".parse().unwrap(), ..caller.key.clone() },
            ..caller.clone()
        };
        drop(outbound.outlet(&other));
        assert_eq!(kept(), 2);
        tokio::time::sleep(Outlet::TELL_EVERY * 3).await;
        assert_eq!(kept(), 1, "what is used stays");
        drop(one);
        tokio::time::sleep(Outlet::TELL_EVERY * 2).await;
        assert_eq!(kept(), 0);
    }

    #[test]
    fn certificates_are_read_or_what_is_wrong_is_said() {
        let network = || NetworkSettings::new(Egress::system());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"nothing").unwrap();
        assert!(PluginOutbound::new(network(), Some(file.path())).is_err());
        assert!(PluginOutbound::new(network(), Some(Path::new("/nowhere/at-all.pem"))).is_err());
        let certificate = include_str!("../../../tests/functional/fixtures/outside-cert.pem");
        std::fs::write(file.path(), certificate).unwrap();
        assert!(PluginOutbound::new(network(), Some(file.path())).is_ok());
    }
}
