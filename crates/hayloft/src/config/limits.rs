//! `[limits]`: limits and deadlines. The defaults are those of the crates that keep them.

use std::num::NonZeroUsize;

use hayloft_host::{CallLimits, HostDeadlines, ValueQuota};
use hayloft_model::plugin::{LimitName, PluginLimits};
use hayloft_server::ServerLimits;
use hayloft_workers::{
    CrashLimits, Deadlines, GateLimits, LogLimits, PoolLimits, QueueLimits, Resources, RouteLimits, Sampling,
    StartLimits, WarmLimits,
};

use super::reader::SettingsReader;
use super::setting::Setting;

/// The settings of this section.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("limits.on_initialize", "HAYLOFT_LIMITS_ON_INITIALIZE"),
    Setting::new("limits.on_start", "HAYLOFT_LIMITS_ON_START"),
    Setting::new("limits.on_validate_auth", "HAYLOFT_LIMITS_ON_VALIDATE_AUTH"),
    Setting::new("limits.on_config_update", "HAYLOFT_LIMITS_ON_CONFIG_UPDATE"),
    Setting::new("limits.on_disable", "HAYLOFT_LIMITS_ON_DISABLE"),
    Setting::new("limits.procedure", "HAYLOFT_LIMITS_PROCEDURE"),
    Setting::new("limits.open_mcp", "HAYLOFT_LIMITS_OPEN_MCP"),
    Setting::new("limits.ping", "HAYLOFT_LIMITS_PING"),
    Setting::new("limits.pong", "HAYLOFT_LIMITS_PONG"),
    Setting::new("limits.unresponsive", "HAYLOFT_LIMITS_UNRESPONSIVE"),
    Setting::new("limits.idle", "HAYLOFT_LIMITS_IDLE"),
    Setting::new("limits.drain", "HAYLOFT_LIMITS_DRAIN"),
    Setting::new("limits.recycle_drain", "HAYLOFT_LIMITS_RECYCLE_DRAIN"),
    Setting::new("limits.tool_call", "HAYLOFT_LIMITS_TOOL_CALL"),
    Setting::new("limits.tool_call_total", "HAYLOFT_LIMITS_TOOL_CALL_TOTAL"),
    Setting::new("limits.plugin_rate", "HAYLOFT_LIMITS_PLUGIN_RATE"),
    Setting::new("limits.plugin_burst", "HAYLOFT_LIMITS_PLUGIN_BURST"),
    Setting::new("limits.calls_at_once", "HAYLOFT_LIMITS_CALLS_AT_ONCE"),
    Setting::new("limits.calls_waiting", "HAYLOFT_LIMITS_CALLS_WAITING"),
    Setting::new("limits.call_wait", "HAYLOFT_LIMITS_CALL_WAIT"),
    Setting::new("limits.save_answer", "HAYLOFT_LIMITS_SAVE_ANSWER"),
    Setting::new("limits.audit_period", "HAYLOFT_LIMITS_AUDIT_PERIOD"),
    Setting::new("limits.kept_values", "HAYLOFT_LIMITS_KEPT_VALUES"),
    Setting::new("limits.kept_bytes", "HAYLOFT_LIMITS_KEPT_BYTES"),
    Setting::new("limits.route_first_byte", "HAYLOFT_LIMITS_ROUTE_FIRST_BYTE"),
    Setting::new("limits.route_idle", "HAYLOFT_LIMITS_ROUTE_IDLE"),
    Setting::new("limits.route_response", "HAYLOFT_LIMITS_ROUTE_RESPONSE"),
    Setting::new("limits.request_body", "HAYLOFT_LIMITS_REQUEST_BODY"),
    Setting::new("limits.upload", "HAYLOFT_LIMITS_UPLOAD"),
    Setting::new("limits.request_head_time", "HAYLOFT_LIMITS_REQUEST_HEAD_TIME"),
    Setting::new("limits.request_body_pause", "HAYLOFT_LIMITS_REQUEST_BODY_PAUSE"),
    Setting::new("limits.connections", "HAYLOFT_LIMITS_CONNECTIONS"),
    Setting::new("limits.connections_per_address", "HAYLOFT_LIMITS_CONNECTIONS_PER_ADDRESS"),
    Setting::new("limits.queue", "HAYLOFT_LIMITS_QUEUE"),
    Setting::new("limits.queue_per_organization", "HAYLOFT_LIMITS_QUEUE_PER_ORGANIZATION"),
    Setting::new("limits.workers_per_plugin", "HAYLOFT_LIMITS_WORKERS_PER_PLUGIN"),
    Setting::new("limits.warm_pool", "HAYLOFT_LIMITS_WARM_POOL"),
    Setting::new("limits.starts_at_once", "HAYLOFT_LIMITS_STARTS_AT_ONCE"),
    Setting::new("limits.start_rate", "HAYLOFT_LIMITS_START_RATE"),
    Setting::new("limits.start_burst", "HAYLOFT_LIMITS_START_BURST"),
    Setting::new("limits.crashes", "HAYLOFT_LIMITS_CRASHES"),
    Setting::new("limits.crashes_within", "HAYLOFT_LIMITS_CRASHES_WITHIN"),
    Setting::new("limits.log_line", "HAYLOFT_LIMITS_LOG_LINE"),
    Setting::new("limits.log_buffer", "HAYLOFT_LIMITS_LOG_BUFFER"),
    Setting::new("limits.gate_rate", "HAYLOFT_LIMITS_GATE_RATE"),
    Setting::new("limits.gate_burst", "HAYLOFT_LIMITS_GATE_BURST"),
    Setting::new("limits.gate_requests", "HAYLOFT_LIMITS_GATE_REQUESTS"),
    Setting::new("limits.gate_connections", "HAYLOFT_LIMITS_GATE_CONNECTIONS"),
    Setting::new("limits.worker_heap_mib", "HAYLOFT_LIMITS_WORKER_HEAP_MIB"),
    Setting::new("limits.worker_memory", "HAYLOFT_LIMITS_WORKER_MEMORY"),
    Setting::new("limits.worker_process_memory", "HAYLOFT_LIMITS_WORKER_PROCESS_MEMORY"),
    Setting::new("limits.worker_tasks", "HAYLOFT_LIMITS_WORKER_TASKS"),
    Setting::new("limits.worker_processor", "HAYLOFT_LIMITS_WORKER_PROCESSOR"),
    Setting::new("limits.worker_temporary", "HAYLOFT_LIMITS_WORKER_TEMPORARY"),
    Setting::new("limits.worker_open_files", "HAYLOFT_LIMITS_WORKER_OPEN_FILES"),
    Setting::new("limits.worker_file_size", "HAYLOFT_LIMITS_WORKER_FILE_SIZE"),
    Setting::new("limits.throttle_above", "HAYLOFT_LIMITS_THROTTLE_ABOVE"),
    Setting::new("limits.soft_memory", "HAYLOFT_LIMITS_SOFT_MEMORY"),
    Setting::new("limits.recycle_pause", "HAYLOFT_LIMITS_RECYCLE_PAUSE"),
    Setting::new("limits.maximum_worker_memory", "HAYLOFT_LIMITS_MAXIMUM_WORKER_MEMORY"),
    Setting::new("limits.maximum_worker_tasks", "HAYLOFT_LIMITS_MAXIMUM_WORKER_TASKS"),
    Setting::new("limits.maximum_worker_processor", "HAYLOFT_LIMITS_MAXIMUM_WORKER_PROCESSOR"),
    Setting::new("limits.maximum_worker_temporary", "HAYLOFT_LIMITS_MAXIMUM_WORKER_TEMPORARY"),
];

