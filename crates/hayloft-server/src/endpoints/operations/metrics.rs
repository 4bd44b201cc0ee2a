//! `GET /metrics`

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use hayloft_host::Denied;
use hayloft_model::Caller;
use http::header::{AUTHORIZATION, CONTENT_TYPE, FORWARDED};
use http::request::Parts;
use http::{Extensions, HeaderMap};

use crate::address::Peer;
use crate::auth::Authenticated;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// Whoever may see the figures: the administrator, or a program on this machine that came directly. What a proxy on
/// this machine passes on comes from elsewhere.
pub(crate) struct Observer;

impl FromRequestParts<AppState> for Observer {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ProblemDetails> {
        if !parts.headers.contains_key(AUTHORIZATION) && is_local(&parts.headers, &parts.extensions) {
            return Ok(Self);
        }
        match Authenticated::from_request_parts(parts, state).await?.0 {
            Caller::Administrator => Ok(Self),
            Caller::Organization { .. } => Err(Denied::AdministratorOnly.into()),
        }
    }
}

fn is_local(headers: &HeaderMap, extensions: &Extensions) -> bool {
    let proxied = headers.contains_key(FORWARDED)
        || headers.contains_key("x-real-ip")
        || headers.keys().any(|name| name.as_str().starts_with("x-forwarded-"));
    let loopback = extensions.get::<Peer>().is_some_and(|Peer(peer)| peer.ip().to_canonical().is_loopback());
    loopback && !proxied
}

/// Give the figures for Prometheus.
///
/// To the administrator, and without a token to programs on the same machine.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "operations",
    security((), ("bearer" = [])),
    responses((status = OK, body = String, content_type = "text/plain; version=0.0.4", description = "The figures, in the exposition format of Prometheus."), Inaccessible)
)]
pub(crate) async fn metrics(State(state): State<AppState>, _: Observer) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render()).into_response()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_direct_peers_of_this_machine_are_local() {
        let cases: [(Option<&str>, Option<&'static str>, bool); 8] = [
            (Some("127.0.0.1:1"), None, true),
            (Some("127.9.9.9:1"), None, true),
            (Some("[::1]:1"), None, true),
            (Some("[::ffff:127.0.0.1]:1"), None, true),
            (Some("10.0.0.1:1"), None, false),
            (Some("127.0.0.1:1"), Some("x-forwarded-for"), false),
            (Some("127.0.0.1:1"), Some("forwarded"), false),
            (None, None, false),
        ];
        for (peer, field, expected) in cases {
            let mut extensions = Extensions::new();
            if let Some(peer) = peer {
                extensions.insert(Peer(peer.parse().unwrap()));
            }
            let headers = field
                .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("for=1.2.3.4")))
                .into_iter()
                .collect();
            assert_eq!(is_local(&headers, &extensions), expected, "{peer:?} {field:?}");
        }
    }
}
