//! A small MCP client over Streamable HTTP that speaks raw JSON, so that a test sees exactly what was sent.
//!
//! It knows no protocol revision: it sends the one that it is told, and nothing that the test did not ask for except
//! what the transport demands (session, revision and `accept` headers).

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::Api;
use crate::http_client::{Body, PATIENCE, Response};
use crate::sse::Events;

/// The revision that a probe asks for when the test does not care.
pub const LATEST_REVISION: &str = "2025-11-25";

/// One client, with or without a session.
#[derive(Clone, Debug)]
pub struct McpProbe {
    api: Api,
    path: String,
    session: Option<String>,
    revision: Option<String>,
    next_id: i64,
}

/// What a request led to.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer to the request: the message with its id. `Null` if there was none.
    pub answer: Value,
    /// All messages that came before the answer on the same stream, in order.
    pub before: Vec<Value>,
}

impl Exchange {
    /// The result.
    ///
    /// # Panics
    /// If there is none, showing the answer.
    #[track_caller]
    pub fn result(&self) -> &Value {
        self.answer.get("result").unwrap_or_else(|| panic!("no result in {} {}", self.status, self.answer))
    }

    /// The error.
    ///
    /// # Panics
    /// If there is none, showing the answer.
    #[track_caller]
    pub fn error(&self) -> &Value {
        self.answer.get("error").unwrap_or_else(|| panic!("no error in {} {}", self.status, self.answer))
    }
}

impl McpProbe {
    /// A client of the endpoint at a path.
    #[must_use]
    pub fn new(api: Api, path: &str) -> Self {
        Self { api, path: path.to_owned(), session: None, revision: None, next_id: 1 }
    }

    /// The session's id, once there is one.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Continues a session that another client began.
    pub fn resume(&mut self, session: &str, revision: &str) {
        self.session = Some(session.to_owned());
        self.revision = Some(revision.to_owned());
    }

    /// Opens a session of the latest revision and gives the server's answer.
    pub async fn open(&mut self) -> Value {
        self.initialize(LATEST_REVISION).await.result().clone()
    }

    /// Sends `initialize` with a revision, and `notifications/initialized` if that succeeds. From then on the session
    /// and the agreed revision go along.
    pub async fn initialize(&mut self, revision: &str) -> Exchange {
        let params = json!({
            "protocolVersion": revision,
            "capabilities": {},
            "clientInfo": { "name": "probe", "version": "1.0.0" },
        });
        let id = self.take_id();
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": "initialize", "params": params });
        let answer = self.post(&message.to_string(), &[]).await;
        let session = answer.headers().get("mcp-session-id").and_then(|value| value.to_str().ok());
        self.session = session.map(str::to_owned);
        let exchange = read_exchange(answer, &json!(id)).await;
        if let Some(agreed) = exchange.answer.pointer("/result/protocolVersion").and_then(Value::as_str) {
            self.revision = Some(agreed.to_owned());
            let status = self.notify("notifications/initialized", Value::Null).await;
            assert!(status.is_success(), "`notifications/initialized` was answered with {status}");
        }
        exchange
    }

    /// Sends a request under the next id.
    pub async fn request(&mut self, method: &str, params: Value) -> Exchange {
        let id = self.take_id();
        self.request_as(&json!(id), method, params).await
    }

    /// Sends a request under an id of the test's choice. It needs no exclusive access, so that several can be on
    /// their way at once.
    pub async fn request_as(&self, id: &Value, method: &str, params: Value) -> Exchange {
        let mut message = json!({ "jsonrpc": "2.0", "id": id, "method": method });
        if !params.is_null() {
            message["params"] = params;
        }
        read_exchange(self.post(&message.to_string(), &[]).await, id).await
    }

    /// Sends a notification and gives the status of the answer.
    pub async fn notify(&self, method: &str, params: Value) -> StatusCode {
        let mut message = json!({ "jsonrpc": "2.0", "method": method });
        if !params.is_null() {
            message["params"] = params;
        }
        self.post(&message.to_string(), &[]).await.status()
    }

    /// All tools, page by page.
    pub async fn list_tools(&mut self) -> Vec<Value> {
        let mut tools = Vec::new();
        let mut params = Value::Null;
        loop {
            let exchange = self.request("tools/list", params).await;
            let page = exchange.result();
            tools.extend(page["tools"].as_array().expect("a list of tools").iter().cloned());
            match page.get("nextCursor") {
                Some(cursor) => params = json!({ "cursor": cursor }),
                None => return tools,
            }
        }
    }

    /// The names of all tools, sorted.
    pub async fn tool_names(&mut self) -> Vec<String> {
        let tools = self.list_tools().await;
        let mut names: Vec<_> =
            tools.iter().map(|tool| tool["name"].as_str().expect("a tool's name").to_owned()).collect();
        names.sort();
        names
    }

    /// Calls a tool.
    pub async fn call_tool(&mut self, name: &str, arguments: Value) -> Exchange {
        self.request("tools/call", json!({ "name": name, "arguments": arguments })).await
    }

    /// Opens the stream on which the server speaks unasked.
    ///
    /// # Panics
    /// If the server gives no such stream.
    pub async fn notifications(&self) -> Notifications {
        let answer = self.open_stream().await;
        assert_eq!(answer.status(), StatusCode::OK, "the server gives no stream");
        Notifications(Events::new(answer.into_body()))
    }

    /// Asks for the stream on which the server speaks unasked, and gives the bare answer.
    pub async fn open_stream(&self) -> http::Response<hyper::body::Incoming> {
        let request = self.message_request(&Method::GET, "", &[("accept", "text/event-stream")]);
        self.api
            .http()
            .open(request)
            .await
            .unwrap_or_else(|error| panic!("failed to open the stream: {error}"))
    }

