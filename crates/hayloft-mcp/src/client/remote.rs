//! Servers that are reached over a network: Streamable HTTP, the older HTTP with server-sent events, and WebSocket.
//!
//! A [`Remote`] is a [`Transport`] like any other, so [`Upstream::open`](super::Upstream::open) makes the same session
//! of it as of a process's pipes. Nothing here dials: the caller gives a [`Connector`], which may lead into a worker's
//! jail or through TLS to a vetted address, and a [`HeaderSource`], which knows the credentials. Nothing here connects
//! again once a session is over, either: when to try anew is the caller's to decide.

mod address;
mod body;
mod connector;
mod dispatch;
mod event;
mod events;
mod exchange;
mod handshake;
mod headers;
mod inbox;
mod legacy;
mod listen;
mod refusal;
mod request;
mod session;
mod streamable;
mod websocket;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::transport::{Connection, Transport, TransportLimits};

pub use address::RemoteUrl;
pub use connector::{ByteStream, Connector, Duplex};
pub use headers::{HeaderSource, HeadersUnavailable, NoHeaders, Occasion, SecretHeaders};
pub use inbox::Inbox;

/// How messages travel to and from a server on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteKind {
    /// Streamable HTTP, since 2025-03-26: one address, answers as JSON or as events.
    StreamableHttp,
    /// HTTP with server-sent events, of 2024-11-05: one stream of events, and an address to post to that it names.
    Sse,
    /// WebSocket with the subprotocol `mcp`: not in the specification, one message per text frame.
    WebSocket,
}

/// How much is asked of a server on a network, and how much is taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteLimits {
    /// How long a connection may take to come up. Default 10 s.
    pub connect_within: Duration,
    /// How long an exchange may take that no caller's deadline bounds: posting a notification, resuming, opening a
    /// session anew, ending it. Default 30 s.
    pub exchange_within: Duration,
    /// How long a connection that nobody uses is kept. Less than the five seconds after which most servers hang up,
    /// as a request that meets a server's hanging up is lost. Default 4 s.
    pub keep_idle: Duration,
    /// How many requests may be under way at once; more wait. Over HTTP each takes a connection. At
    /// least 1. Default 64.
    pub concurrent: usize,
    /// How often a WebSocket is pinged; one that is silent for twice as long is given up. At least 1 s. Default
    /// 30 s.
    pub ping_every: Duration,
}

impl Default for RemoteLimits {
    fn default() -> Self {
        Self {
            connect_within: Duration::from_secs(10),
            exchange_within: Duration::from_secs(30),
            keep_idle: Duration::from_secs(4),
            concurrent: 64,
            ping_every: Duration::from_secs(30),
        }
    }
}

impl RemoteLimits {
    /// The same, where zero or endlessly many would mean that nothing moves.
    fn within_reason(self) -> Self {
        Self {
            concurrent: self.concurrent.clamp(1, Semaphore::MAX_PERMITS),
            ping_every: self.ping_every.max(Duration::from_secs(1)),
            ..self
        }
    }
}

/// A server on a network, not yet in use.
#[derive(Clone)]
pub struct Remote {
    /// How messages travel.
    pub kind: RemoteKind,
    /// Where the server is. Its host goes into requests and nowhere else: whom to dial is the connector's to know.
    pub url: RemoteUrl,
    /// Makes the connections.
    pub connector: Arc<dyn Connector>,
    /// Knows what to add to each request. Default: nothing.
    pub headers: Arc<dyn HeaderSource>,
    /// How much is asked and taken.
    pub limits: RemoteLimits,
}

impl Remote {
    /// A server that wants no credentials, with the default limits.
    #[must_use]
    pub fn new(kind: RemoteKind, url: RemoteUrl, connector: impl Connector) -> Self {
        Self {
            kind,
            url,
            connector: Arc::new(connector),
            headers: Arc::new(NoHeaders),
            limits: RemoteLimits::default(),
        }
    }

    /// The same server, with headers to add to each request.
    #[must_use]
    pub fn with_headers(self, headers: impl HeaderSource) -> Self {
        Self { headers: Arc::new(headers), ..self }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("kind", &self.kind)
            .field("url", &self.url)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Transport for Remote {
    type Source = Inbox;

    fn connect(self, limits: TransportLimits) -> Connection<Inbox> {
        let remote = Self { limits: self.limits.within_reason(), ..self };
        match remote.kind {
            RemoteKind::StreamableHttp => streamable::start(remote, limits),
            RemoteKind::Sse => legacy::start(remote, limits),
            RemoteKind::WebSocket => websocket::start(remote, limits),
        }
    }
}
