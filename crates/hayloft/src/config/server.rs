//! `[server]`: the web face.

use std::net::SocketAddr;

use hayloft_server::{AddressRange, PublicUrl};

use super::reader::SettingsReader;
use super::setting::Setting;

/// An address with its port.
///
/// # Errors
/// What it should look like.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| String::from("must be an address with a port, such as `127.0.0.1:3001`"))
}

/// The settings of this section.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("server.listen", "HAYLOFT_LISTEN"),
    Setting::new("server.public_url", "HAYLOFT_PUBLIC_URL"),
    Setting::new("server.allowed_origins", "HAYLOFT_ALLOWED_ORIGINS"),
    Setting::new("server.trusted_proxies", "HAYLOFT_TRUSTED_PROXIES"),
];

/// The web face.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// The address to listen on; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// The address under which the outside reaches it, if it is another one.
    pub(crate) public_url: Option<PublicUrl>,
    /// Further origins whose pages may speak to the MCP endpoint.
    pub(crate) allowed_origins: Vec<PublicUrl>,
    /// Proxies whose word on the original host and scheme counts.
    pub(crate) trusted_proxies: Vec<AddressRange>,
}

impl Server {
    pub(super) fn read(settings: &mut SettingsReader<'_>) -> Self {
        Self {
            listen: settings.address("server.listen", SocketAddr::from(([127, 0, 0, 1], 3001))),
            public_url: settings.optional("server.public_url"),
            allowed_origins: settings.list("server.allowed_origins", &[]),
            trusted_proxies: settings.list("server.trusted_proxies", &[]),
        }
    }
}
