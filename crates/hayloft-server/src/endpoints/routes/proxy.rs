//! Any method on `/v1/plugins/{plugin}/{path}`
//!
//! The organization is the one in `x-organization-id`, else in `?organizationId=`. The query goes to the plugin as it
//! came, that parameter included, and so does the body: some providers sign both, and `x-original-url` is then the
//! address that they signed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use hayloft_host::{ProxyError, ProxyRouteError, RouteRequest};
use hayloft_model::{OrganizationId, PluginId};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use tower_http::timeout::TimeoutBody;

use crate::address::Peer;
use crate::auth::bearer;
use crate::auth::organization::{X_ORGANIZATION_ID, path_parameter};
use crate::endpoints::tools::call::too_many;
use crate::middleware::response_headers::WrittenByPlugin;
use crate::problem::{ProblemBody, ProblemDetails, chain};
use crate::query;
use crate::state::AppState;

/// What stands before the id in the path.
const PREFIX: &str = "/v1/plugins/";

impl From<ProxyRouteError> for ProblemDetails {
    fn from(error: ProxyRouteError) -> Self {
        let retry_after = error.retry_after();
        match error {
            ProxyRouteError::UnknownPlugin => unknown_plugin(),
            ProxyRouteError::UnknownRoute { .. } => Self::new(
                StatusCode::NOT_FOUND,
                "unknown-route",
                "The plugin has no such route",
                "the plugin did not register a route for this path",
            ),
            ProxyRouteError::MethodNotAllowed { allow } => {
                let allow = allow.join(", ");
                Self::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method-not-allowed",
                    "The route does not have this method",
                    format!("the route takes {allow}"),
                )
                .with_allow(HeaderValue::from_str(&allow).ok())
            }
            ProxyRouteError::Unauthorized => Self::unauthorized(
                r#"Bearer realm="hayloft""#,
                "the plugin's route is for holders of a token of this organization",
            ),
            ProxyRouteError::TooMany { retry_after } => {
                too_many(String::from("the plugin is called faster than this host allows"), Some(retry_after))
            }
            ProxyRouteError::Unavailable(unavailable) => {
                tracing::warn!(error = %unavailable, "failed to have a plugin answer a request");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "plugin-unavailable",
                    "The plugin cannot serve",
                    "the plugin cannot serve at the moment; its organization can see why",
                )
                .with_reason("unavailable")
                .with_retry_after(retry_after)
            }
            ProxyRouteError::Broken(error) => broken(&error),
        }
    }
}

/// The sender is a stranger: it learns the kind of the failure, the log has the rest.
fn broken(error: &ProxyError) -> ProblemDetails {
    tracing::warn!(error = %chain(error), "failed to have a plugin answer a request");
    let (status, reason, detail) = match error {
        ProxyError::WorkerGone => (StatusCode::BAD_GATEWAY, "crashed", "the plugin ended before it answered"),
        ProxyError::FirstByteTimeout { .. } | ProxyError::IdleTimeout { .. } => {
            (StatusCode::GATEWAY_TIMEOUT, "timeout", "the plugin did not answer in time")
        }
        ProxyError::ResponseTooLarge { .. } => {
            (StatusCode::BAD_GATEWAY, "too_large", "the plugin's answer is larger than answers may be")
        }
        ProxyError::Request(_) => {
            return ProblemDetails::bad_request("the request's body ended early", Default::default());
        }
        ProxyError::BadAnswer(_) => (StatusCode::BAD_GATEWAY, "failed", "the plugin's answer is not HTTP"),
    };
    ProblemDetails::new(status, "plugin-broke", "The plugin broke", detail).with_reason(reason)
}

/// The same whether the plugin, the organization or their connection is missing: a stranger learns nothing of who is
/// a customer here.
fn unknown_plugin() -> ProblemDetails {
    ProblemDetails::new(
        StatusCode::NOT_FOUND,
        "unknown-plugin",
        "The plugin does not exist",
        "no such plugin is switched on for this organization",
    )
}

/// Which organization a request is for.
fn organization(headers: &HeaderMap, uri: &Uri) -> Option<OrganizationId> {
    if let Some(named) = headers.get(X_ORGANIZATION_ID) {
        return named.to_str().ok()?.parse().ok();
    }
    query::pairs(uri).into_iter().find(|(name, _)| name == "organizationId")?.1.parse().ok()
}

