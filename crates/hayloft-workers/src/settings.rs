//! What the binary decides about workers: where the runtime is, limits and deadlines.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hayloft_model::{Clock, Entropy};
use hayloft_sandbox::Spawner;

/// Everything that [`crate::Workers`] needs.
pub struct Settings {
    /// The programs inside a worker.
    pub runtime: Runtime,
    /// Starts the processes.
    pub spawner: Spawner,
    /// The name of this host's data folder in the markers of its processes: letters, digits and `-`, no `/`.
    pub instance_marker: String,
    /// An existing folder that only the host's user can enter. Each worker gets its home in it; what is in it when
    /// the workers start is deleted.
    pub scratch: PathBuf,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids.
    pub entropy: Arc<dyn Entropy>,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What a worker process may use.
    pub resources: Resources,
    /// How much of its output is kept.
    pub logs: LogLimits,
    /// Who may wait for a start.
    pub queue: QueueLimits,
    /// What a route may answer.
    pub routes: RouteLimits,
}

/// The programs inside a worker.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// Absolute path of the Node executable.
    pub node: PathBuf,
    /// Absolute path of the bundled runner.
    pub runner: PathBuf,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From exec to the runner's first word.
    pub spawn: Duration,
    /// Loading the plugin and its global hook.
    pub on_initialize: Duration,
    /// The start hook.
    pub on_start: Duration,
    /// The check of credentials, and the hook after OAuth connected.
    pub on_validate_auth: Duration,
    /// The hook after new settings.
    pub on_config_update: Duration,
    /// The hooks when a plugin is switched on or off.
    pub on_disable: Duration,
    /// One run of a scheduled job.
    pub cron: Duration,
    /// Connecting an MCP server, unless the plugin says otherwise.
    pub open_mcp: Duration,
    /// What the host waits on top of a deadline that the runner keeps itself. A worker that still says nothing then
    /// has a blocked event loop.
    pub grace: Duration,
    /// For the calls in flight of a worker that is to stop.
    pub drain: Duration,
    /// From `shutdown` to the end of the process.
    pub stop: Duration,
    /// A worker without activity for so long is stopped.
    pub idle: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// For the answer to a ping.
    pub pong: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            spawn: Duration::from_secs(10),
            on_initialize: Duration::from_secs(10),
            on_start: Duration::from_secs(30),
            on_validate_auth: Duration::from_secs(15),
            on_config_update: Duration::from_secs(10),
            on_disable: Duration::from_secs(10),
            cron: Duration::from_secs(300),
            open_mcp: Duration::from_secs(30),
            grace: Duration::from_secs(2),
            drain: Duration::from_secs(10),
            stop: Duration::from_secs(2),
            idle: Duration::from_secs(300),
            ping: Duration::from_secs(15),
            pong: Duration::from_secs(5),
        }
    }
}

/// What a worker process may use.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    /// JavaScript's old space, in MiB.
    pub old_space_mib: u32,
    /// Private writable memory, in bytes.
    pub data_segment: u64,
    /// Open descriptors.
    pub open_files: u64,
    /// The largest file that it may write, in bytes.
    pub file_size: u64,
    /// How many MCP servers a worker may have open.
    pub mcp_servers: usize,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            old_space_mib: 512,
            data_segment: 1 << 30,
            open_files: 1024,
            file_size: 256 << 20,
            mcp_servers: 64,
        }
    }
}

/// How much of a worker's output is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// Longest line in bytes; the rest of a longer one is cut off.
    pub line: usize,
    /// All kept lines of an instance, in bytes.
    pub buffer: usize,
    /// What a worker may write per second, in bytes; lines beyond are counted and dropped.
    pub rate: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { line: 16 << 10, buffer: 1 << 20, rate: 1 << 20 }
    }
}

/// Who may wait for a start.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// How many calls of one organization.
    pub per_organization: usize,
    /// How long.
    pub deadline: Duration,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { per_organization: 100, deadline: Duration::from_secs(30) }
    }
}

/// What a plugin's route may answer.
#[derive(Clone, Copy, Debug)]
pub struct RouteLimits {
    /// From the last byte of the request to the first of the answer.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// The answer's body, in bytes.
    pub response: u64,
    /// The answer's head, in bytes.
    pub head: usize,
}

impl Default for RouteLimits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            response: 100 << 20,
            head: 64 << 10,
        }
    }
}
