//! The other sides: a client that posts, a server that a test plays by hand, and services between them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use hayloft_mcp::client::stdio::StdioTransport;
use hayloft_mcp::client::{CallDeadline, ClientDetails, OpenError, UpstreamCall};
use hayloft_mcp::{
    CallTool, Change, EndpointOptions, ListFailure, McpEndpoint, Principal, ResponseBody, ServerDetails,
    ToolFailure, ToolPage, ToolService, Upstream, UpstreamOptions, tools_array,
};
use hayloft_model::Entropy;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub(crate) fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// Counts where the product draws.
pub(crate) struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        bytes.iter_mut().rev().zip(next.iter().rev()).for_each(|(to, from)| *to = *from);
    }
}

pub(crate) type Outcome = Result<Box<RawValue>, ToolFailure>;
type Behaviour = Box<dyn Fn(String, CallTool) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// A service whose one tool does what the test says. The caller is the name of a principal.
pub(crate) struct FakeService {
    pub(crate) changes: broadcast::Sender<Change>,
    pub(crate) tools: Bytes,
    behaviour: Behaviour,
}

impl ToolService for FakeService {
    type Caller = String;

    fn principal(&self, caller: &String) -> Principal {
        Principal::new(caller.as_str())
    }

    fn server_details(&self, _: &String) -> ServerDetails {
        ServerDetails {
            name: "fake".to_owned(),
            title: Some("Fake".to_owned()),
            version: "1.2.3".to_owned(),
            description: Some("A fake".to_owned()),
            instructions: Some("Be kind".to_owned()),
        }
    }

    async fn list_tools(&self, _: &String, cursor: Option<&str>) -> Result<ToolPage, ListFailure> {
        match cursor {
            None => Ok(ToolPage { tools: self.tools.clone(), next_cursor: Some("two \"2\"".to_owned()) }),
            Some("two \"2\"") => Ok(ToolPage::whole(tools_array([]))),
            Some(_) => Err(ListFailure::UnknownCursor),
        }
    }

    async fn call_tool(&self, caller: &String, call: CallTool) -> Outcome {
        (self.behaviour)(caller.clone(), call).await
    }

    fn subscribe_changes(&self, _: &String) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }
}

pub(crate) fn service<F, R>(behaviour: F) -> Arc<FakeService>
where
    F: Fn(String, CallTool) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    Arc::new(FakeService {
        changes: broadcast::Sender::new(16),
        tools: Bytes::from_static(br#"[{"name":"a__b","inputSchema":{"type":"object"},"x-odd": 1.0}]"#),
        behaviour: Box::new(move |caller, call| Box::pin(behaviour(caller, call))),
    })
}

/// Answers every call with its arguments.
pub(crate) fn echo() -> Arc<FakeService> {
    service(|_, call| async move { Ok(call.arguments.unwrap_or_else(|| raw("{}"))) })
}

pub(crate) fn endpoint<S: ToolService>(service: Arc<S>, options: EndpointOptions) -> McpEndpoint<S> {
    McpEndpoint::new(service, Arc::new(Counting(AtomicU64::new(1))), options)
}

/// A client of an endpoint, as one principal.
pub(crate) struct Client<S: ToolService<Caller = String>> {
    pub(crate) endpoint: McpEndpoint<S>,
    pub(crate) principal: String,
    pub(crate) session: Option<String>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

pub(crate) const BOTH: &str = "application/json, text/event-stream";

impl<S: ToolService<Caller = String>> Client<S> {
    pub(crate) fn new(endpoint: &McpEndpoint<S>, principal: &str) -> Self {
        Self {
            endpoint: endpoint.clone(),
            principal: principal.to_owned(),
            session: None,
            headers: vec![("content-type", "application/json".to_owned()), ("accept", BOTH.to_owned())],
        }
    }

    /// A client that has opened a session.
    pub(crate) async fn open(endpoint: &McpEndpoint<S>, principal: &str, revision: &str) -> Self {
        let mut client = Self::new(endpoint, principal);
        let answer = client.post(&initialize(revision)).await;
        assert_eq!(answer.status(), 200);
        client.session = Some(answer.headers()["mcp-session-id"].to_str().unwrap().to_owned());
        let answered = text(answer).await;
        let revision = serde_json::from_str::<Value>(&answered).unwrap()["result"]["protocolVersion"].clone();
        client.set("mcp-protocol-version", revision.as_str().unwrap());
        let done = client.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        assert_eq!(done.status(), 202);
        client
    }

    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
    }

    pub(crate) fn unset(&mut self, name: &'static str) {
        self.headers.retain(|(other, _)| *other != name);
    }

