//! Who is running: worker processes over time, and the host's side of the worker protocol.
//!
//! [`Workers`] starts a worker when somebody needs it, however many ask at once, gives it to one organization, watches
//! it, and ends it with everything that it started. `docs/design/worker-life.md` draws the states.
//!
//! It must not know who may do what, what an MCP message means, or the web face.

mod activity;
mod backoff;
mod candidate;
mod channel;
mod compiled;
mod directory;
mod dispatcher;
mod environment;
mod error;
mod events;
mod gate;
mod health;
mod home;
mod http;
mod kept;
mod launch;
mod life;
mod line;
mod logs;
mod network;
mod notices;
mod observer;
mod pace;
mod places;
mod pools;
pub mod protocol;
mod queue;
mod sampler;
mod settings;
mod slots;
mod source;
mod status;
mod stdio;
mod throttle;
mod unit;
mod warm;
mod worker;
mod workers;

pub use activity::ActivityGuard;
pub use candidate::{Candidate, Verdict};
pub use channel::MAXIMAL_PAYLOAD;
pub use compiled::Compiled;
pub use environment::base as base_environment;
pub use error::{
    CandidateError, Fault, HookError, ProbeError, ProxyError, Refusal, StartFailure, StartStage, Unavailable,
};
pub use gate::{Gate, GateCaller, GateIo, GateStream};
pub use hayloft_egress::jail::{JailLimits, Reason, Refusal as NetworkRefusal};
pub use http::ResponseBody;
pub use kept::{JailConnector, KeepRefused, KeptServer, ServerHealth};
pub use logs::{Level, LogLine, LogStream};
pub use network::{DeclaredHosts, NetworkDefault, NetworkSettings};
pub use observer::{McpTransport, Observer, StateChange};
pub use pace::{GatePace, Turn};
pub use pools::Pool;
pub use settings::{
    CrashLimits, Deadlines, GateLimits, LogLimits, PoolLimits, ProvidedPackage, QueueLimits, Resources,
    RouteLimits, Runtime, Sampling, SamplingSettings, Settings, StartLimits,
};
pub use source::{Binding, Launch, LaunchRefused, LaunchSource};
pub use status::{VitalSigns, WarmWorker, WorkerCode, WorkerStatus};
pub use warm::{Pooling, WarmLimits};
pub use worker::{HookCall, LONGEST_INPUT, Worker};
pub use workers::Workers;
