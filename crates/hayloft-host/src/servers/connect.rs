//! Sessions with servers that are reached over a network, inside a jail or elsewhere.

use std::sync::Arc;

use hayloft_mcp::client::OpenError;
use hayloft_mcp::client::TransportError;
use hayloft_mcp::client::remote::{HeaderSource, Remote, RemoteKind, RemoteLimits, RemoteUrl, SecretHeaders};
use hayloft_mcp::{Upstream, UpstreamOptions};
use hayloft_model::plugin::McpTransport as Kind;
use hayloft_model::{InstanceKey, ServerId, WorkerId};
use hayloft_workers::JailConnector;

use super::Outbound;
use super::handed::RemoteServer;
use crate::Host;
use crate::observe::upstream_options;

/// What people are told of a server elsewhere while nothing leads out.
const NO_WAY_OUT: &str =
    "remote MCP servers cannot be reached yet: this installation has no outbound access configured";

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

const fn remote_kind(kind: Kind) -> Option<RemoteKind> {
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

/// Opens a session with a server elsewhere, over the first of its transports that leads to an answer.
async fn open_elsewhere(outbound: &dyn Outbound, remote: &RemoteServer) -> Result<Upstream, String> {
    let address =
        RemoteUrl::parse(&remote.url).map_err(|problem| format!("its address {}", problem.message))?;
    let connector = outbound.connector(&address).map_err(|error| error.to_string())?;
    let headers = remote.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let headers: Arc<dyn HeaderSource> =
        Arc::new(SecretHeaders::parse(headers).map_err(|problems| problems.to_string())?);
    let mut failures = Vec::new();
    for kind in &remote.transports {
        let Some(remote_kind) = remote_kind(*kind) else { continue };
        let (address, connector, headers) = (address.clone(), Arc::clone(&connector), Arc::clone(&headers));
        let limits = RemoteLimits::default();
        let way = Remote { kind: remote_kind, url: address, connector, headers, limits };
        match Upstream::open(way, upstream_options()).await {
            Ok(upstream) => return Ok(upstream),
            Err(error) => failures.push(format!("over {kind}: {error}")),
        }
    }
    Err(failures.join("; "))
}

impl Host {
    /// The session of a worker with a server elsewhere, opened when there is none. The error is for people.
    pub(crate) async fn open_remote(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        server: &ServerId,
        remote: &RemoteServer,
    ) -> Result<Upstream, String> {
        if let Some(upstream) = self.sessions.upstream(worker, server) {
            return Ok(upstream);
        }
        let upstream = open_elsewhere(&**self.outbound()?, remote).await?;
        self.take_up(key, worker, server.clone(), upstream.clone()).await?;
        Ok(upstream)
    }

    /// What leads out of this installation, or why nothing does.
    pub(crate) fn outbound(&self) -> Result<&Arc<dyn Outbound>, String> {
        self.outbound.as_ref().ok_or_else(|| String::from(NO_WAY_OUT))
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;

    use hayloft_mcp::client::remote::Connector;
    use hayloft_model::Secret;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;

    use super::*;

    /// Leads to one address, whatever it is asked for, but nowhere for names that end in `.forbidden`.
    struct OneWay(SocketAddr);

    impl Outbound for OneWay {
        fn connector(&self, address: &RemoteUrl) -> io::Result<Arc<dyn Connector>> {
            if address.host().ends_with(".forbidden") {
                return Err(io::Error::other(format!("`{}` may not be reached", address.host())));
            }
            let there = self.0;
            Ok(Arc::new(move || TcpStream::connect(there)))
        }
    }

    /// Answers posted messages as a server does that knows `initialize`; tells the head of each request.
    async fn server() -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (heads, told) = mpsc::unbounded_channel();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, heads.clone()));
            }
        });
        (address, told)
    }

    async fn answer(stream: TcpStream, heads: mpsc::UnboundedSender<String>) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await.unwrap_or_default() == 0 {
                    return;
                }
            }
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or_default()];
            stream.read_exact(&mut body).await.unwrap();
            let result =
                r#"{"jsonrpc":"2.0","id":ID,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
            let message: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let (status, body) = match (head.starts_with("post /here "), message["id"].as_u64()) {
                (true, Some(id)) => ("200 OK", result.replace("ID", &id.to_string())),
                (true, None) => ("202 Accepted", String::new()),
                (false, _) => ("405 No", String::new()),
            };
            heads.send(head).unwrap();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    }

    fn remote(url: &str, transports: &[Kind], header: &str) -> RemoteServer {
        let headers = vec![(header.to_owned(), Secret::new("s3cret".to_owned()))];
        RemoteServer { url: url.into(), transports: transports.into(), headers }
    }

    #[tokio::test]
    async fn what_leads_out_is_used_with_the_servers_own_headers() {
        let (address, mut heads) = server().await;
        let wanted = remote("http://mcp.example/here", &[Kind::Websocket, Kind::Http], "X-Key");
        let upstream = open_elsewhere(&OneWay(address), &wanted).await.unwrap();
        assert!(upstream.close_reason().is_none());
        let first = heads.recv().await.unwrap();
        assert!(first.starts_with("get /here ") && first.contains("upgrade: websocket"), "{first}");
        let second = heads.recv().await.unwrap();
        assert!(second.starts_with("post /here ") && second.contains("host: mcp.example"), "{second}");
        assert!(second.contains("x-key: s3cret"), "{second}");
    }

    #[tokio::test]
    async fn what_does_not_lead_out_is_told_without_the_secret() {
        let (address, _heads) = server().await;
        let open = async |url: &str, header: &str| {
            open_elsewhere(&OneWay(address), &remote(url, &[Kind::Http], header)).await.err().unwrap()
        };
        assert_eq!(open("http://mcp.forbidden/here", "X-Key").await, "`mcp.forbidden` may not be reached");
        let refused = open("http://mcp.example/elsewhere", "X-Key").await;
        assert!(refused.starts_with("over http: failed to open a session: "), "{refused}");
        assert!(open("ftp://mcp.example/", "X-Key").await.starts_with("its address has the scheme `ftp`"));
        assert!(!open("http://mcp.example/here", "not a name").await.contains("s3cret"));
    }
}
