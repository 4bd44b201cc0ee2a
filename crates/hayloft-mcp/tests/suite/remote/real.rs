//! The official reference server, over every transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use hayloft_mcp::client::remote::{Remote, RemoteKind, RemoteUrl};
use hayloft_mcp::client::{CallDeadline, CallError, UpstreamCall};
use hayloft_mcp::{ToolFailure, Upstream, progress_channel};
use hayloft_testkit::NodeService;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::*;

/// The reference server, and where it is for a client that survives its restart.
struct Reference {
    service: NodeService,
    transport: &'static str,
    port: watch::Sender<Option<u16>>,
    connections: Arc<AtomicUsize>,
}

const ALL: [(RemoteKind, &str, &str); 3] = [
    (RemoteKind::StreamableHttp, "streamableHttp", "http://localhost/mcp"),
    (RemoteKind::Sse, "sse", "http://localhost/sse"),
    (RemoteKind::WebSocket, "webSocket", "ws://localhost/"),
];

impl Reference {
    fn start(transport: &'static str) -> Self {
        let service = Self::run(transport);
        let port = watch::Sender::new(Some(port_of(&service)));
        Self { service, transport, port, connections: Arc::default() }
    }

    fn run(transport: &str) -> NodeService {
        let script =
            hayloft_testkit::workspace::root().join("crates/hayloft-mcp/tests/fixtures/everything.mjs");
        NodeService::start(&script, &[transport], &[])
    }

    fn remote(&self, kind: RemoteKind, url: &str) -> Remote {
        let (port, connections) = (self.port.subscribe(), Arc::clone(&self.connections));
        Remote::new(kind, RemoteUrl::parse(url).unwrap(), move || {
            let (mut port, connections) = (port.clone(), Arc::clone(&connections));
            async move {
                let port = port.wait_for(Option::is_some).await.unwrap().unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                #[expect(clippy::disallowed_methods, reason = "the server is the test's own")]
                let stream = TcpStream::connect(("127.0.0.1", port)).await?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }
        })
    }

    /// Ends, and comes back knowing nothing. Connections wait meanwhile.
    fn restart(&mut self) {
        self.port.send_replace(None);
        self.service.stop();
        self.service = Self::run(self.transport);
        self.port.send_replace(Some(port_of(&self.service)));
    }
}

fn port_of(service: &NodeService) -> u16 {
    service.announcement()["port"].as_u64().unwrap().try_into().unwrap()
}

async fn call_tool(upstream: &Upstream, name: &str, arguments: &str) -> Result<String, ToolFailure> {
    let arguments = raw(arguments);
    let call = UpstreamCall {
        name,
        arguments: Some(&arguments),
        meta: None,
        progress: None,
        deadline: DEADLINE,
        cancelled: &CancellationToken::new(),
    };
    upstream.call_tool(call).await.map(|result| text_of(&result)).map_err(ToolFailure::from)
}

