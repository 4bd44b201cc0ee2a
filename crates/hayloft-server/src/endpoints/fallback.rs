//! What a request gets that no route is for.

use axum::response::IntoResponse;
use http::{Method, StatusCode, Uri};

use crate::problem::ProblemDetails;

/// 404 for a path that nothing answers.
pub(crate) async fn unknown_path() -> impl IntoResponse {
    ProblemDetails::new(
        StatusCode::NOT_FOUND,
        "unknown-path",
        "Nothing is here",
        "this path is not part of the API; `GET /openapi.json` lists what is",
    )
}

/// 405 for a method that the path does not have. The router adds `Allow`.
pub(crate) async fn unknown_method(method: Method, uri: Uri) -> impl IntoResponse {
    let method: String = method.as_str().chars().take(20).collect();
    tracing::debug!(method, path = ?uri.path(), "the path has no such method");
    ProblemDetails::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "The path does not have this method",
        format!("`{method}` is not a method of this path; the `Allow` field lists those that are"),
    )
}
