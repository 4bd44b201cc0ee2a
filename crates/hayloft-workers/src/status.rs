//! What is known of a worker, for people.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hayloft_model::{
    ContentHash, InstanceKey, InstanceState, PluginId, Revision, ServerId, WorkerId, WorkerState,
};
use hayloft_sandbox::Tier;
use metrics::{Gauge, gauge};

use crate::ServerHealth;

/// The code that a worker runs, which may be older than the one that its plugin has by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCode {
    /// Which.
    pub content_hash: ContentHash,
    /// Where it lies.
    pub root: PathBuf,
}

/// A worker at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerStatus {
    /// Whose it is.
    pub key: InstanceKey,
    /// Which process.
    pub worker_id: WorkerId,
    /// Which code it runs.
    pub content_hash: ContentHash,
    /// Which configuration it has.
    pub revision: Revision,
    /// The state of the instance as far as this worker makes it.
    pub instance_state: InstanceState,
    /// The state of the process.
    pub state: WorkerState,
    /// Its process id, once it has one.
    pub pid: Option<u32>,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// When it last did something for somebody.
    pub last_activity_at: DateTime<Utc>,
    /// Calls and routes in flight.
    pub in_flight: usize,
    /// How often the instance was started again after a crash, since it last stood still.
    pub restarts: u32,
    /// Memory in use when it was measured last, in bytes. Absent until then.
    pub rss_bytes: Option<u64>,
    /// Processor time that everything in its jail has used so far. Absent where nothing counts it.
    pub processor_time: Option<Duration>,
    /// It used much of the processor lately, and until it calms down gets what other workers leave.
    pub throttled: bool,
    /// Why the worker before it was recycled, if it took its place for that.
    pub recycle_reason: Option<String>,
    /// How strongly it is isolated.
    pub isolation: Tier,
    /// Its open MCP servers.
    pub mcp_servers: Vec<ServerId>,
    /// Whether values of the organization stand in the environment of one of its processes.
    pub secrets_in_environment: bool,
    /// Since when its event loop has not answered.
    pub stalled_since: Option<DateTime<Utc>>,
    /// How long its event loop took for its last answer, as a sample taken now and then.
    pub event_loop_delay: Option<Duration>,
    /// How often its event loop did not answer in time.
    pub event_loop_stalls: u32,
    /// What went wrong last with the instance.
    pub last_error: Option<String>,
}

/// A worker that is ready, or is being made so, before it is known for whom.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmWorker {
    /// The plugin that it runs.
    pub plugin: PluginId,
    /// Which process.
    pub worker_id: WorkerId,
    /// Which code it runs.
    pub content_hash: ContentHash,
    /// The state of the process.
    pub state: WorkerState,
    /// Its process id, once it has one.
    pub pid: Option<u32>,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// Memory in use when it was measured last, in bytes. Absent until then.
    pub rss_bytes: Option<u64>,
    /// Processor time that everything in its jail has used so far. Absent where nothing counts it.
    pub processor_time: Option<Duration>,
    /// It used much of the processor lately, and until it calms down gets what other workers leave.
    pub throttled: bool,
    /// How strongly it is isolated.
    pub isolation: Tier,
}

/// What tells whether a serving worker is well.
#[derive(Clone, Debug)]
pub struct VitalSigns {
    /// Since when its event loop has not answered.
    pub stalled_since: Option<DateTime<Utc>>,
    /// How the servers are that are kept up beside it.
    pub kept: BTreeMap<ServerId, ServerHealth>,
}

/// Counts a worker in the metric of its state.
pub(crate) struct StateGauge {
    plugin: String,
    state: WorkerState,
}

impl StateGauge {
    pub(crate) fn new(plugin: &PluginId, state: WorkerState) -> Self {
        let counted = Self { plugin: plugin.to_string(), state };
        counted.gauge().increment(1);
        counted
    }

    pub(crate) fn set(&mut self, state: WorkerState) {
        self.gauge().decrement(1);
        self.state = state;
        self.gauge().increment(1);
    }

    fn gauge(&self) -> Gauge {
        gauge!("hayloft_workers", "state" => self.state.as_str(), "plugin" => self.plugin.clone())
    }
}

impl Drop for StateGauge {
    fn drop(&mut self) {
        self.gauge().decrement(1);
    }
}
