//! `GET /v1/orgs/{org}/plugins/{plugin}/logs`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hayloft_host::{LogLine, PluginLogsError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::OnPlugin;
use crate::openapi::refusals::{BadQuery, Inaccessible};
use crate::problem::ProblemDetails;
use crate::query::{FromQuery, Parameters, QueryReader};
use crate::state::AppState;

impl From<PluginLogsError> for ProblemDetails {
    fn from(error: PluginLogsError) -> Self {
        match error {
            PluginLogsError::Denied(denied) => denied.into(),
            PluginLogsError::UnknownPlugin(_) => Self::unknown_plugin(),
        }
    }
}

/// How many lines are shown unless asked for another number.
const DEFAULT_TAIL: usize = 200;
/// How many lines may be asked for.
const MOST: usize = 100_000;

/// Which lines.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wish {
    /// The last so many lines; 200 by default.
    #[param(required = false, minimum = 1, maximum = 100_000)]
    tail: usize,
}

impl FromQuery for Wish {
    fn read(query: &mut QueryReader) -> Self {
        Self { tail: query.count("tail", DEFAULT_TAIL, MOST) }
    }
}

/// A line that a worker wrote. Values of secrets that it was given are masked.
#[derive(ToSchema)]
#[schema(as = LogLine)]
#[expect(dead_code, reason = "it documents the shape of `LogLine`")]
pub(crate) struct LineShape {
    /// When the host read it.
    at: DateTime<Utc>,
    /// Which worker wrote it.
    worker: String,
    /// `stdout`, `stderr`, `server` for an MCP server of the worker, `host` for what the host says about it.
    stream: String,
    /// `debug`, `info`, `warn` or `error`, in its writer's opinion.
    level: String,
    /// What it says.
    message: String,
    /// What a structured line carried along.
    #[schema(value_type = Option<Object>)]
    meta: Option<serde_json::Value>,
}

/// Lines of a plugin's workers in the organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLines)]
pub(crate) struct LinesBody {
    /// Oldest first.
    #[schema(value_type = Vec<LineShape>)]
    lines: Vec<LogLine>,
}

/// Show what a plugin's workers wrote last.
///
/// Lines are kept in memory, over restarts of the worker but not of the host.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/plugins/{plugin}/logs",
    operation_id = "getPluginLogs",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
        Wish,
    ),
    responses((status = OK, body = LinesBody, description = "The lines, oldest first."), Inaccessible, BadQuery)
)]
pub(crate) async fn logs(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
    Parameters(wish): Parameters<Wish>,
) -> Result<Json<LinesBody>, ProblemDetails> {
    Ok(Json(LinesBody { lines: state.host.plugin_logs(&caller, organization, &plugin, wish.tail).await? }))
}