/// The path below the plugin and the query, byte for byte as they came.
fn below_plugin(uri: &Uri) -> String {
    let below = uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let path = below.find('/').map_or("/", |slash| &below[slash..]);
    match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// A body that is cut off at the limit, and says afterwards whether it was.
fn limited(body: Body, state: &AppState, cut_off: &Arc<AtomicBool>) -> Body {
    let cut_off = Arc::clone(cut_off);
    let body = Limited::new(body, state.limits.request_body).map_err(move |error| {
        if error.is::<http_body_util::LengthLimitError>() {
            cut_off.store(true, Ordering::Relaxed);
        }
        error
    });
    Body::new(TimeoutBody::new(state.limits.request_body_pause, Box::pin(body)))
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn plugin_in_path(parts: &mut Parts, state: &AppState) -> Option<PluginId> {
    path_parameter(parts, state, "plugin").await.ok()?.parse().ok()
}

/// Reach a plugin's own route.
///
/// Any method that the plugin registered. The answer is the plugin's own. The body's bytes are not touched in either
/// direction; what names a person or a network path of the outside does not reach the plugin.
#[utoipa::path(
    method(get, post, put, patch, delete),
    path = "/v1/plugins/{plugin}/{path}",
    tag = "routes",
    params(
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
        ("path" = String, Path, description = "The rest of the path, slashes included"),
        ("organizationId" = Option<String>, Query, description = "The organization's id"),
        ("x-organization-id" = Option<String>, Header, description = "The organization's id; wins over the query"),
    ),
    responses(
        (status = "default", description = "Whatever the plugin answers."),
        (status = UNAUTHORIZED, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin wants only holders of a token of the organization here."),
        (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json",
            description = "No such plugin is switched on for this organization, or it has no such route."),
        (status = METHOD_NOT_ALLOWED, body = ProblemBody, content_type = "application/problem+json",
            description = "The route has other methods, listed in `Allow`."),
        (status = PAYLOAD_TOO_LARGE, body = ProblemBody, content_type = "application/problem+json",
            description = "The body is too large."),
        (status = BAD_GATEWAY, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin broke."),
        (status = TOO_MANY_REQUESTS, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin is called faster than this host allows; `Retry-After` says when to try again."),
        (status = SERVICE_UNAVAILABLE, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin cannot serve at the moment."),
        (status = GATEWAY_TIMEOUT, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin did not answer in time."),
    )
)]
pub(crate) async fn proxy(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ProblemDetails> {
    let (mut parts, body) = request.into_parts();
    let limit = state.limits.request_body;
    if announced_length(&parts.headers).is_some_and(|length| length > limit as u64) {
        return Err(ProblemDetails::content_too_large(limit));
    }
    let plugin = plugin_in_path(&mut parts, &state).await.ok_or_else(unknown_plugin)?;
    let organization = organization(&parts.headers, &parts.uri).ok_or_else(unknown_plugin)?;
    let peer = parts.extensions.get::<Peer>().copied();
    let caller = bearer::caller(&parts.headers, &state);
    let original_url = state.external.original_url(&parts.headers, &parts.uri, peer);
    let path_and_query = below_plugin(&parts.uri);
    // What the router and the layers noted down about the request is for this side only.
    parts.extensions.clear();
    let cut_off = Arc::new(AtomicBool::new(false));
    let request = Request::from_parts(parts, limited(body, &state, &cut_off));
    let route = RouteRequest { path_and_query, original_url, caller, request };
    match state.host.proxy_route(organization, &plugin, route).await {
        Ok(response) => {
            let mut response = response.map(Body::new);
            response.extensions_mut().insert(WrittenByPlugin);
            Ok(response)
        }
        Err(_) if cut_off.load(Ordering::Relaxed) => Err(ProblemDetails::content_too_large(limit)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderName;

    use super::*;

    #[test]
    fn the_path_below_the_plugin_is_not_touched() {
        let table = [
            ("/v1/plugins/p/webhook", "/webhook"),
            ("/v1/plugins/p/a%2Fb/?x=%20&organizationId=1", "/a%2Fb/?x=%20&organizationId=1"),
            ("/v1/plugins/@acme%2Ftickets/hook?a", "/hook?a"),
            ("/v1/plugins/p/", "/"),
            ("/v1/plugins/p", "/"),
            ("/v1/plugins/p?x=1", "/?x=1"),
            ("/v1/plugins/p//x", "//x"),
        ];
        for (uri, expected) in table {
            assert_eq!(below_plugin(&Uri::from_static(uri)), expected, "{uri}");
        }
    }

    #[test]
    fn the_header_wins_over_the_query() {
        let [one, two] = [1, 2].map(|number| format!("org_{number:032x}"));
        let cases = [
            (None, format!("/?organizationId={one}"), Some(&one)),
            (Some(&two), format!("/?organizationId={one}"), Some(&two)),
            (Some(&two), "/".to_owned(), Some(&two)),
            (None, "/".to_owned(), None),
            (None, "/?organizationId=x".to_owned(), None),
        ];
        for (header, uri, expected) in cases {
            let headers = header
                .map(|id| (HeaderName::from_static(X_ORGANIZATION_ID), HeaderValue::from_str(id).unwrap()))
                .into_iter()
                .collect();
            let got = organization(&headers, &uri.parse().unwrap()).map(|id| id.to_string());
            assert_eq!(got.as_ref(), expected, "{header:?} {uri}");
        }
    }

    #[test]
    fn each_failure_has_its_status() {
        let second = Duration::from_secs(1);
        let table = [
            (ProxyRouteError::UnknownPlugin, 404),
            (ProxyRouteError::UnknownRoute { path: "/x".into() }, 404),
            (ProxyRouteError::MethodNotAllowed { allow: vec!["GET"] }, 405),
            (ProxyRouteError::Unauthorized, 401),
            (ProxyRouteError::TooMany { retry_after: second }, 429),
            (ProxyRouteError::Broken(ProxyError::WorkerGone), 502),
            (ProxyRouteError::Broken(ProxyError::FirstByteTimeout { after: second }), 504),
            (ProxyRouteError::Broken(ProxyError::IdleTimeout { after: second }), 504),
            (ProxyRouteError::Broken(ProxyError::ResponseTooLarge { limit: 1 }), 502),
            (ProxyRouteError::Broken(ProxyError::Request("x".into())), 400),
            (ProxyRouteError::Broken(ProxyError::BadAnswer("x".into())), 502),
        ];
        for (error, status) in table {
            let text = error.to_string();
            assert_eq!(ProblemDetails::from(error).status(), status, "{text}");
        }
    }
}
