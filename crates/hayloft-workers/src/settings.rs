//! What the binary decides about workers: where the runtime is, limits and deadlines.

use std::collections::{HashMap, HashSet};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hayloft_model::plugin::PluginLimits;
use hayloft_model::{Clock, Entropy, PluginDescriptor, PluginId};
use hayloft_sandbox::{Limits, Sandbox};

use crate::{Gate, NetworkSettings, WarmLimits};

/// Everything that [`crate::Workers`] needs.
pub struct Settings {
    /// The programs inside a worker.
    pub runtime: Runtime,
    /// Makes the jails.
    pub sandbox: Sandbox,
    /// An existing folder that only the host's user can enter. Each worker gets its home in it; what is in it when
    /// the workers start is deleted.
    pub scratch: PathBuf,
    /// Answers what comes through the gates of the jails.
    pub gate: Arc<dyn Gate>,
    /// What workers reach beside the host.
    pub network: NetworkSettings,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids.
    pub entropy: Arc<dyn Entropy>,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What a worker process may use.
    pub resources: Resources,
    /// What the operator set for single plugins, which wins over what they ask for themselves.
    pub plugin_limits: HashMap<PluginId, PluginLimits>,
    /// How much of its output is kept.
    pub logs: LogLimits,
    /// Who may wait for a start.
    pub queue: QueueLimits,
    /// How many workers a plugin has.
    pub pools: PoolLimits,
    /// How many workers start at once.
    pub starts: StartLimits,
    /// How often an instance may crash.
    pub crashes: CrashLimits,
    /// What a route may answer.
    pub routes: RouteLimits,
    /// What a worker may ask of the host.
    pub gates: GateLimits,
    /// How workers are measured, and what follows.
    pub sampling: SamplingSettings,
    /// How many workers are ready before somebody needs one.
    pub warm: WarmLimits,
}

impl Settings {
    /// What a worker of this plugin may use. Whether it may ask for that much was decided before.
    pub(crate) fn resources_of(&self, plugin: &PluginDescriptor) -> Resources {
        let set = self.plugin_limits.get(&plugin.id).copied().unwrap_or_default();
        self.resources.with(&set.or(plugin.limits))
    }
}

/// The programs inside a worker.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// Absolute path of the Node executable.
    pub node: PathBuf,
    /// Absolute path of the bundled runner. What else lies beside it for workers is found by its folder.
    pub runner: PathBuf,
    /// Packages that a plugin without a copy of its own finds.
    pub packages: Vec<ProvidedPackage>,
}

/// An npm package that the host provides to plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvidedPackage {
    /// What plugins call it: `@hay/plugin-sdk`.
    pub name: String,
    /// Absolute path of its folder.
    pub path: PathBuf,
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
    /// The check of credentials.
    pub on_validate_auth: Duration,
    /// The hook after new settings, and hooks without a deadline of their own: when a plugin is switched on, and after OAuth
    /// connected.
    pub on_config_update: Duration,
    /// The hook when a plugin is switched off.
    pub on_disable: Duration,
    /// One run of a scheduled job.
    pub cron: Duration,
    /// One call of a procedure of a plugin's own router.
    pub procedure: Duration,
    /// Connecting an MCP server, unless the plugin says otherwise.
    pub open_mcp: Duration,
    /// What the host waits on top of a deadline that the runner keeps itself. A worker that still says nothing then
    /// has a blocked event loop.
    pub grace: Duration,
    /// For the calls in flight of a worker that is to stop.
    pub drain: Duration,
    /// The same for one that is replaced for its memory alone: no call is cut off for that, and a stream that would go on
    /// without end ends then. Where the fresh one comes only after the old one, this serves for so long at most until
    /// nobody uses it.
    pub recycle_drain: Duration,
    /// From `shutdown` to the end of the process.
    pub stop: Duration,
    /// A worker without activity for so long is stopped.
    pub idle: Duration,
    /// A worker that has asked the host for something is not taken for idle for so long: it may be at work on something
    /// that it has already answered. What it says of itself, such as its MCP servers, does not count.
    pub after_asking: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// For the answer to a ping.
    pub pong: Duration,
    /// A worker that did not answer a ping for so long, and is in no hook that may take longer, is ended: nobody waits
    /// any more for what blocks its event loop. It should be more than a call may take.
    pub unresponsive: Duration,
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
            procedure: Duration::from_secs(30),
            open_mcp: Duration::from_secs(30),
            grace: Duration::from_secs(2),
            drain: Duration::from_secs(10),
            recycle_drain: Duration::from_secs(15 * 60),
            stop: Duration::from_secs(2),
            idle: Duration::from_secs(300),
            after_asking: Duration::from_secs(30),
            ping: Duration::from_secs(15),
            pong: Duration::from_secs(5),
            unresponsive: Duration::from_secs(75),
        }
    }
}

