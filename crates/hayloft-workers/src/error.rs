//! What can go wrong with workers, one closed list per operation.

use std::fmt;
use std::time::Duration;

use hayloft_model::{Problem, Problems};

use crate::LaunchRefused;
use crate::protocol::{FailureReason, WireError};

/// No worker can be had now.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unavailable {
    /// The instance is not to run.
    #[error(transparent)]
    Refused(#[from] LaunchRefused),
    /// It was tried just now and failed.
    #[error("start the plugin: {0}")]
    StartFailed(StartFailure),
    /// It crashed lately; the next start waits.
    #[error("wait for {:.1} s until the plugin may start again; it crashed: {last_error}", retry_after.as_secs_f64())]
    Backoff {
        /// How long calls are still refused.
        retry_after: Duration,
        /// What happened.
        last_error: String,
    },
    /// Too many calls of the organization wait for a start already.
    #[error("queue the call: {limit} calls of the organization already wait for a plugin to start")]
    QueueFull {
        /// How many may wait.
        limit: usize,
        /// How long a call is expected to wait.
        retry_after: Duration,
    },
    /// The start took longer than a call may wait.
    #[error("start the plugin within {:.0} s", after.as_secs_f64())]
    Timeout {
        /// How long was waited.
        after: Duration,
        /// How long a call is expected to wait.
        retry_after: Duration,
    },
    /// It was stopped while the call waited.
    #[error("start the plugin: it was stopped ({reason})")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The host is going down.
    #[error("start the plugin: the host is shutting down")]
    ShuttingDown,
}

impl Unavailable {
    /// When to try again, if that helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Backoff { retry_after, .. }
            | Self::QueueFull { retry_after, .. }
            | Self::Timeout { retry_after, .. } => Some(*retry_after),
            Self::Refused(_) | Self::StartFailed(_) | Self::Stopped { .. } | Self::ShuttingDown => None,
        }
    }
}

/// A worker that never served.
#[derive(Clone, Debug, PartialEq)]
pub struct StartFailure {
    /// How far it came.
    pub stage: StartStage,
    /// What happened: a fragment that completes "failed to …".
    pub message: String,
    /// What the plugin's author has to mend, if the plugin said.
    pub problems: Vec<Problem>,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.message)
    }
}

/// The parts of a start. Each completes "failed to …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartStage {
    /// Making the process.
    Spawn,
    /// Loading the plugin's module.
    Load,
    /// Its global hook.
    Initialize,
    /// One of these two: its process ended without a word of what it was doing.
    LoadOrInitialize,
    /// What it registered.
    Register,
    /// Speaking the protocol.
    Protocol,
    /// Taking an organization.
    Bind,
    /// Its start hook, which may fail, but not take the worker with it.
    Start,
}

impl fmt::Display for StartStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spawn => "make the worker process",
            Self::Load => "load the plugin",
            Self::Initialize => "run `onInitialize`",
            Self::LoadOrInitialize => "load the plugin or run its `onInitialize`",
            Self::Register => "register what the plugin offers",
            Self::Protocol => "speak to the worker",
            Self::Bind => "give the worker its organization",
            Self::Start => "run `onStart`",
        })
    }
}

/// What a plugin's code threw, as far as people may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The error's class.
    pub name: String,
    /// Its message.
    pub message: String,
    /// What kind of failure it is.
    pub reason: FailureReason,
    /// What the plugin's author has to mend.
    pub problems: Vec<Problem>,
}

/// The longest message of a plugin that is kept, in characters.
const LONGEST_MESSAGE: usize = 4096;

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        let short = |text: String| text.chars().take(LONGEST_MESSAGE).collect::<String>();
        let problems = error.problems.into_iter().map(|problem| {
            let found = Problem::error(short(problem.at), short(problem.message));
            match problem.hint {
                Some(hint) => found.hint(short(hint)),
                None => found,
            }
        });
        Self {
            problems: problems.collect(),
            name: short(error.name),
            message: short(error.message),
            reason: error.reason,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Why the host does not do what a worker asked for. It goes back to the plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of failure it is.
    pub reason: FailureReason,
    /// Why, for the plugin's author.
    pub message: String,
    /// What the author has to mend.
    pub problems: Problems,
}

