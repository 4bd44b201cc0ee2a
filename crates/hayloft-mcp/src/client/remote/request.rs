//! Requests to one server: over connections that are kept, with the headers of the moment, and with a reason for each
//! way in which one can fail.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client, Error as SendError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::client::transport::TransportError;

use super::connector::{ByteStream, Connector};
use super::headers::{HeaderSource, Occasion, SecretHeaders};
use super::{Remote, RemoteLimits};

/// The largest head of a response, and how much of a body is read at once. The library takes no more than 100 headers.
const BUFFER: usize = 64 * 1024;

/// Sends requests to one server.
pub(super) struct Requests {
    client: Client<Dialler, Full<Bytes>>,
    dialler: Dialler,
    headers: Arc<dyn HeaderSource>,
    /// Held while better credentials are asked for, so that they are asked for once.
    renewing: tokio::sync::Mutex<()>,
    limits: RemoteLimits,
}

/// A request, but for the headers that the source adds.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A response of any status.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    /// What the request was sent with, as the server may repeat it.
    pub(super) sent: SecretHeaders,
}

impl Requests {
    pub(super) fn new(remote: &Remote) -> Self {
        let dialler = Dialler {
            connector: Arc::clone(&remote.connector),
            within: remote.limits.connect_within,
            open: Arc::new(AtomicUsize::new(0)),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(remote.limits.keep_idle)
            .pool_max_idle_per_host(remote.limits.concurrent)
            .http1_max_buf_size(BUFFER)
            .build(dialler.clone());
        Self {
            client,
            dialler,
            headers: Arc::clone(&remote.headers),
            renewing: tokio::sync::Mutex::new(()),
            limits: remote.limits,
        }
    }

    /// The limits of the transport.
    pub(super) const fn limits(&self) -> &RemoteLimits {
        &self.limits
    }

    /// Whether any connection to the server is open. When none is and none can be made, the server is gone.
    pub(super) fn is_connected(&self) -> bool {
        self.dialler.open.load(Ordering::Relaxed) > 0
    }

    /// Makes sure that the server is there after a connection broke, which is the only sign of its end that there may
    /// be until somebody calls it again.
    pub(super) async fn confirm_presence(&self) -> Result<(), TransportError> {
        if self.is_connected() {
            return Ok(());
        }
        let dialled = self.dialler.clone().dial().await;
        dialled.map(drop).map_err(|error| TransportError::Unreachable(error.to_string()))
    }

    /// Sends a request and waits for the head of its response. When the credentials are refused, better ones are asked
    /// for once, which is safe as the server did nothing.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Answered, TransportError> {
        let sent = self.headers_on(Occasion::Request).await?;
        let response = self.send_with(ask, &sent).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(Answered { response, sent });
        }
        let better = self.better_than(&sent).await?;
        if better == sent {
            return Ok(Answered { response, sent });
        }
        drop(response);
        let response = self.send_with(ask, &better).await?;
        Ok(Answered { response, sent: better })
    }

    /// As [`Requests::send`], for what no caller's deadline bounds.
    pub(super) async fn send_soon(&self, ask: &Ask<'_>) -> Result<Answered, TransportError> {
        let within = self.limits.exchange_within;
        tokio::time::timeout(within, self.send(ask)).await.unwrap_or(Err(TransportError::Slow(within)))
    }

    async fn send_with(
        &self,
        ask: &Ask<'_>,
        secret: &SecretHeaders,
    ) -> Result<Response<Incoming>, TransportError> {
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask.uri.clone();
        secret.add_to(request.headers_mut());
        request.headers_mut().extend(ask.headers.clone());
        self.client.request(request).await.map_err(|error| not_sent(&error))
    }

    async fn headers_on(&self, occasion: Occasion) -> Result<SecretHeaders, TransportError> {
        self.headers.headers(occasion).await.map_err(|error| TransportError::NoCredentials(error.0))
    }

    /// Credentials to try after some were refused; the same ones when there are none better. Whoever comes while
    /// others ask gets what they got.
    async fn better_than(&self, refused: &SecretHeaders) -> Result<SecretHeaders, TransportError> {
        let _asking = self.renewing.lock().await;
        let current = self.headers_on(Occasion::Request).await?;
        if current != *refused { Ok(current) } else { self.headers_on(Occasion::Refused).await }
    }
}

/// Why a request had no response.
fn not_sent(error: &SendError) -> TransportError {
    if error.is_connect() {
        return TransportError::Unreachable(innermost(error));
    }
    match error.source().and_then(|source| source.downcast_ref::<hyper::Error>()) {
        Some(error) => broken(error),
        None => TransportError::Broken(innermost(error)),
    }
}

/// Why a response ended early.
pub(super) fn broken(error: &hyper::Error) -> TransportError {
    if error.is_parse_too_large() {
        return TransportError::Protocol("the head of its response is too large".to_owned());
    }
    if error.is_parse() {
        return TransportError::Protocol("its response is not HTTP/1.1".to_owned());
    }
    TransportError::Broken(innermost(error))
}

/// The text of the error at the bottom, which is the one that says what happened.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The type of a response's body, without its parameters.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    Some(essence.to_ascii_lowercase())
}

/// Whether a body comes as it is. Nothing else was asked for, and unpacking is how small bodies become large ones.
pub(super) fn is_packed(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != HeaderValue::from_static("identity"))
}

/// Makes connections for the client, by the connector.
#[derive(Clone)]
struct Dialler {
    connector: Arc<dyn Connector>,
    within: Duration,
    open: Arc<AtomicUsize>,
}

impl tower::Service<Uri> for Dialler {
    type Response = TokioIo<Counted>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Counted>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialler = self.clone();
        async move { Ok(TokioIo::new(dialler.dial().await?)) }.boxed()
    }
}

impl Dialler {
    async fn dial(self) -> io::Result<Counted> {
        let Self { connector, within, open } = self;
        let late = |_| {
            let message = format!("no connection came up within {within:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        };
        let stream = tokio::time::timeout(within, connector.connect()).await.unwrap_or_else(late)?;
        Ok(Counted::new(stream, open))
    }
}

/// A connection that is counted while it is open.
struct Counted {
    stream: ByteStream,
    open: Arc<AtomicUsize>,
}

impl Counted {
    fn new(stream: ByteStream, open: Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self { stream, open }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection for Counted {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }
}
