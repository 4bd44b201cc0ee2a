//! Descriptor 4: the plugin's own routes, over HTTP/1.1 on a socket that has no name.
//!
//! Bodies are streamed both ways and never parsed. It knows which headers belong to one connection, how long an answer
//! may take and how large it may be; it knows no route and no caller.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    CONNECTION, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, Sleep};

use crate::activity::ActivityGuard;
use crate::{ProxyError, RouteLimits};

mod socket;

pub(crate) use socket::{RouteListener, by_descriptor};

use socket::Connector;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// Sends requests to one worker over connections that it keeps.
#[derive(Clone)]
pub(crate) struct RouteClient {
    client: Client<Connector, RequestBody>,
    limits: RouteLimits,
}

impl RouteClient {
    pub(crate) fn new(listener: RouteListener, limits: RouteLimits) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .http1_max_buf_size(limits.head.max(8 << 10))
            .http1_preserve_header_case(false)
            .build(Connector(listener));
        Self { client, limits }
    }

    /// The answer's head, and its body as it comes. The guard lives as long as the body.
    pub(crate) async fn send<B>(
        &self,
        request: Request<B>,
        guard: ActivityGuard,
    ) -> Result<Response<ResponseBody>, ProxyError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let progress = Arc::new(Progress::new());
        let request = outgoing(request, Arc::clone(&progress));
        let answer = self.client.request(request);
        tokio::pin!(answer);
        let answer = loop {
            let deadline = progress.last() + self.limits.first_byte;
            match tokio::time::timeout_at(deadline, &mut answer).await {
                Ok(answer) => break answer,
                // The request's body was still on its way, so the worker's time has not begun.
                Err(_) if progress.last() + self.limits.first_byte > Instant::now() => {}
                Err(_) => return Err(ProxyError::FirstByteTimeout { after: self.limits.first_byte }),
            }
        };
        let (mut parts, body) = answer.map_err(|error| failure(error, &progress))?.into_parts();
        remove_connection_headers(&mut parts.headers);
        if body.size_hint().lower() > self.limits.response {
            return Err(ProxyError::ResponseTooLarge { limit: self.limits.response });
        }
        let body = ResponseBody {
            body,
            passed: 0,
            limits: self.limits,
            idle: Box::pin(tokio::time::sleep(self.limits.idle)),
            done: false,
            guard: Some(guard),
        };
        Ok(Response::from_parts(parts, body))
    }
}

fn outgoing<B>(request: Request<B>, progress: Arc<Progress>) -> Request<RequestBody>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = request.into_parts();
    remove_connection_headers(&mut parts.headers);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    // The authority only keys the pool; the worker sees the path, and the host that the sender named.
    parts.uri =
        Uri::builder().scheme("http").authority("worker").path_and_query(path).build().unwrap_or_default();
    if !parts.headers.contains_key(HOST) {
        parts.headers.insert(HOST, HeaderValue::from_static("worker"));
    }
    parts.version = Version::HTTP_11;
    let body = TrackedBody { body: Box::pin(body), progress };
    Request::from_parts(parts, UnsyncBoxBody::new(body))
}

fn failure(error: ClientError, progress: &Progress) -> ProxyError {
    if let Some(error) = progress.take_error() {
        return ProxyError::Request(error);
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(hyper) = inner.downcast_ref::<hyper::Error>() {
            if hyper.is_parse() || hyper.is_parse_too_large() {
                return ProxyError::BadAnswer(error.into());
            }
            return ProxyError::WorkerGone;
        }
        cause = inner.source();
    }
    // Nobody listens any more, or the connection was cut while it was made.
    ProxyError::WorkerGone
}

/// Headers that mean something to one connection only (RFC 9110 section 7.6.1), beside those that `Connection` names.
const CONNECTION_HEADERS: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

fn remove_connection_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&CONNECTION_HEADERS) {
        headers.remove(name);
    }
}

/// When the request's body last moved, and what went wrong with it.
struct Progress {
    last: Mutex<(Instant, Option<BoxError>)>,
}

impl Progress {
    fn new() -> Self {
        Self { last: Mutex::new((Instant::now(), None)) }
    }

    fn last(&self) -> Instant {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn moved(&self, error: Option<BoxError>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), error);
    }

    fn take_error(&self) -> Option<BoxError> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).1.take()
    }
}

/// A request's body that tells when it moves.
struct TrackedBody<B> {
    body: Pin<Box<B>>,
    progress: Arc<Progress>,
}

#[derive(Debug, thiserror::Error)]
#[error("the request's body failed")]
struct BodyFailed;

impl<B> Body for TrackedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = self.body.as_mut().poll_frame(context) else { return Poll::Pending };
        match frame {
            Some(Err(error)) => {
                self.progress.moved(Some(error.into()));
                Poll::Ready(Some(Err(Box::new(BodyFailed))))
            }
            Some(Ok(frame)) => {
                self.progress.moved(None);
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                self.progress.moved(None);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a route's answer, as the worker sends it. An error in the middle means that the answer is not whole.
pub struct ResponseBody {
    body: Incoming,
    passed: u64,
    limits: RouteLimits,
    idle: Pin<Box<Sleep>>,
    done: bool,
    /// The call is in flight until the last byte.
    guard: Option<ActivityGuard>,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ProxyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let limits = self.limits;
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                return match self.idle.as_mut().poll(context) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => self.fail(ProxyError::IdleTimeout { after: limits.idle }),
                };
            }
        };
        match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.passed = self.passed.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                if self.passed > limits.response {
                    return self.fail(ProxyError::ResponseTooLarge { limit: limits.response });
                }
                self.idle.as_mut().reset(Instant::now() + limits.idle);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) if error.is_parse() => self.fail(ProxyError::BadAnswer(error.into())),
            Some(Err(_)) => self.fail(ProxyError::WorkerGone),
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl ResponseBody {
    fn fail(mut self: Pin<&mut Self>, error: ProxyError) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        self.end();
        Poll::Ready(Some(Err(error)))
    }

    fn end(&mut self) {
        self.done = true;
        self.guard = None;
    }
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody").field("passed", &self.passed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_connection_are_left_out() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("connection", "x-other"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("x-end", "3"),
            ("content-type", "text/plain"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        remove_connection_headers(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-end", "content-type"]);
    }
}
