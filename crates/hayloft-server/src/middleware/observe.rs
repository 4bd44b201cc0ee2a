//! A name for every request, a span around it, and one line and one count when it ends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use hayloft_model::Entropy;
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;
use tracing::Instrument as _;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The name of a request: unique in the log of this and every other run.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(Arc<str>);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes names: a random half for the run, a counted half for the request.
pub(crate) struct RequestIds {
    run: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut run = [0; 8];
        entropy.fill(&mut run);
        Self { run: u64::from_be_bytes(run), next: AtomicU64::new(1) }
    }

    fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        RequestId(format!("{:016x}-{number:x}", self.run).into())
    }
}

/// The name of the request that the present task answers.
pub(crate) fn current_request_id() -> Option<RequestId> {
    CURRENT.try_with(RequestId::clone).ok()
}

/// Answers a request under a name of its own. A name that the sender chose is not used: it could be anybody's.
pub(super) async fn observe<F: Future<Output = Response>>(
    ids: &RequestIds,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let id = ids.next();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let method = request.method().clone();
    // `Debug` of the path escapes control characters, so that nobody writes lines of our log.
    let span = tracing::info_span!("request", %id, %method, path = ?request.uri().path());
    let started = Instant::now();

    let mut response = CURRENT.scope(id.clone(), next(request).instrument(span.clone())).await;

    let seconds = started.elapsed().as_secs_f64();
    let status = response.status();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), seconds, "answered"));
    metrics::counter!(
        "hayloft_http_requests_total",
        "method" => method_label(&method),
        "route" => route.to_owned(),
        "status" => status_class(status),
    )
    .increment(1);
    metrics::histogram!("hayloft_http_request_seconds", "route" => route.to_owned()).record(seconds);

    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// A label must come from a small set, and a method can be any token.
fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn status_class(status: http::StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xab);
        }
    }

    #[test]
    fn no_two_requests_share_a_name() {
        let ids = RequestIds::new(&Counting);
        assert_eq!(ids.next().to_string(), "abababababababab-1");
        assert_eq!(ids.next().to_string(), "abababababababab-2");
    }
}
