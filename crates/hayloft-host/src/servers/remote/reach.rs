//! Reaching a server elsewhere once: which way is tried first, what is sent along, and why it came to nothing.

use std::sync::Arc;
use std::time::Duration;

use hayloft_mcp::Upstream;
use hayloft_mcp::client::remote::{Connector, HeaderSource, Remote, RemoteLimits, RemoteUrl};
use hayloft_mcp::client::{CallError, CloseReason, OpenError, ToolListing, TransportError};
use hayloft_model::{InstanceKey, Problem, ServerId};

use super::super::connect::remote_kind;
use super::super::handed::RemoteServer;
use super::super::outbound::OutboundCaller;
use super::sign::Signer;
use crate::Host;
use crate::observe::upstream_options;
use crate::plugins::validate_auth::AuthTrial;

/// How long it may take until a server is there and has listed its tools, whatever ways are tried.
const REACH_WITHIN: Duration = Duration::from_secs(25);

/// How long one server may take for one of the steps until then.
const STEP_WITHIN: Duration = Duration::from_secs(8);

/// What people are told of a server elsewhere while nothing leads out.
const NO_WAY_OUT: &str = "remote MCP servers cannot be reached: this installation has no outbound access";

/// A server that was reached.
pub(super) struct Reached {
    pub(super) upstream: Upstream,
    pub(super) listing: ToolListing,
}

/// Why a server was not reached. The text is for people and holds no secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: String,
    pub(super) kind: FailureKind,
    /// Whether the server refused what it was sent as credentials, or there are none to send.
    pub(crate) is_refusal: bool,
}

/// Whether trying again by itself could help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// It could: servers come back.
    Passing,
    /// Somebody has to change something first.
    Lasting,
}

impl Failure {
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: FailureKind::Passing, is_refusal: false }
    }

    pub(super) fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: FailureKind::Lasting, is_refusal: false }
    }

    /// The server is there, and did not list its tools.
    pub(super) fn of_list(error: &CallError) -> Self {
        let is_refusal = match error {
            CallError::Transport(error) | CallError::Closed(CloseReason::Transport(error)) => {
                is_about_credentials(error)
            }
            _ => false,
        };
        Self { is_refusal, ..Self::passing(format!("failed to list its tools: {error}")) }
    }
}

const fn is_about_credentials(error: &TransportError) -> bool {
    matches!(error, TransportError::Credentials { .. } | TransportError::NoCredentials(_))
}

fn refuses_credentials(error: &OpenError) -> bool {
    match error {
        OpenError::Transport(error) | OpenError::Closed(CloseReason::Transport(error)) => {
            is_about_credentials(error)
        }
        _ => false,
    }
}

/// Whether a session failed to open for a reason that somebody must change.
fn kind_of(error: &OpenError) -> FailureKind {
    match error {
        OpenError::Transport(error) | OpenError::Closed(CloseReason::Transport(error)) => match error {
            TransportError::Credentials { .. }
            | TransportError::NoCredentials(_)
            | TransportError::Redirected { .. } => FailureKind::Lasting,
            _ => FailureKind::Passing,
        },
        OpenError::UnknownRevision(_) => FailureKind::Lasting,
        OpenError::Closed(_) | OpenError::Timeout(_) | OpenError::Refused(_) | OpenError::Malformed(_) => {
            FailureKind::Passing
        }
    }
}

/// Reaches a server over the first of its transports that leads to an answer.
async fn over_any(
    connector: Arc<dyn Connector>,
    address: &RemoteUrl,
    headers: Arc<dyn HeaderSource>,
    server: &RemoteServer,
) -> Result<Reached, Failure> {
    let mut failures = Vec::new();
    let (mut all_lasting, mut is_refusal) = (true, false);
    for kind in &server.transports {
        let Some(remote_kind) = remote_kind(*kind) else { continue };
        let way = Remote {
            kind: remote_kind,
            url: address.clone(),
            connector: Arc::clone(&connector),
            headers: Arc::clone(&headers),
            limits: RemoteLimits::default(),
        };
        let mut options = upstream_options();
        (options.open_within, options.list_within) = (STEP_WITHIN, STEP_WITHIN);
        match Upstream::open(way, options).await {
            Ok(upstream) => {
                let listed: Result<ToolListing, CallError> = upstream.list_tools().await;
                return match listed {
                    Ok(listing) => Ok(Reached { upstream, listing }),
                    Err(error) => Err(Failure::of_list(&error)),
                };
            }
            Err(error) => {
                all_lasting &= kind_of(&error) == FailureKind::Lasting;
                is_refusal |= refuses_credentials(&error);
                let is_final = kind_of(&error) == FailureKind::Lasting;
                failures.push(format!("over {kind}: {error}"));
                if is_final {
                    break;
                }
            }
        }
    }
    let kind = if all_lasting { FailureKind::Lasting } else { FailureKind::Passing };
    Err(Failure { why: failures.join("; "), kind, is_refusal })
}

