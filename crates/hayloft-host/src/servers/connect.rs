//! Sessions with servers that listen on a port inside a jail.

use hayloft_mcp::client::OpenError;
use hayloft_mcp::client::TransportError;
use hayloft_mcp::client::remote::{Remote, RemoteKind, RemoteUrl};
use hayloft_mcp::{Upstream, UpstreamOptions};
use hayloft_model::plugin::McpTransport as Kind;
use hayloft_workers::JailConnector;

/// Where a server inside a jail answers, by what it speaks: the place that most have, then the others in use.
const fn paths(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Http => &["/mcp", "/"],
        Kind::Sse => &["/sse", "/"],
        Kind::Websocket => &["/", "/mcp", "/ws"],
        // It has no address.
        Kind::Stdio => &[],
    }
}

/// What is spoken over a network, as the protocol's client knows it.
pub(super) const fn remote_kind(kind: Kind) -> Option<RemoteKind> {
    match kind {
        Kind::Http => Some(RemoteKind::StreamableHttp),
        Kind::Sse => Some(RemoteKind::Sse),
        Kind::Websocket => Some(RemoteKind::WebSocket),
        Kind::Stdio => None,
    }
}

/// Opens a session with a server that listens inside a jail.
pub(crate) async fn open_in_jail(
    kind: Kind,
    connector: JailConnector,
    options: UpstreamOptions,
) -> Result<Upstream, String> {
    let Some(remote) = remote_kind(kind) else { return Err(format!("`{kind}` is not spoken over a port")) };
    let mut failure = None;
    for path in paths(kind) {
        // The name that servers expect which look at it: what they are called from their own machine.
        let address = format!("http://localhost:{}{path}", connector.port());
        let address = RemoteUrl::parse(&address).map_err(|problem| problem.message)?;
        let connector = connector.clone();
        let connect = move || {
            let connector = connector.clone();
            async move { connector.connect().await }
        };
        match Upstream::open(Remote::new(remote, address, connect), options.clone()).await {
            Ok(upstream) => return Ok(upstream),
            // Only the first answer is worth telling: the other places are guesses.
            Err(error) if is_elsewhere(&error) => {
                failure.get_or_insert(format!("at `{path}`: {error}"));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(failure.unwrap_or_default())
}

/// Whether the server answered that nothing, or nothing of this kind, is at this place.
fn is_elsewhere(error: &OpenError) -> bool {
    let OpenError::Transport(error) = error else { return false };
    matches!(
        error,
        TransportError::Status { status: 400..=499, .. }
            | TransportError::ContentType { .. }
            | TransportError::Redirected { .. }
            | TransportError::NoAnswer
    )
}
