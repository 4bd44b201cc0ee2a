//! What every request can reach: named handles, made once at start.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use hayloft_host::Host;
use hayloft_mcp::McpEndpoint;
use tokio_util::sync::CancellationToken;

use crate::address::ExternalAddress;
use crate::isolation::IsolationBody;
use crate::limits::ServerLimits;
use crate::mcp::HostTools;
use crate::metrics::Metrics;
use crate::middleware::observe::RequestIds;
use crate::middleware::origin::Origins;
use crate::places::Places;

/// The handles, shared by all requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Handles>);

/// The handles themselves.
pub(crate) struct Handles {
    /// What we do.
    pub(crate) host: Host,
    /// The MCP endpoint of all organizations.
    pub(crate) mcp: McpEndpoint<HostTools>,
    /// What was counted.
    pub(crate) metrics: Metrics,
    /// The OpenAPI document, serialized once.
    pub(crate) openapi: Bytes,
    /// How the outside calls us.
    pub(crate) external: ExternalAddress,
    /// Which names and origins may speak to the MCP endpoint.
    pub(crate) origins: Origins,
    /// What keeps plugins from the host and from each other.
    pub(crate) isolation: IsolationBody,
    /// How many archives may arrive at once.
    pub(crate) uploads: Places,
    /// How many may follow installations at once.
    pub(crate) listeners: Places,
    /// Bounds on what the outside may send.
    pub(crate) limits: ServerLimits,
    /// Names for requests.
    pub(crate) request_ids: Arc<RequestIds>,
    /// Fires when no new work is taken.
    pub(crate) draining: CancellationToken,
    /// The version of this program.
    pub(crate) version: &'static str,
}

impl AppState {
    pub(crate) fn new(handles: Handles) -> Self {
        Self(Arc::new(handles))
    }
}

impl Deref for AppState {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}