    /// Ends the session and gives the status of the answer.
    pub async fn end(&mut self) -> StatusCode {
        let request = self.message_request(&Method::DELETE, "", &[]);
        let status = self.api.http().send(request).await.status;
        self.session = None;
        status
    }

    /// Posts a body as it is, with the headers of the transport and the given ones, and reads the whole answer.
    pub async fn post_raw(&self, body: impl Into<Bytes>, headers: &[(&str, &str)]) -> Response {
        self.api.http().send(self.message_request(&Method::POST, body, &with_content(headers))).await
    }

    async fn post(&self, message: &str, headers: &[(&str, &str)]) -> http::Response<hyper::body::Incoming> {
        let request = self.message_request(&Method::POST, message.to_owned(), &with_content(headers));
        self.api.http().open(request).await.unwrap_or_else(|error| panic!("no answer to {message}: {error}"))
    }

    fn message_request(
        &self,
        method: &Method,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Request<Body> {
        let mut all = Vec::from(headers);
        let unset = |name: &str| !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        if let Some(session) = self.session.as_deref().filter(|_| unset("mcp-session-id")) {
            all.push(("mcp-session-id", session));
        }
        if let Some(revision) = self.revision.as_deref().filter(|_| unset("mcp-protocol-version")) {
            all.push(("mcp-protocol-version", revision));
        }
        self.api.request(method, &self.path, &all, body)
    }

    fn take_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id - 1
    }
}

/// What the server says unasked.
#[derive(Debug)]
pub struct Notifications(Events);

impl Notifications {
    /// The next message.
    ///
    /// # Panics
    /// If none comes.
    pub async fn next(&mut self) -> Value {
        let event = timeout(PATIENCE, self.0.next()).await.expect("a message in time");
        event.expect("a message before the end of the stream").json()
    }

    /// The next message with this method; others are passed over.
    pub async fn next_of(&mut self, method: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["method"] == method {
                return message;
            }
        }
    }

    /// Waits until the server ends the stream.
    pub async fn ended(&mut self) {
        let end = async { while self.0.next().await.is_some() {} };
        timeout(PATIENCE, end).await.expect("the end of the stream in time");
    }
}

fn with_content<'a>(headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = Vec::from(headers);
    for header in [("content-type", "application/json"), ("accept", "application/json, text/event-stream")] {
        if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(header.0)) {
            all.push(header);
        }
    }
    all
}

/// Reads an answer, be it one message or a stream, up to the message with this id.
async fn read_exchange(answer: http::Response<hyper::body::Incoming>, id: &Value) -> Exchange {
    let status = answer.status();
    let content =
        answer.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut exchange = Exchange { status, answer: Value::Null, before: Vec::new() };
    if content.starts_with("text/event-stream") {
        let mut events = Events::new(answer.into_body());
        let read = async {
            while let Some(event) = events.next().await {
                // An event without data only gives the place to resume from.
                if event.data.is_empty() {
                    continue;
                }
                let message = event.json();
                if message.get("id") == Some(id) && message.get("method").is_none() {
                    exchange.answer = message;
                    return;
                }
                exchange.before.push(message);
            }
        };
        timeout(PATIENCE, read).await.expect("an answer in time");
    } else {
        let body = timeout(PATIENCE, answer.into_body().collect()).await.expect("an answer in time");
        let body = body.unwrap_or_else(|error| panic!("the answer broke off: {error}")).to_bytes();
        exchange.answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
    }
    exchange
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::client::Address;
    use crate::http_client::HttpClient;

    /// Answers each request with the next of these, and gives back what it was sent.
    async fn scripted(answers: &'static [&'static str]) -> (McpProbe, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let mut seen = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                seen.push(read_request(&mut stream).await);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            seen
        });
        let api = Api::new(Address::new(address), HttpClient::new(), Some("secret".to_owned()));
        (McpProbe::new(api, "/v1/mcp"), server)
    }

    async fn read_request(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        loop {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).await.unwrap();
            text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
            let length = text
                .to_lowercase()
                .split_once("content-length: ")
                .map_or(0, |(_, after)| after.split_once("\r\n").unwrap().0.parse().unwrap());
            if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length) {
                return text;
            }
        }
    }

    #[tokio::test]
    async fn a_session_goes_along_and_a_stream_is_read_up_to_the_answer() {
        let (mut probe, server) = scripted(&[
            "HTTP/1.1 200 OK\r\nmcp-session-id: s1\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
             {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-06-18\"}}",
            "HTTP/1.1 202 Accepted\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
             id: 0\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n\
             data: {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n\n\
             data: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"content\":[]}}\n\n\
             data: {\"jsonrpc\":\"2.0\",\"method\":\"never/read\"}\n\n",
        ])
        .await;
        probe.initialize("2025-06-18").await;
        let exchange = probe.call_tool("echo", json!({ "a": 1 })).await;
        assert_eq!(exchange.result(), &json!({ "content": [] }));
        let methods: Vec<_> =
            exchange.before.iter().map(|message| message["method"].as_str().unwrap()).collect();
        assert_eq!(methods, ["notifications/progress", "ping"]);

        let seen = server.await.unwrap();
        assert!(!seen[0].contains("mcp-session-id"));
        for request in &seen[1..] {
            for header in
                ["mcp-session-id: s1", "mcp-protocol-version: 2025-06-18", "authorization: Bearer secret"]
            {
                assert!(request.contains(header), "no `{header}` in {request}");
            }
        }
        assert!(seen[2].ends_with(r#""params":{"name":"echo","arguments":{"a":1}}}"#), "{}", seen[2]);
    }
}
