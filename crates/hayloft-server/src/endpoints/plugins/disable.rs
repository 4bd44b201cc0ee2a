//! `DELETE /v1/orgs/{org}/plugins/{plugin}`

use axum::Json;
use axum::extract::State;
use hayloft_host::DisablePluginError;

use super::body::DetailBody;
use crate::auth::OnPlugin;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<DisablePluginError> for ProblemDetails {
    fn from(error: DisablePluginError) -> Self {
        match error {
            DisablePluginError::Denied(denied) => denied.into(),
            DisablePluginError::UnknownPlugin(_) => Self::unknown_plugin(),
            DisablePluginError::Store(error) => Self::internal(&error),
        }
    }
}

/// Switch a plugin off.
///
/// Its `onDisable` runs, then its worker stops, whatever the hook did. Its sealed settings stay; deleting those is
/// `DELETE …/configuration`.
#[utoipa::path(
    delete,
    path = "/v1/orgs/{org}/plugins/{plugin}",
    operation_id = "disablePlugin",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    responses((status = OK, body = DetailBody, description = "The plugin, switched off."), Inaccessible)
)]
pub(crate) async fn disable(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
) -> Result<Json<DetailBody>, ProblemDetails> {
    Ok(Json(state.host.disable_plugin(&caller, organization, &plugin).await?.into()))
}
