//! A caller that speaks MCP over Streamable HTTP, with a session of its own.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use memchr::memmem;

use super::Tool;
use super::connection::Connection;

/// What callers of the first days speak, and most still do.
pub(crate) const USUAL_REVISION: &str = "2025-06-18";

/// What Hayloft speaks with servers that know it.
pub(crate) const LATEST_REVISION: &str = "2025-11-25";

/// A caller with a session.
#[derive(Debug)]
pub(crate) struct McpCaller {
    connection: Connection,
    path: String,
    headers: HeaderMap,
    tool: Tool,
    next_id: u64,
}

impl McpCaller {
    /// Connects and opens a session.
    pub(crate) async fn open(
        address: SocketAddr,
        path: &str,
        token: Option<&str>,
        revision: &'static str,
        tool: Tool,
    ) -> anyhow::Result<Self> {
        let connection = Connection::open(address).await?;
        let mut headers = HeaderMap::new();
        headers.insert("host", connection.address().to_string().parse()?);
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("accept", HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(token) = token {
            headers.insert("authorization", format!("Bearer {token}").parse()?);
        }
        let mut caller = Self { connection, path: path.to_owned(), headers, tool, next_id: 1 };
        caller.initialize(revision).await?;
        Ok(caller)
    }

    async fn initialize(&mut self, revision: &'static str) -> anyhow::Result<()> {
        let (status, headers, body) = self
            .post(format!(
                r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{revision}","capabilities":{{}},"clientInfo":{{"name":"hayloft-bench","version":"1.0.0"}}}}}}"#
            ))
            .await?;
        let text = String::from_utf8_lossy(&body);
        ensure!(
            status.is_success() && text.contains(revision),
            "`initialize` was answered with {status}: {text}"
        );
        if let Some(session) = headers.get("mcp-session-id") {
            self.headers.insert("mcp-session-id", session.clone());
        }
        self.headers.insert("mcp-protocol-version", HeaderValue::from_static(revision));
        let (status, ..) =
            self.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned()).await?;
        ensure!(status.is_success(), "`notifications/initialized` was answered with {status}");
        Ok(())
    }

    /// What a request of this session carries, for a caller that sends requests of its own.
    pub(crate) fn session_headers(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let names = ["accept", "authorization", "mcp-session-id", "mcp-protocol-version"];
        let given = names.into_iter().filter_map(|name| Some((name, self.headers.get(name)?)));
        given.map(|(name, value)| Ok((name, value.to_str()?.to_owned()))).collect()
    }

    pub(crate) async fn reopen(&mut self) -> anyhow::Result<()> {
        self.connection.reopen().await
    }

    pub(crate) async fn call(&mut self) -> anyhow::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        let (status, _, body) = self.post(self.tool.request(id)).await?;
        self.tool.check(id, status, &body)
    }

    async fn post(&mut self, message: String) -> anyhow::Result<(StatusCode, HeaderMap, Bytes)> {
        let mut request = Request::post(&self.path).body(Full::new(Bytes::from(message)))?;
        *request.headers_mut() = self.headers.clone();
        self.connection
            .send(request)
            .await
            .with_context(|| format!("no answer from {}", self.connection.address()))
    }
}

impl Tool {
    /// The request as a message.
    pub(crate) fn request(&self, id: u64) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{}","arguments":{}}}}}"#,
            self.name, self.arguments
        )
    }

    /// Whether the answer is the one to this very request.
    fn check(&self, id: u64, status: StatusCode, body: &[u8]) -> anyhow::Result<()> {
        let has = |text: &str| memmem::find(body, text.as_bytes()).is_some();
        let own = has(&format!("\"id\":{id},")) || has(&format!("\"id\":{id}}}"));
        if status != StatusCode::OK || !own || !has(self.expected) {
            bail!("`{}` was answered with {status}: {}", self.name, String::from_utf8_lossy(body));
        }
        Ok(())
    }

    /// The same for a message that came without a status.
    pub(crate) fn check_message(&self, id: u64, message: &[u8]) -> anyhow::Result<()> {
        self.check(id, StatusCode::OK, message)
    }
}
