//! The web face: axum, status codes, OpenAPI. The only crate that names axum.
//!
//! A request passes [`middleware`] and [`router`], is read by one file in [`endpoints`], and asks one use case of
//! `hayloft-host`. This crate must not know how anything is done, nor read a clock, the environment or chance.
//!
//! "Where do I change …?" a new endpoint: one file in `endpoints/`, one line in `router.rs`.

use std::net::SocketAddr;
use std::sync::Arc;

use hayloft_host::Host;
use hayloft_mcp::{EndpointOptions, McpEndpoint};
use hayloft_model::Entropy;

mod address;
mod auth;
mod body;
mod endpoints;
mod isolation;
mod limits;
mod mcp;
mod metrics;
mod middleware;
mod openapi;
mod places;
mod plugin_api;
mod problem;
mod query;
mod router;
mod serve;
mod state;
#[cfg(test)]
mod tests;
mod trpc;

pub use address::{AddressRange, InvalidAddressRange, InvalidPublicUrl, PublicUrl};
pub use isolation::{IsolationBody as Isolation, MissingLayer};
pub use limits::ServerLimits;
pub use metrics::{Metrics, MetricsError};
pub use openapi::openapi;
pub use plugin_api::PluginApi;
pub use serve::{BindError, Listener, Shutdown};

use address::ExternalAddress;
use mcp::HostTools;
use middleware::observe::RequestIds;
use middleware::origin::Origins;
use state::{AppState, Handles};

/// What a server is made of.
pub struct ServerOptions {
    /// What we do.
    pub host: Host,
    /// Chance, for names of requests and sessions.
    pub entropy: Arc<dyn Entropy>,
    /// What was counted.
    pub metrics: Metrics,
    /// What keeps plugins from the host and from each other.
    pub isolation: Isolation,
    /// The address under which the outside reaches us, if it is another one than we listen on.
    pub public_url: Option<PublicUrl>,
    /// Further origins whose pages may speak to the MCP endpoint.
    pub allowed_origins: Vec<PublicUrl>,
    /// Proxies whose word on the original host and scheme counts.
    pub trusted_proxies: Vec<AddressRange>,
    /// Bounds on what the outside may send and hold.
    pub limits: ServerLimits,
}

/// The application behind a listener.
pub struct App {
    router: axum::Router,
    state: AppState,
}

impl App {
    /// Wires the application for the address that it will be served on.
    #[must_use]
    pub fn new(options: ServerOptions, listen: SocketAddr, shutdown: &Shutdown) -> Self {
        let endpoint = EndpointOptions {
            max_message_bytes: endpoints::mcp::call::LONGEST_MESSAGE,
            ..Default::default()
        };
        let state = AppState::new(Handles {
            mcp: McpEndpoint::new(
                HostTools::new(options.host.clone()),
                Arc::clone(&options.entropy),
                endpoint,
            ),
            openapi: openapi().to_string().into(),
            origins: Origins::new(options.public_url.as_ref(), listen, &options.allowed_origins),
            external: ExternalAddress::new(options.public_url, options.trusted_proxies, listen),
            request_ids: Arc::new(RequestIds::new(&*options.entropy)),
            host: options.host,
            metrics: options.metrics,
            isolation: options.isolation,
            limits: options.limits,
            listeners: endpoints::plugins::install_events::places(),
            uploads: endpoints::plugins::upload::places(),
            draining: shutdown.draining(),
            version: hayloft_host::VERSION,
        });
        Self { router: router::router(&state), state }
    }
}