/// The address of a server elsewhere, as far as it can be judged without asking anybody.
pub(crate) fn address(url: &str) -> Result<RemoteUrl, Problem> {
    let address = RemoteUrl::parse(url)?;
    match hayloft_model::HostName::parse(address.host()) {
        Ok(_) => Ok(address),
        Err(error) => {
            let message = format!("its host `{}` {error}", address.host().escape_debug());
            Err(Problem::error("", message)
                .hint("name the server; an operator can grant a name at a private address"))
        }
    }
}

impl Host {
    /// Reaches a server elsewhere, within a time that no server makes longer: with what the organization saved, or with
    /// what is only being tried.
    pub(super) async fn reach(
        &self,
        key: &InstanceKey,
        server: &ServerId,
        remote: &RemoteServer,
        trial: Option<&AuthTrial>,
    ) -> Result<Reached, Failure> {
        let address = address(&remote.url).map_err(|problem| Failure::lasting(problem.message))?;
        let Some(outbound) = &self.outbound else { return Err(Failure::lasting(NO_WAY_OUT)) };
        let Some(descriptor) = self.permitted_of(key) else {
            return Err(Failure::lasting("its plugin is not on this host any more"));
        };
        let caller = OutboundCaller {
            key: key.clone(),
            plugin: Arc::new(descriptor),
            refused: self.refusals_of(key, server),
        };
        let connector =
            outbound.connector(&caller, &address).map_err(|error| Failure::lasting(error.to_string()))?;
        let signer = Signer::new(self, key, remote, trial);
        let reached = over_any(connector, &address, Arc::new(signer), remote);
        tokio::time::timeout(REACH_WITHIN, reached).await.unwrap_or_else(|_| {
            Err(Failure::passing(format!("it was not there within {} s", REACH_WITHIN.as_secs())))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use hayloft_mcp::client::remote::SecretHeaders;
    use hayloft_model::Secret;
    use hayloft_model::plugin::{McpTransport as Kind, ServerAuth};
    use serde_json::Value;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the server is the test's own")]
    async fn reach(there: SocketAddr, server: &RemoteServer) -> Result<Reached, Failure> {
        let address = address(&server.url).map_err(|problem| Failure::lasting(problem.message))?;
        let headers = server.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let headers =
            SecretHeaders::parse(headers).map_err(|problems| Failure::lasting(problems.to_string()))?;
        over_any(Arc::new(move || TcpStream::connect(there)), &address, Arc::new(headers), server).await
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
            let message: Value = serde_json::from_slice(&body).unwrap_or_default();
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
        RemoteServer { url: url.into(), transports: transports.into(), headers, auth: ServerAuth::Nothing }
    }

    #[tokio::test]
    async fn what_leads_out_is_used_with_the_servers_own_headers() {
        let (address, mut heads) = server().await;
        let wanted = remote("http://mcp.example/here", &[Kind::Websocket, Kind::Http], "X-Key");
        let reached = reach(address, &wanted).await.ok().unwrap();
        assert!(reached.upstream.close_reason().is_none() && reached.listing.tools.is_empty());
        let first = heads.recv().await.unwrap();
        assert!(first.starts_with("get /here ") && first.contains("upgrade: websocket"), "{first}");
        let second = heads.recv().await.unwrap();
        assert!(second.starts_with("post /here ") && second.contains("host: mcp.example"), "{second}");
        assert!(second.contains("x-key: s3cret"), "{second}");
    }

    #[tokio::test]
    async fn what_does_not_lead_out_is_told_without_the_secret() {
        let (there, _heads) = server().await;
        let open = async |url: &str, header: &str| {
            reach(there, &remote(url, &[Kind::Http], header)).await.err().unwrap()
        };
        let refused = open("http://mcp.example/elsewhere", "X-Key").await;
        assert!(refused.why.starts_with("over http: failed to open a session: "), "{refused:?}");
        assert_eq!(refused.kind, FailureKind::Passing);
        assert!(!open("http://mcp.example/here", "not a name").await.why.contains("s3cret"));
    }

    #[test]
    fn an_address_names_a_server() {
        for url in ["https://mcp.example.com", "wss://mcp.example.com/a?b", "http://api.internal:8080/"] {
            assert!(address(url).is_ok(), "{url}");
        }
        for url in [
            "ftp://mcp.example.com/",
            "file:///etc/passwd",
            "gopher://mcp.example.com/",
            "https://user@mcp.example.com/",
            "https://:secret@mcp.example.com/",
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://0/",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "https://mcp.example.com./",
            "https://exa_mple.com/",
            "https://mcp.example.com%00.evil.net/",
            "https://%31%32%37.0.0.1/",
            "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
        ] {
            assert!(address(url).is_err(), "{url}");
        }
    }
}