/// What a worker process may use.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    /// JavaScript's old space, in MiB.
    pub old_space_mib: u32,
    /// Memory of a worker and its MCP servers together, in bytes.
    pub memory: u64,
    /// Private writable memory that one process may ask for, in bytes. It is far more than what is used: Node 24 asks
    /// for half a GiB for the code of each of its threads.
    pub data_segment: u64,
    /// Processes and their threads together.
    pub tasks: u64,
    /// Processor time, in percent of one core.
    pub processor: u32,
    /// Temporary files together, in bytes.
    pub temporary: u64,
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
            memory: 1 << 30,
            data_segment: 8 << 30,
            tasks: 256,
            processor: 100,
            temporary: 64 << 20,
            open_files: 1024,
            file_size: 256 << 20,
            mcp_servers: 64,
        }
    }
}

impl Resources {
    /// These, but for what is set. With more memory, JavaScript's heap and a single process get more in proportion:
    /// else it could not be used.
    #[must_use]
    pub fn with(self, limits: &PluginLimits) -> Self {
        let memory = limits.memory.unwrap_or(self.memory);
        let more = |amount: u64| {
            let grown = u128::from(amount) * u128::from(memory) / u128::from(self.memory.max(1));
            u64::try_from(grown).unwrap_or(u64::MAX).max(amount)
        };
        Self {
            memory,
            old_space_mib: u32::try_from(more(self.old_space_mib.into())).unwrap_or(u32::MAX),
            data_segment: more(self.data_segment),
            tasks: limits.tasks.unwrap_or(self.tasks),
            processor: limits
                .processor
                .map_or(self.processor, |percent| u32::try_from(percent).unwrap_or(u32::MAX)),
            temporary: limits.temporary.unwrap_or(self.temporary),
            ..self
        }
    }

