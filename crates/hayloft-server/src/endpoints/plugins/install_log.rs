//! `GET /v1/orgs/{org}/plugins/{plugin}/installation/log`

use axum::Json;
use axum::extract::State;
use hayloft_host::InstallLogError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::OnPlugin;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<InstallLogError> for ProblemDetails {
    fn from(error: InstallLogError) -> Self {
        match error {
            InstallLogError::Denied(denied) => denied.into(),
            InstallLogError::UnknownPlugin(_) => Self::unknown_plugin(),
        }
    }
}

/// What the programs wrote that made a plugin ready.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InstallLog)]
pub(crate) struct LogBody {
    /// Line by line; empty when nothing had to be run.
    text: String,
}

/// Show how a plugin was installed.
///
/// What npm and the plugin's own build wrote the last time, or until now while they run.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/plugins/{plugin}/installation/log",
    operation_id = "getPluginInstallLog",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    responses((status = OK, body = LogBody, description = "The log."), Inaccessible)
)]
pub(crate) async fn install_log(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
) -> Result<Json<LogBody>, ProblemDetails> {
    Ok(Json(LogBody { text: state.host.install_log(&caller, organization, &plugin).await? }))
}
