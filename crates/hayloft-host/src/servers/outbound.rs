//! The port for what leads out of this installation.

use std::io;
use std::sync::Arc;

use hayloft_mcp::client::remote::{Connector, RemoteUrl};

/// Makes connections to addresses elsewhere. Whoever implements it vets them: what it is asked for comes from plugins.
pub trait Outbound: Send + Sync + 'static {
    /// What connects to a server, ready for plain HTTP whatever the address's scheme.
    ///
    /// # Errors
    /// When the address may not be reached. The text is for people.
    fn connector(&self, address: &RemoteUrl) -> io::Result<Arc<dyn Connector>>;
}
