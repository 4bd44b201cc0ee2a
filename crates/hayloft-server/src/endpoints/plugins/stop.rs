//! `POST /v1/orgs/{org}/plugins/{plugin}/stop`

use axum::Json;
use axum::extract::State;
use hayloft_host::StopPluginError;

use super::body::DetailBody;
use crate::auth::OnPlugin;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<StopPluginError> for ProblemDetails {
    fn from(error: StopPluginError) -> Self {
        match error {
            StopPluginError::Denied(denied) => denied.into(),
            StopPluginError::UnknownPlugin(_) => Self::unknown_plugin(),
            StopPluginError::Store(error) => Self::internal(&error),
        }
    }
}

/// Stop a plugin.
///
/// Its worker ends once its calls have ended, and connections to its servers elsewhere are let go of. It stays switched on:
/// the next call starts it again. A plugin that does not run is left as it is.
#[utoipa::path(
    post,
    path = "/v1/orgs/{org}/plugins/{plugin}/stop",
    operation_id = "stopPlugin",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    responses(
        (status = OK, body = DetailBody, description = "The plugin, as it is when nothing of it runs any more."),
        Inaccessible,
    )
)]
pub(crate) async fn stop(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
) -> Result<Json<DetailBody>, ProblemDetails> {
    Ok(Json(state.host.stop_plugin(&caller, organization, &plugin).await?.into()))
}
