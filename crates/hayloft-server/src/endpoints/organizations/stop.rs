//! `POST /v1/orgs/{org}/stop`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::InOrganization;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// What was stopped.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoppedPlugins)]
pub(crate) struct StoppedBody {
    /// The ids of the plugins that ran.
    #[schema(value_type = Vec<String>, example = json!(["hay-plugin-shopify"]))]
    stopped: Vec<hayloft_model::PluginId>,
}

/// Stop all plugins of an organization.
///
/// Each as by `POST …/plugins/{plugin}/stop`: all stay switched on, and the next calls start them again.
#[utoipa::path(
    post,
    path = "/v1/orgs/{org}/stop",
    operation_id = "stopPlugins",
    tag = "organizations",
    security(("bearer" = [])),
    params(("org" = String, Path, description = "The organization's id")),
    responses(
        (status = OK, body = StoppedBody, description = "Nothing of the organization runs any more."),
        Inaccessible,
    )
)]
pub(crate) async fn stop(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
) -> Result<Json<StoppedBody>, ProblemDetails> {
    Ok(Json(StoppedBody { stopped: state.host.stop_plugins(&caller, organization).await? }))
}
