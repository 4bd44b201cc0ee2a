//! `GET /v1/orgs/{org}/plugins`

use axum::Json;
use axum::extract::State;
use hayloft_host::ListPluginsError;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::SummaryBody;
use crate::auth::InOrganization;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<ListPluginsError> for ProblemDetails {
    fn from(error: ListPluginsError) -> Self {
        match error {
            ListPluginsError::Denied(denied) => denied.into(),
        }
    }
}

/// Plugins.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginList)]
pub(crate) struct ListBody {
    /// By id.
    plugins: Vec<SummaryBody>,
}

/// List the plugins that the organization can have.
///
/// Each with what it is there now.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/plugins",
    operation_id = "listPlugins",
    tag = "plugins",
    security(("bearer" = [])),
    params(("org" = String, Path, description = "The organization's id")),
    responses((status = OK, body = ListBody, description = "The plugins, by id."), Inaccessible)
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
) -> Result<Json<ListBody>, ProblemDetails> {
    let plugins = state.host.list_plugins(&caller, organization).await?;
    Ok(Json(ListBody { plugins: plugins.into_iter().map(SummaryBody::from).collect() }))
}