fn text_of(result: &RawValue) -> String {
    let result: Value = serde_json::from_str(result.get()).unwrap();
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

async fn echo(upstream: &Upstream, message: &str) -> Result<String, ToolFailure> {
    call_tool(upstream, "echo", &format!(r#"{{"message":"{message}"}}"#)).await
}

#[tokio::test]
async fn every_transport_makes_the_same_session() {
    for (kind, transport, url) in ALL {
        let reference = Reference::start(transport);
        let upstream = Upstream::open(reference.remote(kind, url), options()).await.unwrap();
        assert_eq!(upstream.details().name, "mcp-servers/everything");
        let listing = upstream.list_tools().await.unwrap();
        assert!(listing.problems.is_empty(), "{}", listing.problems);
        let names: Vec<_> = listing.tools.iter().map(|tool| tool.name()).collect();
        assert!(names.contains(&"echo") && names.contains(&"get-sum"), "{names:?}");
        assert_eq!(echo(&upstream, "hi ☃").await.unwrap(), "Echo: hi ☃", "{transport}");
        upstream.ping(Duration::from_secs(10)).await.unwrap();
        let sums = join_all((0..100).map(async |n| {
            let sum = call_tool(&upstream, "get-sum", &format!(r#"{{"a":{n},"b":1}}"#)).await.unwrap();
            assert_eq!(sum, format!("The sum of {n} and 1 is {}.", n + 1));
        }));
        sums.await;
        assert_eq!(upstream.counters().foreign_replies + upstream.counters().late_replies, 0, "{transport}");
    }
}

#[tokio::test]
async fn calls_use_the_connections_of_those_before() {
    for (kind, transport, url) in ALL {
        let reference = Reference::start(transport);
        let upstream = Upstream::open(reference.remote(kind, url), options()).await.unwrap();
        for n in 0..100 {
            echo(&upstream, &n.to_string()).await.unwrap();
        }
        let connections = reference.connections.load(Ordering::SeqCst);
        // One for requests, one for a stream, and those that a race at the opening may cost.
        assert!(connections <= 4, "{transport}: {connections} connections for 100 calls");
    }
}

#[tokio::test]
async fn progress_and_cancellation_reach_over_every_transport() {
    for (kind, transport, url) in ALL {
        let reference = Reference::start(transport);
        let upstream = Upstream::open(reference.remote(kind, url), options()).await.unwrap();
        let (sink, mut reports) = progress_channel();
        let arguments = raw(r#"{"duration":0.3,"steps":3}"#);
        let call = UpstreamCall {
            name: "trigger-long-running-operation",
            arguments: Some(&arguments),
            meta: None,
            progress: Some(sink),
            deadline: DEADLINE,
            cancelled: &CancellationToken::new(),
        };
        assert!(text_of(&upstream.call_tool(call).await.unwrap()).contains("completed"), "{transport}");
        for n in 1..=3 {
            assert_eq!(reports.recv().await.unwrap().as_json(), format!(r#"{{"progress":{n},"total":3}}"#));
        }

        let (sink, mut reports) = progress_channel();
        let cancelled = CancellationToken::new();
        let arguments = raw(r#"{"duration":600,"steps":60000}"#);
        let call = UpstreamCall {
            name: "trigger-long-running-operation",
            arguments: Some(&arguments),
            meta: None,
            progress: Some(sink),
            deadline: CallDeadline::fixed(Duration::from_secs(60)),
            cancelled: &cancelled,
        };
        let cancelling = async {
            reports.recv().await.unwrap();
            cancelled.cancel();
        };
        let (outcome, ()) = tokio::join!(upstream.call_tool(call), cancelling);
        assert!(matches!(outcome, Err(CallError::Cancelled)), "{transport}: {outcome:?}");
        assert_eq!(echo(&upstream, "after").await.unwrap(), "Echo: after");
    }
}

#[tokio::test]
async fn a_server_that_is_killed_fails_its_calls_and_closes_the_session() {
    for (kind, transport, url) in ALL {
        let mut reference = Reference::start(transport);
        let upstream = Upstream::open(reference.remote(kind, url), options()).await.unwrap();
        let (sink, mut reports) = progress_channel();
        let calling = tokio::spawn({
            let upstream = upstream.clone();
            async move {
                let arguments = raw(r#"{"duration":600,"steps":60000}"#);
                let call = UpstreamCall {
                    name: "trigger-long-running-operation",
                    arguments: Some(&arguments),
                    meta: None,
                    progress: Some(sink),
                    deadline: DEADLINE,
                    cancelled: &CancellationToken::new(),
                };
                upstream.call_tool(call).await.map_err(ToolFailure::from)
            }
        });
        reports.recv().await.unwrap();
        reference.service.stop();
        let broke = failure(calling.await.unwrap());
        assert!(broke.starts_with("crashed: ") || broke.starts_with("unavailable: "), "{transport}: {broke}");
        let closed = tokio::time::timeout(Duration::from_secs(30), upstream.closed()).await;
        let closed = closed.unwrap_or_else(|_| panic!("{transport}: the session stays open"));
        let after = failure(echo(&upstream, "x").await.map(|_| raw("{}")));
        assert!(after.ends_with(&closed.to_string()), "{transport}: {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_and_knows_no_session_is_given_a_new_one() {
    let (kind, transport, url) = ALL[0];
    let mut reference = Reference::start(transport);
    let upstream = Upstream::open(reference.remote(kind, url), options()).await.unwrap();
    let mut changed = upstream.tools_changed();
    assert_eq!(echo(&upstream, "before").await.unwrap(), "Echo: before");
    changed.mark_unchanged();
    tokio::task::block_in_place(|| reference.restart());
    assert_eq!(echo(&upstream, "after").await.unwrap(), "Echo: after");
    changed.changed().await.unwrap();
    assert_eq!(upstream.close_reason(), None);
}

#[tokio::test]
async fn the_wrong_transport_is_named_and_not_guessed() {
    let streamable = Reference::start("streamableHttp");
    let open = |kind, url| Upstream::open(streamable.remote(kind, url), options());
    let missing = open(RemoteKind::StreamableHttp, "http://localhost/nowhere").await.unwrap_err().to_string();
    assert_eq!(missing, "failed to open a session: the server answered with HTTP 404");
    let sse = open(RemoteKind::Sse, "http://localhost/mcp").await.unwrap_err().to_string();
    assert_eq!(
        sse,
        "failed to open a session: the server answered with HTTP 400: Bad Request: No valid session ID provided"
    );
    let socket = open(RemoteKind::WebSocket, "ws://localhost/mcp").await.unwrap_err().to_string();
    assert!(socket.starts_with("failed to open a session: the server answered with HTTP 400"), "{socket}");
}
