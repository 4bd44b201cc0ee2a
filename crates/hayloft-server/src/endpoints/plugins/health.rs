//! `GET /v1/orgs/{org}/plugins/{plugin}/health`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hayloft_host::{CheckHealthError, HealthStatus, PluginHealth};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::OnPlugin;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<CheckHealthError> for ProblemDetails {
    fn from(error: CheckHealthError) -> Self {
        match error {
            CheckHealthError::Denied(denied) => denied.into(),
            CheckHealthError::UnknownPlugin(_) => Self::unknown_plugin(),
        }
    }
}

/// How a plugin is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PluginHealth)]
pub(crate) struct HealthBody {
    /// Whether `status` is `healthy`.
    success: bool,
    /// In a word.
    status: StatusName,
    /// What a person should know.
    message: String,
    /// The same message, when the plugin is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// When that was.
    tested_at: DateTime<Utc>,
}

/// How a plugin is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PluginHealthStatus)]
pub(crate) enum StatusName {
    /// It serves, or would with the next call.
    Healthy,
    /// It does not serve as it should.
    Unhealthy,
    /// Somebody has to switch it on, or to give it what it lacks.
    Unconfigured,
}

impl From<PluginHealth> for HealthBody {
    fn from(health: PluginHealth) -> Self {
        let status = match health.status {
            HealthStatus::Healthy => StatusName::Healthy,
            HealthStatus::Unhealthy => StatusName::Unhealthy,
            HealthStatus::Unconfigured => StatusName::Unconfigured,
        };
        let success = status == StatusName::Healthy;
        Self {
            success,
            status,
            error: (!success).then(|| health.message.clone()),
            message: health.message,
            tested_at: health.tested_at,
        }
    }
}

/// Tell whether a plugin is well.
///
/// From what the server knows already: the plugin is not asked and not started, so the answer comes at once even while
/// one of its hooks blocks it.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/plugins/{plugin}/health",
    operation_id = "checkPluginHealth",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    responses((status = OK, body = HealthBody, description = "How the plugin is, well or not."), Inaccessible)
)]
pub(crate) async fn health(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
) -> Result<Json<HealthBody>, ProblemDetails> {
    Ok(Json(state.host.check_health(&caller, organization, &plugin)?.into()))
}
