//! `GET /v1/pools`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::PoolBody;
use crate::auth::Authenticated;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// Pools.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PoolList)]
pub(crate) struct ListBody {
    /// One for each plugin of this host.
    pools: Vec<PoolBody>,
}

/// List how many workers plugins have and may have.
///
/// Only for the administrator.
#[utoipa::path(
    get,
    path = "/v1/pools",
    operation_id = "listPools",
    tag = "operations",
    security(("bearer" = [])),
    responses((status = OK, body = ListBody, description = "The pools at this moment."), Inaccessible)
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
) -> Result<Json<ListBody>, ProblemDetails> {
    let pools = state.host.pools(&caller).await?;
    Ok(Json(ListBody { pools: pools.into_iter().map(PoolBody::from).collect() }))
}
