//! `GET /v1/workers`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hayloft_host::{WarmWorker, WorkerStatus};
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
    /// The organization that it serves. Absent for one that is ready before it is known for whom.
    org: Option<String>,
    /// The plugin that it runs.
    plugin_id: String,
    /// Its own id.
    worker_id: String,
    /// What the instance is that it serves; without one, where the process is in its life.
    state: Standing,
    /// Where the process is in its life.
    worker_state: WorkerStateName,
    /// Its process id, once it has one.
    pid: Option<u32>,
    /// When it was started.
    started_at: DateTime<Utc>,
    /// When it last did something for somebody. Absent for one that nobody has needed yet.
    last_activity_at: Option<DateTime<Utc>>,
    /// Calls and routes in flight.
    in_flight: usize,
    /// How often the instance was started again after a crash.
    restarts: u32,
    /// Memory in use when it was measured last, in bytes. Absent until then.
    rss_bytes: Option<u64>,
    /// Processor time that it and all that it started have used so far, in seconds.
    cpu_seconds: Option<f64>,
    /// It used much of the processor lately: until it calms down it gets what other workers leave.
    throttled: bool,
    /// Why the worker before it was recycled, if it took its place for that.
    recycle_reason: Option<String>,
    /// The revision of the settings that it has. Absent for one without an organization.
    revision: Option<u32>,
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
    /// How long its event loop took for its last answer, in milliseconds: a sample taken now and then.
    event_loop_delay: Option<f64>,
    /// How often its event loop did not answer in time.
    event_loop_stalls: u32,
    /// What went wrong last with the instance.
    last_error: Option<String>,
}

/// The state of what a worker serves, or its own.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = WorkerStanding)]
pub(crate) enum Standing {
    /// Of the instance.
    Instance(StateName),
    /// Of the process.
    Process(WorkerStateName),
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
            org: Some(status.key.organization.to_string()),
            plugin_id: status.key.plugin.to_string(),
            worker_id: status.worker_id.to_string(),
            state: Standing::Instance(status.instance_state.into()),
            worker_state: status.state.into(),
            pid: status.pid,
            started_at: status.started_at,
            last_activity_at: Some(status.last_activity_at),
            in_flight: status.in_flight,
            restarts: status.restarts,
            rss_bytes: status.rss_bytes,
            cpu_seconds: status.processor_time.map(|time| time.as_secs_f64()),
            throttled: status.throttled,
            recycle_reason: status.recycle_reason,
            revision: Some(status.revision.0),
            content_hash: status.content_hash.to_string(),
            isolation: status.isolation.to_string(),
            isolation_missing: missing(isolation),
            mcp_servers: status.mcp_servers.iter().map(ToString::to_string).collect(),
            secrets_in_environment: status.secrets_in_environment,
            stalled_since: status.stalled_since,
            event_loop_delay: status.event_loop_delay.map(|delay| delay.as_secs_f64() * 1000.0),
            event_loop_stalls: status.event_loop_stalls,
            last_error: status.last_error,
        }
    }

    /// One that nobody has needed yet.
    fn warm(worker: WarmWorker, isolation: &IsolationBody) -> Self {
        Self {
            org: None,
            plugin_id: worker.plugin.to_string(),
            worker_id: worker.worker_id.to_string(),
            state: Standing::Process(worker.state.into()),
            worker_state: worker.state.into(),
            pid: worker.pid,
            started_at: worker.started_at,
            last_activity_at: None,
            in_flight: 0,
            restarts: 0,
            rss_bytes: worker.rss_bytes,
            cpu_seconds: worker.processor_time.map(|time| time.as_secs_f64()),
            throttled: worker.throttled,
            recycle_reason: None,
            revision: None,
            content_hash: worker.content_hash.to_string(),
            isolation: worker.isolation.to_string(),
            isolation_missing: missing(isolation),
            mcp_servers: Vec::new(),
            secrets_in_environment: false,
            stalled_since: None,
            event_loop_delay: None,
            event_loop_stalls: 0,
            last_error: None,
        }
    }
}

fn missing(isolation: &IsolationBody) -> Vec<String> {
    isolation.missing.iter().map(|layer| layer.name.clone()).collect()
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
    // Those that are ready for nobody are asked for first, so that one that is given away meanwhile is not left out.
    let mut warm = state.host.list_warm_workers(&caller).await?;
    let workers = state.host.list_workers(&caller).await?;
    warm.retain(|warm| workers.iter().all(|worker| worker.worker_id != warm.worker_id));
    let workers = workers.into_iter().map(|status| WorkerBody::new(status, &state.isolation));
    let warm = warm.into_iter().map(|worker| WorkerBody::warm(worker, &state.isolation));
    Ok(Json(ListBody { workers: workers.chain(warm).collect() }))
}
