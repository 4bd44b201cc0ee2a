//! `GET /v1/orgs/{org}/plugins/{plugin}`

use axum::Json;
use axum::extract::State;
use hayloft_host::GetPluginError;

use super::body::DetailBody;
use crate::auth::OnPlugin;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<GetPluginError> for ProblemDetails {
    fn from(error: GetPluginError) -> Self {
        match error {
            GetPluginError::Denied(denied) => denied.into(),
            GetPluginError::UnknownPlugin(_) => Self::unknown_plugin(),
            GetPluginError::Store(error) => Self::internal(&error),
        }
    }
}

/// Show a plugin.
///
/// Its settings (secrets masked), what it registered, and its state in the organization.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/plugins/{plugin}",
    operation_id = "getPlugin",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    responses((status = OK, body = DetailBody, description = "The plugin as it is now."), Inaccessible)
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
) -> Result<Json<DetailBody>, ProblemDetails> {
    Ok(Json(state.host.get_plugin(&caller, organization, &plugin).await?.into()))
}