    /// What the kernel refuses a worker's jail.
    #[must_use]
    pub const fn of_jail(&self) -> Limits {
        Limits {
            memory: self.memory,
            data_segment: self.data_segment,
            tasks: self.tasks,
            open_files: self.open_files,
            file_size: self.file_size,
            temporary: self.temporary,
            processor: self.processor,
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

/// How many workers there may be of a plugin, over all organizations.
#[derive(Clone, Debug)]
pub struct PoolLimits {
    /// For a plugin about which nothing is said.
    pub workers: NonZeroUsize,
    /// For single plugins, by the operator.
    pub by_plugin: HashMap<PluginId, NonZeroUsize>,
    /// The plugins whose workers are never stopped because nobody uses them: they wait for something that no call tells.
    pub keep_alive: HashSet<PluginId>,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            workers: const { NonZeroUsize::new(10).unwrap() },
            by_plugin: HashMap::new(),
            keep_alive: HashSet::new(),
        }
    }
}

impl PoolLimits {
    /// How many workers of this plugin there may be.
    pub(crate) fn of(&self, plugin: &PluginId) -> NonZeroUsize {
        self.by_plugin.get(plugin).copied().unwrap_or(self.workers)
    }
}

/// How many workers start at once, and how many of one organization in a while.
#[derive(Clone, Copy, Debug)]
pub struct StartLimits {
    /// Plugins that are loaded at once. One organization has half of that.
    pub at_once: NonZeroUsize,
    /// A start that takes longer does not count any more once it needs no processor, and after five times as long in any
    /// case.
    pub slot: Duration,
    /// Starts of an organization in a second.
    pub rate: NonZeroU32,
    /// Starts of an organization at once, after a while in which there were none.
    pub burst: NonZeroU32,
}

impl Default for StartLimits {
    fn default() -> Self {
        Self {
            at_once: const { NonZeroUsize::new(4).unwrap() },
            slot: Duration::from_secs(1),
            rate: const { NonZeroU32::new(10).unwrap() },
            burst: const { NonZeroU32::new(100).unwrap() },
        }
    }
}

/// How often an instance may crash before it is held back until a person, new settings or a new version release it.
#[derive(Clone, Copy, Debug)]
pub struct CrashLimits {
    /// With so many crashes it is held back.
    pub count: NonZeroUsize,
    /// Older crashes do not count.
    pub within: Duration,
}

impl Default for CrashLimits {
    fn default() -> Self {
        Self { count: const { NonZeroUsize::new(8).unwrap() }, within: Duration::from_secs(600) }
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

/// How workers are measured, and what follows.
#[derive(Clone, Debug, Default)]
pub struct SamplingSettings {
    /// How often, and where the lines are.
    pub pace: Sampling,
    /// A worker that holds more memory is replaced between calls, in bytes. Absent if none is.
    pub soft_memory: Option<u64>,
    /// The same for single plugins.
    pub plugin_soft_memory: HashMap<PluginId, u64>,
}

impl SamplingSettings {
    pub(crate) fn soft_memory_of(&self, plugin: &PluginId) -> Option<u64> {
        self.plugin_soft_memory.get(plugin).copied().or(self.soft_memory)
    }
}

/// How often workers are measured, and from where on something follows.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Between two looks at the processor time. Memory is looked at every fifth time, and so is a worker that does nothing.
    pub interval: Duration,
    /// A worker that used more of the processor in the last second, in percent of one core, goes last until it is calm.
    pub throttle_above: u32,
    /// So long a worker is not replaced for its memory after it was started, or after it was tried.
    pub recycle_pause: Duration,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(200),
            throttle_above: 50,
            recycle_pause: Duration::from_secs(60),
        }
    }
}

/// What a worker may ask of the host through its gate. A connection costs a turn, a request another one, and reading from
/// a connection a quarter of one each time.
#[derive(Clone, Copy, Debug)]
pub struct GateLimits {
    /// Turns in a second.
    pub rate: NonZeroU32,
    /// Turns that may be taken at once, after a while in which none were.
    pub burst: u32,
    /// Requests that are worked on at once; further ones wait.
    pub requests: NonZeroUsize,
    /// Connections that are open at once; further ones wait in the system's queue.
    pub connections: NonZeroUsize,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            rate: const { NonZeroU32::new(1_000).unwrap() },
            burst: 500,
            requests: const { NonZeroUsize::new(16).unwrap() },
            connections: const { NonZeroUsize::new(64).unwrap() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_counts_and_more_memory_can_be_used() {
        let common = Resources::default();
        let with = |limits| common.with(&limits);
        let double = with(PluginLimits { memory: Some(2 * common.memory), ..PluginLimits::default() });
        assert_eq!(double.memory, 2 * common.memory);
        assert_eq!(double.data_segment, 2 * common.data_segment);
        assert_eq!(double.old_space_mib, 2 * common.old_space_mib);
        assert_eq!((double.tasks, double.processor), (common.tasks, common.processor));

        let set = PluginLimits {
            memory: Some(common.memory / 4),
            tasks: Some(33),
            processor: Some(7),
            temporary: Some(1 << 20),
        };
        let little = with(set);
        assert_eq!(
            (little.memory, little.tasks, little.processor, little.temporary),
            (common.memory / 4, 33, 7, 1 << 20)
        );
        // One process does not start on much less, and all of them together are limited as asked.
        assert_eq!((little.data_segment, little.old_space_mib), (common.data_segment, common.old_space_mib));
        let most = with(PluginLimits { memory: Some(u64::MAX), processor: Some(u64::MAX), ..set });
        assert_eq!((most.memory, most.processor), (u64::MAX, u32::MAX));
    }
}
