//! All that the dispatcher and the units say to each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hayloft_model::{InstanceKey, Revision, ServerId, WorkerId, WorkerState};
use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};

use crate::kept::KeptServer;
use crate::logs::Logs;
use crate::notices::Inlet;
use crate::sampler::Sample;
use crate::{Binding, KeepRefused, ServerHealth, StartFailure};

/// From the dispatcher to a unit.
pub(crate) enum Order {
    /// Take this organization. Sent once, to a warm worker.
    Bind(Box<Binding>),
    /// The same for one that was made ready for nobody in particular.
    Claim(Box<Claim>),
    /// Run `onStart`, and start the servers that are to be kept up. Sent once, to a bound worker.
    Start,
    /// Keep a server up, in place of an earlier one of the same id.
    Keep(Box<KeptServer>, oneshot::Sender<Result<(), KeepRefused>>),
    /// The session with a server that is kept up is over although its process runs.
    Revive(ServerId),
    /// Say when nobody uses it.
    TellQuiet,
    /// Take nothing new, let the calls in flight end for so long, then end.
    Drain {
        /// How long calls may take.
        calls: Duration,
        /// Why, for people.
        reason: String,
    },
}

/// What a worker gets that was made ready for nobody in particular.
pub(crate) struct Claim {
    /// Whose worker it becomes.
    pub(crate) key: InstanceKey,
    /// Where its observer is told of it.
    pub(crate) inlet: Inlet,
    /// Where its lines go, those that it has written already as well.
    pub(crate) log: Arc<Logs>,
    /// What it is told.
    pub(crate) binding: Binding,
}

/// From a unit to the dispatcher.
pub(crate) struct Report {
    /// Which unit.
    pub(crate) worker: WorkerId,
    /// What happened.
    pub(crate) event: Event,
}

/// What happened to a unit.
pub(crate) enum Event {
    /// The plugin is loaded; this is what it registered.
    Warm(Box<RawValue>),
    /// It has its organization.
    Bound,
    /// `onStart` has ended, and each server that is kept up answers or has failed. What went wrong is for people.
    Started(Result<(), String>),
    /// After that: whether anything is wrong now with what it serves.
    Health(Result<(), String>),
    /// Nobody has used it for long.
    Idle,
    /// Nobody uses it right now. Said once after it was asked.
    Quiet,
    /// It holds more memory than it shall. The reason is for people.
    Outgrown(String),
    /// Nothing of it is left. The last report.
    Gone(Ending),
}

/// Why a unit is gone.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) cause: Cause,
    /// It was killed, or gave up, for want of memory.
    pub(crate) out_of_memory: bool,
    /// How long its start took, until `onStart` had ended and its servers answered or had failed, or until it failed.
    pub(crate) starting: Duration,
    /// How long it was up after that. Zero if it never was.
    pub(crate) uptime: Duration,
}

/// The kinds of ends.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// It was told to.
    Asked(String),
    /// It never served.
    NeverServed(StartFailure),
    /// It served, and then ended by itself or had to be killed.
    Crashed(String),
}

impl Cause {
    /// The same with every text changed. What a plugin's author has to mend was changed where it was read.
    pub(crate) fn map_texts(self, change: impl Fn(String) -> String) -> Self {
        match self {
            Self::Asked(reason) => Self::Asked(change(reason)),
            Self::Crashed(reason) => Self::Crashed(change(reason)),
            Self::NeverServed(failure) => {
                Self::NeverServed(StartFailure { message: change(failure.message), ..failure })
            }
        }
    }
}

impl Ending {
    pub(crate) fn message(&self) -> String {
        match &self.cause {
            Cause::Asked(reason) | Cause::Crashed(reason) => reason.clone(),
            Cause::NeverServed(failure) => failure.to_string(),
        }
    }
}

/// What a unit lets others know of itself, at any moment.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) state: WorkerState,
    pub(crate) pid: Option<u32>,
    /// What was measured last.
    pub(crate) sample: Option<watch::Receiver<Sample>>,
    pub(crate) revision: Revision,
    pub(crate) servers: Vec<ServerId>,
    /// The servers that are kept up beside it.
    pub(crate) kept: BTreeMap<ServerId, ServerHealth>,
    /// Whether values of the organization stand in the environment of one of its processes.
    pub(crate) secrets_in_environment: bool,
    pub(crate) stalled_since: Option<DateTime<Utc>>,
    /// How long its event loop took for its last answer.
    pub(crate) event_loop_delay: Option<Duration>,
    /// How often its event loop did not answer in time.
    pub(crate) event_loop_stalls: u32,
    /// Why it ended, once it did.
    pub(crate) ending: Option<String>,
}

impl Facts {
    pub(crate) const fn new() -> Self {
        Self {
            state: WorkerState::Starting,
            pid: None,
            sample: None,
            revision: Revision(0),
            servers: Vec::new(),
            kept: BTreeMap::new(),
            secrets_in_environment: false,
            stalled_since: None,
            event_loop_delay: None,
            event_loop_stalls: 0,
            ending: None,
        }
    }

    /// Why it ended, for those who waited for it.
    pub(crate) fn ending(&self) -> String {
        self.ending.clone().unwrap_or_else(|| String::from("it was stopped"))
    }
}
