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
    /// All servers of one plugin in one organization share its limits.
    outlets: Mutex<HashMap<InstanceKey, Weak<Outlet>>>,
}

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
        Ok(Self { network, tls, outlets: Mutex::default() })
    }

    fn outlet(&self, caller: &OutboundCaller) -> Arc<Outlet> {
        let mut outlets = self.outlets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outlet) = outlets.get(&caller.key).and_then(Weak::upgrade) {
            return outlet;
        }
        outlets.retain(|_, outlet| outlet.strong_count() > 0);
        let watch = Arc::new(Teller(Arc::clone(&caller.refused)));
        let (egress, limits) = (self.network.egress.clone(), &self.network.limits);
        let outlet = Arc::new(Outlet::new(egress, self.tls.clone(), limits, watch));
        outlets.insert(caller.key.clone(), Arc::downgrade(&outlet));
        outlet
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
    outlet: Arc<Outlet>,
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
                outlets: Mutex::default(),
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

    #[tokio::test]
    async fn servers_of_one_plugin_share_its_limits() {
        let (outbound, caller, _) = outbound();
        let one = outbound.outlet(&caller);
        assert!(Arc::ptr_eq(&one, &outbound.outlet(&caller)));
        let other = OutboundCaller {
            key: InstanceKey { plugin: "hay-plugin-b".parse().unwrap(), ..caller.key.clone() },
            ..caller.clone()
        };
        assert!(!Arc::ptr_eq(&one, &outbound.outlet(&other)));
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