/// What a plugin may ask for, unless the operator says otherwise.
const MAXIMUM: PluginLimits =
    PluginLimits { memory: Some(4 << 30), tasks: Some(1024), processor: Some(400), temporary: Some(1 << 30) };

/// Limits and deadlines, sorted by who keeps them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Of hooks and a worker's life.
    pub(crate) workers: Deadlines,
    /// Of a worker process.
    pub(crate) resources: Resources,
    /// The most that a single plugin may get.
    pub(crate) maximum: PluginLimits,
    /// Of its output.
    pub(crate) logs: LogLimits,
    /// Of waiting for a start.
    pub(crate) queue: QueueLimits,
    /// Workers of one plugin, where nothing is said about it.
    pub(crate) workers_per_plugin: NonZeroUsize,
    /// Of starts.
    pub(crate) starts: StartLimits,
    /// Of workers that are ready before somebody needs one.
    pub(crate) warm: WarmLimits,
    /// Of crashes.
    pub(crate) crashes: CrashLimits,
    /// Of a plugin's routes.
    pub(crate) routes: RouteLimits,
    /// Of what a worker asks of the host.
    pub(crate) gates: GateLimits,
    /// Of what a worker uses over time.
    pub(crate) sampling: Sampling,
    /// Beyond so much memory a worker is replaced.
    pub(crate) soft_memory: Option<u64>,
    /// Of tool calls.
    pub(crate) host: HostDeadlines,
    /// Of how many of them an organization has.
    pub(crate) calls: CallLimits,
    /// Of what a plugin keeps for an organization.
    pub(crate) values: ValueQuota,
    /// Of what the outside sends.
    pub(crate) server: ServerLimits,
}

