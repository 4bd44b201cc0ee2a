//! The REST face as a caller sees it: an address, a token, and paths.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::http_client::{Body, HttpClient, Response, request};
use crate::mcp_probe::McpProbe;

/// How long a plugin that is switched on may take until that is decided, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a server listens. It changes when the server restarts, for all who hold it.
#[derive(Clone, Debug)]
pub(crate) struct Address(Arc<Mutex<SocketAddr>>);

impl Address {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(Arc::new(Mutex::new(address)))
    }

    pub(crate) fn get(&self) -> SocketAddr {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, address: SocketAddr) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

/// The server as one caller sees it. Clones share connections.
#[derive(Clone, Debug)]
pub struct Api {
    address: Address,
    http: HttpClient,
    token: Option<String>,
}

impl Api {
    pub(crate) const fn new(address: Address, http: HttpClient, token: Option<String>) -> Self {
        Self { address, http, token }
    }

    /// The same server with another token, or without one.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// The token that is sent along.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The absolute address of a path that begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address.get())
    }

    /// The client below, for requests of an unusual form.
    #[must_use]
    pub const fn http(&self) -> &HttpClient {
        &self.http
    }

    /// A request to a path with the token and these headers.
    #[must_use]
    pub fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Request<Body> {
        let authorization = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut all: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        all.extend_from_slice(headers);
        request(method, &self.url(path), &all, body)
    }

    /// Sends a request to a path with the token and these headers.
    pub async fn send(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        self.http.send(self.request(method, path, headers, body)).await
    }

    /// Reads a path.
    pub async fn get(&self, path: &str) -> Response {
        self.send(&Method::GET, path, &[], "").await
    }

    /// Puts JSON to a path.
    pub async fn put(&self, path: &str, body: &Value) -> Response {
        self.send(&Method::PUT, path, &[JSON], body.to_string()).await
    }

    /// Posts JSON to a path.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(&Method::POST, path, &[JSON], body.to_string()).await
    }

    /// Deletes a path.
    pub async fn delete(&self, path: &str) -> Response {
        self.send(&Method::DELETE, path, &[], "").await
    }

    /// An MCP client that uses this token at the organization's endpoint.
    #[must_use]
    pub fn mcp(&self) -> McpProbe {
        McpProbe::new(self.clone(), "/v1/mcp")
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// An organization with a token that may do everything in it.
#[derive(Clone, Debug)]
pub struct Organization {
    /// Its id.
    pub id: String,
    /// Its token with the role `admin`.
    pub token: String,
    /// The server as that token sees it.
    pub api: Api,
}

impl Organization {
    /// Makes an organization and its first token, with the administrator's rights.
    pub(crate) async fn create(administrator: &Api, name: &str) -> Self {
        let made = administrator.post("/v1/orgs", &json!({ "name": name })).await.expect(201).json();
        let id = made["id"].as_str().expect("an id in the answer").to_owned();
        let token = create_token(administrator, &id, "admin").await;
        Self { api: administrator.with_token(Some(&token)), id, token }
    }

    /// A path below the organization: `path("plugins")` is `/v1/orgs/{id}/plugins`.
    #[must_use]
    pub fn path(&self, below: &str) -> String {
        format!("/v1/orgs/{}/{below}", self.id)
    }

    /// Reads a path below the organization.
    pub async fn get(&self, below: &str) -> Response {
        self.api.get(&self.path(below)).await
    }

    /// Puts JSON to a path below the organization.
    pub async fn put(&self, below: &str, body: &Value) -> Response {
        self.api.put(&self.path(below), body).await
    }

    /// Posts JSON to a path below the organization.
    pub async fn post(&self, below: &str, body: &Value) -> Response {
        self.api.post(&self.path(below), body).await
    }

    /// Deletes a path below the organization.
    pub async fn delete(&self, below: &str) -> Response {
        self.api.delete(&self.path(below)).await
    }

    /// Makes a further token of the organization.
    pub async fn create_token(&self, role: &str) -> String {
        create_token(&self.api, &self.id, role).await
    }

    /// Enables a plugin with a configuration, expects that to be accepted, and gives the answer. Where the server could not
    /// wait so long for what comes of it, that is waited for.
    pub async fn enable(&self, plugin: &str, config: Value) -> Value {
        let body = json!({ "enabled": true, "config": config });
        let answer = self.put(&format!("plugins/{plugin}"), &body).await;
        assert!(
            answer.status.is_success(),
            "enabling `{plugin}` answered {}: {}",
            answer.status,
            answer.text()
        );
        let mut detail = answer.json();
        let begun = Instant::now();
        while answer.status == 202
            && begun.elapsed() < PATIENCE
            && matches!(detail["state"].as_str(), Some("installing" | "starting"))
        {
            detail = self.get(&format!("plugins/{plugin}")).await.expect(200).json();
        }
        detail
    }

    /// Calls a tool by REST.
    pub async fn call_tool(&self, name: &str, arguments: Value) -> Response {
        self.post(&format!("tools/{name}/call"), &json!({ "arguments": arguments })).await
    }

    /// Sends a request to a plugin's route as an outsider would: without a token, the organization in a header.
    pub async fn route(
        &self,
        method: &Method,
        plugin: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        let mut all = vec![("x-organization-id", self.id.as_str())];
        all.extend_from_slice(headers);
        self.api.with_token(None).send(method, &format!("/v1/plugins/{plugin}{path}"), &all, body).await
    }

    /// An MCP client with the organization's token.
    #[must_use]
    pub fn mcp(&self) -> McpProbe {
        self.api.mcp()
    }
}

async fn create_token(api: &Api, organization: &str, role: &str) -> String {
    let path = format!("/v1/orgs/{organization}/tokens");
    let made = api.post(&path, &json!({ "role": role })).await.expect(201).json();
    made["token"].as_str().expect("a token in the answer").to_owned()
}
