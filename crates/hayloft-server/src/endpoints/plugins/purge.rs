//! `DELETE /v1/orgs/{org}/plugins/{plugin}/configuration`

use axum::extract::State;
use hayloft_host::PurgeConfigurationError;
use http::StatusCode;

use crate::auth::OnPlugin;
use crate::openapi::refusals::Inaccessible;
use crate::problem::{ProblemBody, ProblemDetails};
use crate::state::AppState;

impl From<PurgeConfigurationError> for ProblemDetails {
    fn from(error: PurgeConfigurationError) -> Self {
        match error {
            PurgeConfigurationError::Denied(denied) => denied.into(),
            PurgeConfigurationError::StillEnabled(_) => Self::new(
                StatusCode::CONFLICT,
                "plugin-enabled",
                "The plugin is switched on",
                "switch the plugin off before you delete its settings",
            ),
            PurgeConfigurationError::NothingSaved(_) => Self::new(
                StatusCode::NOT_FOUND,
                "nothing-saved",
                "There are no settings",
                "nothing is saved for this plugin in this organization",
            ),
            PurgeConfigurationError::Store(error) => Self::internal(&error),
        }
    }
}

/// Delete a plugin's settings and credentials.
///
/// Every revision of them, for good. The plugin must be switched off.
#[utoipa::path(
    delete,
    path = "/v1/orgs/{org}/plugins/{plugin}/configuration",
    operation_id = "purgeConfiguration",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    responses(
        (status = NO_CONTENT, description = "Nothing of it is left."),
        (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin is switched on."),
        Inaccessible,
    )
)]
pub(crate) async fn purge(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
) -> Result<StatusCode, ProblemDetails> {
    state.host.purge_configuration(&caller, organization, &plugin).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_status() {
        let plugin = || "hay-plugin-a".parse().unwrap();
        let table = [
            (PurgeConfigurationError::StillEnabled(plugin()), 409),
            (PurgeConfigurationError::NothingSaved(plugin()), 404),
        ];
        for (error, status) in table {
            assert_eq!(ProblemDetails::from(error).status(), status);
        }
    }
}
