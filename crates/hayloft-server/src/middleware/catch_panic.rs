//! A panic in a handler ends one request and nothing else.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;

use crate::problem::ProblemDetails;

/// Turns a panic into a 500 that shows only the request's id. The state that handlers share is made of handles whose
/// owners are other tasks, so a broken handler leaves nothing half done behind.
pub(super) async fn catch_panic<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    match AssertUnwindSafe(async { next(request).await }).catch_unwind().await {
        Ok(response) => response,
        Err(payload) => {
            tracing::error!(panic = ?message(&*payload), "failed to answer a request: it panicked");
            ProblemDetails::internal_silent().into_response()
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::{Next, from_fn};
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_500_without_its_text() {
        async fn broken() -> &'static str {
            panic!("canary")
        }
        let layer = from_fn(|request, next: Next| catch_panic(request, |request| next.run(request)));
        let router: Router = Router::new().route("/", get(broken)).layer(layer);
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 500);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("canary"));
    }
}
