//! The port for what leads out of this installation.

use std::io;
use std::sync::Arc;

use hayloft_mcp::client::remote::{Connector, RemoteUrl};
use hayloft_model::InstanceKey;
use hayloft_model::plugin::PluginDescriptor;
use hayloft_workers::NetworkRefusal;

/// On whose behalf something is reached.
#[derive(Clone)]
pub struct OutboundCaller {
    /// The plugin, and the organization that it serves.
    pub key: InstanceKey,
    /// What the plugin says of itself, the hosts that it speaks to among it.
    pub plugin: Arc<PluginDescriptor>,
    /// Is told what was refused. It returns quickly.
    pub refused: Arc<dyn Fn(NetworkRefusal) + Send + Sync>,
}

/// Makes connections to addresses elsewhere. Whoever implements it vets them: what it is asked for comes from plugins.
pub trait Outbound: Send + Sync + 'static {
    /// What connects to a server, ready for plain HTTP whatever the address's scheme.
    ///
    /// # Errors
    /// When the address may not be reached. The text is for people.
    fn connector(&self, caller: &OutboundCaller, address: &RemoteUrl) -> io::Result<Arc<dyn Connector>>;
}
