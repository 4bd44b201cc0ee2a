//! `POST /v1/orgs/{org}/plugins/{plugin}/restart`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hayloft_host::RestartPluginError;
use http::StatusCode;

use super::body::DetailBody;
use crate::auth::OnPlugin;
use crate::openapi::refusals::Inaccessible;
use crate::problem::{ProblemBody, ProblemDetails};
use crate::state::AppState;

impl From<RestartPluginError> for ProblemDetails {
    fn from(error: RestartPluginError) -> Self {
        match error {
            RestartPluginError::Denied(denied) => denied.into(),
            RestartPluginError::UnknownPlugin(_) => Self::unknown_plugin(),
            RestartPluginError::NotEnabled(_) => switched_off(),
            RestartPluginError::Unavailable(ref unavailable) => {
                does_not_start(error.to_string(), unavailable.retry_after())
            }
            RestartPluginError::Store(error) => Self::internal(&error),
        }
    }
}

/// The plugin is switched off, so nothing of it can be asked.
pub(crate) fn switched_off() -> ProblemDetails {
    ProblemDetails::new(
        StatusCode::CONFLICT,
        "plugin-disabled",
        "The plugin is switched off",
        "switch the plugin on; that starts it",
    )
}

/// What was asked for needs a worker, and none comes up.
pub(crate) fn does_not_start(why: String, retry_after: Option<Duration>) -> ProblemDetails {
    ProblemDetails::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "plugin-unavailable",
        "The plugin does not start",
        why,
    )
    .with_reason("unavailable")
    .with_retry_after(retry_after)
}

/// Start a plugin anew.
///
/// Its worker ends once its calls have ended, its crashes are forgotten, and a new worker starts. A plugin that was
/// quarantined because it crashed too often is released. The answer's `state` and `lastError` tell what came of it.
#[utoipa::path(
    post,
    path = "/v1/orgs/{org}/plugins/{plugin}/restart",
    operation_id = "restartPlugin",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    responses(
        (status = OK, body = DetailBody, description = "The plugin, as it is after the start."),
        (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin is switched off."),
        (status = SERVICE_UNAVAILABLE, body = ProblemBody, content_type = "application/problem+json",
            description = "It does not start, and `detail` says why."),
        Inaccessible,
    )
)]
pub(crate) async fn restart(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
) -> Result<Json<DetailBody>, ProblemDetails> {
    Ok(Json(state.host.restart_plugin(&caller, organization, &plugin).await?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_status() {
        let plugin = || "hay-plugin-a".parse().unwrap();
        let table = [
            (RestartPluginError::UnknownPlugin(plugin()), 404),
            (RestartPluginError::NotEnabled(plugin()), 409),
        ];
        for (error, status) in table {
            assert_eq!(ProblemDetails::from(error).status(), status);
        }
    }
}
