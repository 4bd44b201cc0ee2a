//! `GET /v1/orgs/{org}/plugins/{plugin}/statistics`

use axum::Json;
use axum::extract::State;
use hayloft_host::{CallStatistics, PluginStatistics, StatisticsError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::OnPlugin;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<StatisticsError> for ProblemDetails {
    fn from(error: StatisticsError) -> Self {
        match error {
            StatisticsError::Denied(denied) => denied.into(),
            StatisticsError::UnknownPlugin(_) => Self::unknown_plugin(),
            StatisticsError::Store(error) => Self::internal(&error),
        }
    }
}

/// How much a plugin's tools were used in an organization.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PluginStatistics)]
pub(crate) struct StatisticsBody {
    /// Calls of its tools, ever.
    total_invocations: u64,
    /// How long one took on average, in milliseconds; 0 without calls.
    average_latency: f64,
    /// The part of them that broke, from 0 to 1. That a tool says no is not counted.
    error_rate: f64,
    /// How many workers serve at the moment.
    active_instances: usize,
    /// The same for each tool that was called.
    tools: Vec<ToolStatisticsBody>,
}

/// How much one tool was used.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ToolStatistics)]
pub(crate) struct ToolStatisticsBody {
    /// Its name on its server.
    tool: String,
    /// Calls, ever.
    total_invocations: u64,
    /// How long one took on average, in milliseconds.
    average_latency: f64,
    /// The part of them that broke, from 0 to 1.
    error_rate: f64,
}

fn milliseconds(calls: &CallStatistics) -> f64 {
    calls.average().as_secs_f64() * 1000.0
}

impl From<PluginStatistics> for StatisticsBody {
    fn from(statistics: PluginStatistics) -> Self {
        let tools = statistics.tools.into_iter().map(|(tool, calls)| ToolStatisticsBody {
            tool,
            total_invocations: calls.total,
            average_latency: milliseconds(&calls),
            error_rate: calls.error_rate(),
        });
        Self {
            total_invocations: statistics.calls.total,
            average_latency: milliseconds(&statistics.calls),
            error_rate: statistics.calls.error_rate(),
            active_instances: statistics.active_instances,
            tools: tools.collect(),
        }
    }
}

/// Tell how much a plugin's tools were used.
///
/// A call shows a moment after it ended.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/plugins/{plugin}/statistics",
    operation_id = "getPluginStatistics",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    responses((status = OK, body = StatisticsBody, description = "What was counted."), Inaccessible)
)]
pub(crate) async fn statistics(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
) -> Result<Json<StatisticsBody>, ProblemDetails> {
    Ok(Json(state.host.plugin_statistics(&caller, organization, &plugin).await?.into()))
}