impl Limits {
    pub(super) fn read(settings: &mut SettingsReader<'_>) -> Self {
        let defaults = Deadlines::default();
        let workers = Deadlines {
            on_initialize: settings.duration("limits.on_initialize", defaults.on_initialize),
            on_start: settings.duration("limits.on_start", defaults.on_start),
            on_validate_auth: settings.duration("limits.on_validate_auth", defaults.on_validate_auth),
            on_config_update: settings.duration("limits.on_config_update", defaults.on_config_update),
            on_disable: settings.duration("limits.on_disable", defaults.on_disable),
            procedure: settings.duration("limits.procedure", defaults.procedure),
            open_mcp: settings.duration("limits.open_mcp", defaults.open_mcp),
            ping: settings.duration("limits.ping", defaults.ping),
            pong: settings.duration("limits.pong", defaults.pong),
            unresponsive: settings.duration("limits.unresponsive", defaults.unresponsive),
            idle: settings.duration("limits.idle", defaults.idle),
            drain: settings.duration("limits.drain", defaults.drain),
            recycle_drain: settings.duration("limits.recycle_drain", defaults.recycle_drain),
            ..defaults
        };
        let defaults = HostDeadlines::default();
        let host = HostDeadlines {
            tool_call: settings.duration("limits.tool_call", defaults.tool_call),
            tool_call_total: settings.duration("limits.tool_call_total", defaults.tool_call_total),
            save_answer: settings.duration("limits.save_answer", defaults.save_answer),
            audit_period: settings.duration("limits.audit_period", defaults.audit_period),
        };
        let defaults = CallLimits::default();
        let calls = CallLimits {
            rate: settings.count("limits.plugin_rate", defaults.rate),
            burst: settings.positive("limits.plugin_burst", defaults.burst),
            at_once: settings.positive("limits.calls_at_once", defaults.at_once),
            waiting: settings.count("limits.calls_waiting", defaults.waiting),
            wait: settings.duration("limits.call_wait", defaults.wait),
        };
        let defaults = ValueQuota::default();
        let values = ValueQuota {
            values: settings.count("limits.kept_values", defaults.values),
            bytes: settings.size("limits.kept_bytes", defaults.bytes),
        };
        let defaults = RouteLimits::default();
        let routes = RouteLimits {
            first_byte: settings.duration("limits.route_first_byte", defaults.first_byte),
            idle: settings.duration("limits.route_idle", defaults.idle),
            response: settings.size("limits.route_response", defaults.response),
            ..defaults
        };
        let defaults = ServerLimits::default();
        let server = ServerLimits {
            request_body: settings.size("limits.request_body", defaults.request_body),
            upload: settings.size("limits.upload", defaults.upload),
            request_head_time: settings.duration("limits.request_head_time", defaults.request_head_time),
            request_body_pause: settings.duration("limits.request_body_pause", defaults.request_body_pause),
            connections: settings.count("limits.connections", defaults.connections),
            connections_per_address: settings
                .count("limits.connections_per_address", defaults.connections_per_address),
            drain: workers.drain,
        };
        let defaults = QueueLimits::default();
        let queue = QueueLimits {
            deadline: settings.duration("limits.queue", defaults.deadline),
            per_organization: settings.count("limits.queue_per_organization", defaults.per_organization),
        };
        let workers_per_plugin =
            settings.positive("limits.workers_per_plugin", PoolLimits::default().workers);
        let defaults = StartLimits::default();
        let starts = StartLimits {
            at_once: settings.positive("limits.starts_at_once", starts_at_once()),
            rate: settings.positive("limits.start_rate", defaults.rate),
            burst: settings.positive("limits.start_burst", defaults.burst),
            ..defaults
        };
        let defaults = WarmLimits::default();
        let warm = WarmLimits { memory: settings.size("limits.warm_pool", defaults.memory), ..defaults };
        let defaults = CrashLimits::default();
        let crashes = CrashLimits {
            count: settings.positive("limits.crashes", defaults.count),
            within: settings.duration("limits.crashes_within", defaults.within),
        };
        let defaults = LogLimits::default();
        let logs = LogLimits {
            line: settings.size("limits.log_line", defaults.line),
            buffer: settings.size("limits.log_buffer", defaults.buffer),
            ..defaults
        };
        let defaults = GateLimits::default();
        let gates = GateLimits {
            rate: settings.positive("limits.gate_rate", defaults.rate),
            burst: settings.count("limits.gate_burst", defaults.burst),
            requests: settings.positive("limits.gate_requests", defaults.requests),
            connections: settings.positive("limits.gate_connections", defaults.connections),
        };
        let defaults = Sampling::default();
        let sampling = Sampling {
            throttle_above: settings.count("limits.throttle_above", defaults.throttle_above),
            recycle_pause: settings.duration("limits.recycle_pause", defaults.recycle_pause),
            ..defaults
        };
        let soft_memory = settings.optional_size("limits.soft_memory");
        let mut maximum = PluginLimits::default();
        for name in LimitName::ALL {
            let default = MAXIMUM.get(name).unwrap_or(u64::MAX);
            maximum.set(name, settings.limit(maximum_key(name), name, default, None));
        }
        let mut worker = |key, name, default| settings.limit(key, name, default, Some(bound(&maximum, name)));
        let defaults = Resources::default();
        let memory = worker("limits.worker_memory", LimitName::Memory, defaults.memory);
        let tasks = worker("limits.worker_tasks", LimitName::Tasks, defaults.tasks);
        let processor = worker("limits.worker_processor", LimitName::Processor, defaults.processor.into());
        let temporary = worker("limits.worker_temporary", LimitName::Temporary, defaults.temporary);
        let resources = Resources {
            old_space_mib: settings.count("limits.worker_heap_mib", defaults.old_space_mib),
            memory,
            data_segment: settings.size("limits.worker_process_memory", defaults.data_segment),
            tasks,
            processor: u32::try_from(processor).unwrap_or(u32::MAX),
            temporary,
            open_files: settings.count("limits.worker_open_files", defaults.open_files),
            file_size: settings.size("limits.worker_file_size", defaults.file_size),
            ..defaults
        };
        Self {
            workers,
            resources,
            maximum,
            logs,
            queue,
            workers_per_plugin,
            starts,
            warm,
            crashes,
            routes,
            gates,
            sampling,
            soft_memory,
            host,
            calls,
            values,
            server,
        }
    }
}

/// Two for each processor: a start waits for the disk and the kernel about as long as it computes.
fn starts_at_once() -> NonZeroUsize {
    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    processors.saturating_mul(const { NonZeroUsize::new(2).unwrap() })
}

const fn maximum_key(name: LimitName) -> &'static str {
    match name {
        LimitName::Memory => "limits.maximum_worker_memory",
        LimitName::Tasks => "limits.maximum_worker_tasks",
        LimitName::Processor => "limits.maximum_worker_processor",
        LimitName::Temporary => "limits.maximum_worker_temporary",
    }
}

/// The setting that bounds a limit, and its value.
pub(super) fn bound(maximum: &PluginLimits, name: LimitName) -> (&'static str, u64) {
    (maximum_key(name), maximum.get(name).unwrap_or(u64::MAX))
}