    pub(crate) async fn send(&self, method: Method, body: impl Into<Bytes>) -> Response<ResponseBody> {
        let mut request = Request::builder().method(method).uri("/v1/mcp");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        self.endpoint.handle(&parts, body.into(), self.principal.clone()).await
    }

    pub(crate) async fn post(&self, json: &str) -> Response<ResponseBody> {
        self.send(Method::POST, json.to_owned()).await
    }

    /// Posts and gives the text of the answer.
    pub(crate) async fn ask(&self, json: &str) -> String {
        text(self.post(json).await).await
    }
}

pub(crate) fn initialize(revision: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{revision}","capabilities":{{}},"clientInfo":{{"name":"test","version":"1"}}}}}}"#
    )
}

pub(crate) async fn text(response: Response<ResponseBody>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The next piece of a streamed answer.
pub(crate) async fn piece(body: &mut Pin<Box<ResponseBody>>) -> Option<String> {
    let frame = body.frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

/// A server on stdio that the test plays.
pub(crate) struct FakeServer {
    pub(crate) stdin: Lines<BufReader<ReadHalf<DuplexStream>>>,
    pub(crate) stdout: WriteHalf<DuplexStream>,
}

pub(crate) type ClientSide = StdioTransport<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;

pub(crate) fn fake_server() -> (FakeServer, ClientSide) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (read, write) = tokio::io::split(ours);
    let (stdin, stdout) = tokio::io::split(theirs);
    (FakeServer { stdin: BufReader::new(stdin).lines(), stdout }, StdioTransport::new(read, write))
}

impl FakeServer {
    /// The next message that the client wrote, or nothing when it hung up.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = self.stdin.next_line().await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    pub(crate) async fn expect(&mut self, method: &str) -> Value {
        let message = self.next().await.unwrap();
        assert_eq!(message["method"], method, "{message}");
        message
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.stdout.write_all(text.as_bytes()).await.unwrap();
        self.stdout.write_all(b"\n").await.unwrap();
    }

    pub(crate) async fn reply(&mut self, id: &Value, result: &str) {
        self.write(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)).await;
    }

    pub(crate) async fn open(&mut self, revision: &str) {
        let initialize = self.expect("initialize").await;
        let result = format!(
            r#"{{"protocolVersion":"{revision}","capabilities":{{"tools":{{"listChanged":true}}}},"serverInfo":{{"name":"fake","version":"1"}}}}"#
        );
        self.reply(&initialize["id"], &result).await;
        self.expect("notifications/initialized").await;
    }

    /// Goes on as a server that answers each call with its arguments.
    pub(crate) fn echo(mut self) {
        tokio::spawn(async move {
            while let Some(message) = self.next().await {
                if message["method"] == "tools/call" {
                    self.reply(&message["id"], &message["params"]["arguments"].to_string()).await;
                }
            }
        });
    }
}

pub(crate) fn options() -> UpstreamOptions {
    UpstreamOptions::new(ClientDetails { name: "hayloft".to_owned(), title: None, version: "0".to_owned() })
}

pub(crate) async fn open_with(
    revision: &str,
    options: UpstreamOptions,
) -> (FakeServer, Result<Upstream, OpenError>) {
    let (mut server, transport) = fake_server();
    let (upstream, ()) = tokio::join!(Upstream::open(transport, options), server.open(revision));
    (server, upstream)
}

pub(crate) async fn open() -> (FakeServer, Upstream) {
    let (server, upstream) = open_with("2025-11-25", options()).await;
    (server, upstream.unwrap())
}

pub(crate) const DEADLINE: CallDeadline = CallDeadline::fixed(Duration::from_secs(60));

/// A call of the tool `t` that only its deadline ends.
pub(crate) async fn call(upstream: &Upstream, arguments: &str) -> Result<Box<RawValue>, ToolFailure> {
    call_within(upstream, arguments, DEADLINE).await
}

pub(crate) async fn call_within(upstream: &Upstream, arguments: &str, deadline: CallDeadline) -> Outcome {
    let arguments = raw(arguments);
    let call = UpstreamCall {
        name: "t",
        arguments: Some(&arguments),
        meta: None,
        progress: None,
        deadline,
        cancelled: &CancellationToken::new(),
    };
    upstream.call_tool(call).await.map_err(ToolFailure::from)
}

/// What a failed call says, in one line.
pub(crate) fn failure(outcome: Outcome) -> String {
    match outcome.unwrap_err() {
        ToolFailure::Broke { reason, message, .. } => format!("{reason}: {message}"),
        other => other.to_string(),
    }
}
