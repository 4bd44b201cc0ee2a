//! `GET /v1/workers`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hayloft_host::WorkerStatus;
use hayloft_model::WorkerState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Authenticated;
use crate::endpoints::plugins::body::StateName;
use crate::isolation::IsolationBody;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// A worker at one moment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Worker)]
pub(crate) struct WorkerBody {
    /// The organization that it serves.
    org: String,
    /// The plugin that it runs.
    plugin_id: String,
    /// Its own id.
    worker_id: String,
    /// What the instance is that it serves.
    state: StateName,
    /// Where the process is in its life.
    worker_state: WorkerStateName,
    /// Its process id, once it has one.
    pid: Option<u32>,
    /// When it was started.
    started_at: DateTime<Utc>,
    /// When it last did something for somebody.
    last_activity_at: DateTime<Utc>,
    /// Calls and routes in flight.
    in_flight: usize,
    /// How often the instance was started again after a crash.
    restarts: u32,
    /// Memory in use, in bytes.
    rss_bytes: Option<u64>,
    /// Processor time that it and all that it started have used so far, in seconds.
    cpu_seconds: Option<f64>,
    /// It used much of the processor lately: until it calms down it gets what other workers leave.
    throttled: bool,
    /// Why the worker before it was recycled, if it took its place for that.
    recycle_reason: Option<String>,
    /// The revision of the settings that it has.
    revision: u32,
    /// Which code it runs: the SHA-256 of the plugin's files.
    content_hash: String,
    /// How strongly it is isolated: `A`, `B`, `C` or `off`.
    isolation: String,
    /// The measures of isolation that are not, or not wholly, in force for it. `GET /health` says what each one leaves
    /// open.
    isolation_missing: Vec<String>,
    /// Its open MCP servers.
    mcp_servers: Vec<String>,
    /// Whether values of the organization stand in the environment of one of its processes, as for MCP servers that are
    /// programs of their own. Otherwise they are only in the worker's memory.
    secrets_in_environment: bool,
    /// Since when its event loop has not answered.
    stalled_since: Option<DateTime<Utc>>,
    /// What went wrong last with the instance.
    last_error: Option<String>,
}

/// Where a worker process is in its life.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = WorkerState)]
pub(crate) enum WorkerStateName {
    /// The process runs; the plugin is being loaded.
    Starting,
    /// The plugin is loaded; no organization yet.
    Warm,
    /// It is being told its organization.
    Binding,
    /// It serves one organization, for the rest of its life.
    Bound,
    /// It takes nothing new and ends what it has.
    Draining,
    /// The process and all that it started are no more.
    Gone,
}

impl From<WorkerState> for WorkerStateName {
    fn from(state: WorkerState) -> Self {
        match state {
            WorkerState::Starting => Self::Starting,
            WorkerState::Warm => Self::Warm,
            WorkerState::Binding => Self::Binding,
            WorkerState::Bound => Self::Bound,
            WorkerState::Draining => Self::Draining,
            WorkerState::Gone => Self::Gone,
        }
    }
}

impl WorkerBody {
    fn new(status: WorkerStatus, isolation: &IsolationBody) -> Self {
        Self {
            org: status.key.organization.to_string(),
            plugin_id: status.key.plugin.to_string(),
            worker_id: status.worker_id.to_string(),
            state: status.instance_state.into(),
            worker_state: status.state.into(),
            pid: status.pid,
            started_at: status.started_at,
            last_activity_at: status.last_activity_at,
            in_flight: status.in_flight,
            restarts: status.restarts,
            rss_bytes: status.rss_bytes,
            cpu_seconds: status.processor_time.map(|time| time.as_secs_f64()),
            throttled: status.throttled,
            recycle_reason: status.recycle_reason,
            revision: status.revision.0,
            content_hash: status.content_hash.to_string(),
            isolation: status.isolation.to_string(),
            isolation_missing: isolation.missing.iter().map(|layer| layer.name.clone()).collect(),
            mcp_servers: status.mcp_servers.iter().map(ToString::to_string).collect(),
            secrets_in_environment: status.secrets_in_environment,
            stalled_since: status.stalled_since,
            last_error: status.last_error,
        }
    }
}

/// Workers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkerList)]
pub(crate) struct ListBody {
    /// Every worker of this host.
    workers: Vec<WorkerBody>,
}

/// List the workers that run.
///
/// Only for the administrator.
#[utoipa::path(
    get,
    path = "/v1/workers",
    operation_id = "listWorkers",
    tag = "operations",
    security(("bearer" = [])),
    responses((status = OK, body = ListBody, description = "The workers at this moment."), Inaccessible)
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
) -> Result<Json<ListBody>, ProblemDetails> {
    let workers = state.host.list_workers(&caller).await?;
    let body = |status| WorkerBody::new(status, &state.isolation);
    Ok(Json(ListBody { workers: workers.into_iter().map(body).collect() }))
}
