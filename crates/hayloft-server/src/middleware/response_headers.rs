//! Header fields that protect readers of an answer.

use axum::extract::Request;
use axum::response::Response;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Marks an answer that a plugin wrote. It comes from our origin, so it must not act in its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenByPlugin;

/// Marks an answer that may be kept, as long as we are asked each time whether it is still the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revalidated;

/// Adds the fields to every answer.
pub(super) async fn add<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let authenticated = request.headers().contains_key(AUTHORIZATION);
    let mut response = next(request).await;
    let by_plugin = response.extensions().get::<WrittenByPlugin>().is_some();
    let revalidated = response.extensions().get::<Revalidated>().is_some();
    let kept = authenticated.then_some(if revalidated { "private, no-cache" } else { "private, no-store" });
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if by_plugin {
        sandbox(headers)
    } else {
        close(headers, kept)
    }
    response
}

/// What a plugin serves runs in an origin of its own (a `sandbox` policy without `allow-same-origin`). Its own policy
/// stays beside ours: a browser applies both.
fn sandbox(headers: &mut HeaderMap) {
    headers.append(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts",
        ),
    );
}

/// Our own answers are for programs: nothing in them may run or be framed. Those to somebody are kept by nobody else.
fn close(headers: &mut HeaderMap, kept: Option<&'static str>) {
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(policy);
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    if let Some(kept) = kept {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::{Next, from_fn};
    use axum::response::IntoResponse as _;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    async fn headers(path: &str, token: Option<&str>) -> HeaderMap {
        async fn own() -> &'static str {
            "own"
        }
        async fn plugin() -> Response {
            let mut response =
                ([(CACHE_CONTROL, "max-age=60"), (CONTENT_SECURITY_POLICY, "img-src 'self'")], "x")
                    .into_response();
            response.extensions_mut().insert(WrittenByPlugin);
            response
        }
        async fn file() -> Response {
            let mut response = [(CACHE_CONTROL, "no-cache")].into_response();
            response.extensions_mut().insert(Revalidated);
            response
        }
        let layer = from_fn(|request, next: Next| add(request, |request| next.run(request)));
        let router: Router = Router::new()
            .route("/own", get(own))
            .route("/plugin", get(plugin))
            .route("/file", get(file))
            .layer(layer);
        let mut request = Request::builder().uri(path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().headers().clone()
    }

    #[tokio::test]
    async fn answers_to_somebody_are_kept_by_nobody_else() {
        assert_eq!(headers("/own", Some("Bearer x")).await[CACHE_CONTROL], "private, no-store");
        assert!(!headers("/own", None).await.contains_key(CACHE_CONTROL));
        assert_eq!(headers("/own", None).await[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers("/file", Some("Bearer x")).await[CACHE_CONTROL], "private, no-cache");
        assert_eq!(headers("/file", None).await[CACHE_CONTROL], "no-cache");
    }

    #[tokio::test]
    async fn what_a_plugin_wrote_is_sandboxed_and_otherwise_its_own() {
        let headers = headers("/plugin", Some("Bearer x")).await;
        assert_eq!(headers[CACHE_CONTROL], "max-age=60");
        let policies: Vec<_> = headers.get_all(CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies.len(), 2);
        assert!(policies[1].to_str().unwrap().starts_with("sandbox "));
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