impl Refusal {
    /// A refusal without problems to mend.
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), problems: Problems::new() }
    }

    /// What a host says that does not know the request.
    pub(crate) fn unsupported(what: &str) -> Self {
        Self::new(FailureReason::Unsupported, format!("this host {what}"))
    }
}

/// A hook or a job that did not do its work.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HookError {
    /// The plugin's code failed.
    #[error("{0}")]
    Failed(Fault),
    /// It took too long, and the worker did not even say so.
    #[error("`{hook}` did not end within {:.0} s", after.as_secs_f64())]
    Timeout {
        /// The name of the hook, as authors write it.
        hook: String,
        /// How long it could take.
        after: Duration,
    },
    /// The worker ended meanwhile.
    #[error("the worker ended: {reason}")]
    WorkerGone {
        /// What happened.
        reason: String,
    },
    /// What it was to be given does not fit into a message.
    #[error("{what} has {length} bytes, and a message to a worker holds less")]
    TooLong {
        /// What.
        what: String,
        /// How long it is, in bytes.
        length: usize,
    },
    /// What it returned is not what this hook returns.
    #[error("the answer of `{hook}` cannot be read: {message}")]
    Unreadable {
        /// The name of the hook, as authors write it.
        hook: String,
        /// What is wrong with it.
        message: String,
    },
}

impl HookError {
    /// Whether the time was up, whoever noticed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Failed(fault) => fault.reason == FailureReason::Timeout,
            Self::Timeout { .. } => true,
            Self::WorkerGone { .. } | Self::TooLong { .. } | Self::Unreadable { .. } => false,
        }
    }
}

/// A plugin could not be asked what it registers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProbeError {
    /// It does not start.
    #[error("{0}")]
    StartFailed(StartFailure),
    /// The host is going down.
    #[error("probe the plugin: the host is shutting down")]
    ShuttingDown,
}

impl ProbeError {
    /// Whether nothing of the plugin has run, so that it is not its fault: the host could make no process, or is going
    /// down.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::StartFailed(failure) => failure.stage == StartStage::Spawn,
            Self::ShuttingDown => true,
        }
    }
}

/// A worker with new values cannot serve.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CandidateError {
    /// It does not start.
    #[error("{0}")]
    StartFailed(StartFailure),
    /// A hook did not do its work.
    #[error("{hook}: {error}")]
    Hook {
        /// The name of the hook, as authors write it.
        hook: &'static str,
        /// What happened.
        error: HookError,
    },
    /// The pool of its plugin was full all the time.
    #[error(
        "there was no place for another worker of the plugin within {:.0} s, since all are in use; try again, or have its pool enlarged",
        after.as_secs_f64()
    )]
    NoPlace {
        /// How long was waited.
        after: Duration,
    },
    /// It ended before it could serve.
    #[error("the worker ended: {reason}")]
    Gone {
        /// What happened.
        reason: String,
    },
    /// The host is going down.
    #[error("the host is shutting down")]
    ShuttingDown,
}

/// A route's answer could not be had. Each completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The worker ended, before or in the middle.
    #[error("get the plugin's answer: its worker ended")]
    WorkerGone,
    /// It did not answer in time.
    #[error("get the plugin's answer within {:.0} s", after.as_secs_f64())]
    FirstByteTimeout {
        /// How long was waited.
        after: Duration,
    },
    /// It stopped in the middle of the answer.
    #[error("get more of the plugin's answer within {:.0} s", after.as_secs_f64())]
    IdleTimeout {
        /// How long was waited.
        after: Duration,
    },
    /// The answer is too long.
    #[error("pass the plugin's answer on: it is longer than {limit} bytes")]
    ResponseTooLarge {
        /// How long it may be.
        limit: u64,
    },
    /// The request's own body failed: the client went away or sent too much.
    #[error("read the request's body")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the worker sent is not HTTP, or too much of it.
    #[error("understand the plugin's answer")]
    BadAnswer(#[source] Box<dyn std::error::Error + Send + Sync>),
}
