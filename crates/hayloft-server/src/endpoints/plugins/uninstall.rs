//! `DELETE /v1/orgs/{org}/plugins/{plugin}/installation`

use axum::extract::State;
use hayloft_host::{SavedData, UninstallPluginError};
use http::StatusCode;

use crate::auth::OnPlugin;
use crate::openapi::refusals::{BadQuery, Inaccessible};
use crate::problem::{ProblemBody, ProblemDetails, chain};
use crate::query::{FromQuery, Parameters, QueryReader};
use crate::state::AppState;

impl From<UninstallPluginError> for ProblemDetails {
    fn from(error: UninstallPluginError) -> Self {
        match error {
            UninstallPluginError::Denied(denied) => denied.into(),
            UninstallPluginError::UnknownPlugin(_) => Self::unknown_plugin(),
            UninstallPluginError::NotUploaded(_) => Self::new(
                StatusCode::CONFLICT,
                "not-uploaded",
                "The plugin is not the organization's own",
                "only what the organization uploaded can be removed by it; to switch the plugin off, use `DELETE …/plugins/{plugin}`",
            ),
            UninstallPluginError::Files(source) => {
                tracing::error!(error = %chain(&source), "failed to remove a plugin's files");
                Self::internal_silent()
            }
            UninstallPluginError::Store(error) => Self::internal(&error),
        }
    }
}

/// What is to go beside the plugin itself.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wish {
    /// Whether the organization's settings and credentials for it, and what it kept, are deleted too; `false` by default.
    #[param(required = false)]
    purge: bool,
}

impl FromQuery for Wish {
    fn read(query: &mut QueryReader) -> Self {
        Self { purge: query.optional("purge").unwrap_or_default() }
    }
}

/// Remove a plugin that the organization uploaded.
///
/// Its `onDisable` runs and its workers end; its routes, tools and permissions, and its files are gone. Settings and
/// credentials stay, sealed, for the day when it is uploaded again, unless they are to go too.
#[utoipa::path(
    delete,
    path = "/v1/orgs/{org}/plugins/{plugin}/installation",
    operation_id = "uninstallPlugin",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
        Wish,
    ),
    responses(
        (status = NO_CONTENT, description = "It is gone."),
        (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json",
            description = "The organization did not upload it."),
        Inaccessible,
        BadQuery,
    )
)]
pub(crate) async fn uninstall(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
    Parameters(wish): Parameters<Wish>,
) -> Result<StatusCode, ProblemDetails> {
    let data = if wish.purge { SavedData::Purged } else { SavedData::Kept };
    state.host.uninstall_plugin(&caller, organization, &plugin, data).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_status() {
        let plugin = || "hay-plugin-a".parse().unwrap();
        let table = [
            (UninstallPluginError::UnknownPlugin(plugin()), 404),
            (UninstallPluginError::NotUploaded(plugin()), 409),
            (UninstallPluginError::Files(std::io::Error::other("disk")), 500),
        ];
        for (error, status) in table {
            assert_eq!(ProblemDetails::from(error).status(), status);
        }
    }
}
