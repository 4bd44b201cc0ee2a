//! `GET /ready`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{ProblemBody, ProblemDetails};
use crate::state::AppState;

/// That requests can be served.
#[derive(Serialize, ToSchema)]
#[schema(as = Ready)]
pub(crate) struct ReadyBody {
    /// Always `ready`; else the answer is 503.
    #[schema(example = "ready")]
    status: &'static str,
}

/// Say whether requests can be served.
///
/// From the first request until the server drains.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "getReadiness",
    tag = "operations",
    responses(
        (status = OK, body = ReadyBody, description = "Requests are served."),
        (status = SERVICE_UNAVAILABLE, body = ProblemBody, content_type = "application/problem+json",
            description = "The server takes no new work."),
    )
)]
pub(crate) async fn ready(State(state): State<AppState>) -> Response {
    if state.draining.is_cancelled() {
        return ProblemDetails::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "draining",
            "The server takes no new work",
            "the server ends what it has and then stops",
        )
        .into_response();
    }
    Json(ReadyBody { status: "ready" }).into_response()
}
