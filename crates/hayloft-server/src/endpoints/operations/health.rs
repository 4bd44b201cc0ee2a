//! `GET /health`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::isolation::IsolationBody;
use crate::state::AppState;

/// That the process lives, and what holds its plugins.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthBody {
    /// Always `ok`: a process that cannot say so does not answer.
    #[schema(example = "ok")]
    status: &'static str,
    /// The version of Hayloft.
    version: &'static str,
    /// What keeps plugins from the host and from each other on this machine.
    isolation: IsolationBody,
}

/// Say that the process lives.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "operations",
    responses((status = OK, body = HealthBody, description = "The process lives."))
)]
pub(crate) async fn health(State(state): State<AppState>) -> Json<HealthBody> {
    Json(HealthBody { status: "ok", version: state.version, isolation: state.isolation.clone() })
}
