//! `GET /`

use axum::response::{Html, IntoResponse};
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;

const PAGE: &str = include_str!("index.html");

/// Say what this is and where to go on.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "getIndex",
    tag = "operations",
    responses((status = OK, body = String, content_type = "text/html", description = "A page for people."))
)]
pub(crate) async fn index() -> impl IntoResponse {
    // The page has one inline style and nothing that runs.
    let policy = HeaderValue::from_static(
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    ([(CONTENT_SECURITY_POLICY, policy)], Html(PAGE))
}
