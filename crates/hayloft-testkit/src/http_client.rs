//! A plain HTTP client: it sends what it is told and shows what came back, and judges neither.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

/// How long an answer may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The body of a request.
pub type Body = BoxBody<Bytes, Infallible>;

/// Sends requests over kept-alive connections. Clones share them.
#[derive(Clone, Debug)]
pub struct HttpClient(Client<HttpConnector, Body>);

impl HttpClient {
    /// A client with no connection yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Panics
    /// If there is no answer, or it breaks off. [`Self::try_send`] gives the error instead.
    pub async fn send(&self, request: Request<Body>) -> Response {
        let what = format!("{} {}", request.method(), request.uri());
        self.try_send(request)
            .await
            .unwrap_or_else(|error| panic!("failed to get an answer to {what}: {error}"))
    }

    /// Sends a request and reads the whole answer, or says why there is none.
    ///
    /// # Errors
    /// What the connection broke with, with its causes.
    pub async fn try_send(&self, request: Request<Body>) -> Result<Response, String> {
        let read = async {
            let (head, body) = self.open(request).await?.into_parts();
            let body = body.collect().await.map_err(|error| causes(&error))?.to_bytes();
            Ok(Response { status: head.status, headers: head.headers, body })
        };
        timeout(PATIENCE, read).await.unwrap_or_else(|_| Err(format!("nothing for {PATIENCE:?}")))
    }

    /// Sends a request and gives the answer as soon as its head is there, the body still to be read.
    ///
    /// # Errors
    /// What the connection broke with, with its causes.
    pub async fn open(&self, request: Request<Body>) -> Result<http::Response<Incoming>, String> {
        timeout(PATIENCE, self.0.request(request))
            .await
            .map_err(|_| format!("nothing for {PATIENCE:?}"))?
            .map_err(|error| causes(&error))
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a request with headers given as pairs.
///
/// # Panics
/// If any part cannot stand in a request.
#[must_use]
pub fn request(
    method: &Method,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(body.into()).boxed()).expect("a well-formed request")
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub body: Bytes,
}

impl Response {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON in the answer {}: {error}\n{}", self.status, self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Passes the answer on if it has this status.
    ///
    /// # Panics
    /// If it has another, showing the answer.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "the answer was: {}", self.text());
        self
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
