//! A worker with new values, tried beside the one that serves.

use serde::Deserialize;

use crate::dispatcher::{Command, FailedStart, Takeover};
use crate::{CandidateError, HookCall, HookError, Worker, Workers};

/// A bound worker that does not serve yet. Dropping it ends it.
#[derive(Debug)]
pub struct Candidate {
    workers: Workers,
    worker: Option<Worker>,
    id: hayloft_model::WorkerId,
}

/// What a plugin says of credentials.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    /// Whether they work.
    pub valid: bool,
    /// What is wrong with them, for the person who gave them.
    #[serde(default)]
    pub error: Option<String>,
}

impl Candidate {
    pub(crate) fn new(workers: Workers, worker: Worker) -> Self {
        Self { id: worker.id(), worker: Some(worker), workers }
    }

    /// Which process.
    #[must_use]
    pub const fn id(&self) -> hayloft_model::WorkerId {
        self.id
    }

    /// Runs `onEnable`.
    ///
    /// # Errors
    /// When it fails, takes too long, or the worker ends.
    pub async fn enable(&self) -> Result<(), HookError> {
        self.call(HookCall::Enable).await.map(drop)
    }

    /// Asks the plugin whether the bound credentials work. One without the hook says yes.
    ///
    /// # Errors
    /// When the hook takes too long, the worker ends, or the answer makes no sense.
    pub async fn validate_auth(&self) -> Result<Verdict, HookError> {
        let call = HookCall::ValidateAuth { config: None, credentials: None };
        let hook = call.name().to_owned();
        let answer = self.call(call).await?;
        serde_json::from_value(answer)
            .map_err(|error| HookError::Unreadable { hook, message: error.to_string() })
    }

    /// Runs `onStart` and makes it the serving worker; the old one ends when its calls have. A failing `onStart` makes
    /// the instance degraded, it does not keep the candidate from serving. Once begun it is finished, even if nobody
    /// waits for the answer any more.
    ///
    /// # Errors
    /// When the worker ends meanwhile. What served goes on serving then.
    pub async fn promote(mut self) -> Result<Worker, CandidateError> {
        // The dispatcher is asked before anything is waited for, so from here on the worker is its own to promote.
        self.worker = None;
        self.workers.promote(self.id, Takeover::NewValues(FailedStart::Serves)).await
    }

    /// The same where what it takes the place of is known to work: a failing `onStart` ends the candidate.
    ///
    /// # Errors
    /// When `onStart` fails or the worker ends meanwhile. What served goes on serving then.
    pub async fn promote_if_started(mut self) -> Result<Worker, CandidateError> {
        self.worker = None;
        self.workers.promote(self.id, Takeover::NewValues(FailedStart::IsRejected)).await
    }

    /// The same for a worker that is replaced for this reason and not for new values: its calls in flight have the
    /// time that each has of its own; what would go on without end ends by [`crate::Deadlines::recycle_drain`]. The reason
    /// is shown with the new worker.
    ///
    /// # Errors
    /// As of [`Candidate::promote_if_started`], as long as the older one serves all that it has to.
    pub async fn relieve(mut self, reason: String) -> Result<Worker, CandidateError> {
        self.worker = None;
        self.workers.promote(self.id, Takeover::Recycled(reason)).await
    }

    /// Ends it.
    pub fn discard(self) {
        drop(self);
    }

    async fn call(&self, hook: HookCall) -> Result<serde_json::Value, HookError> {
        match &self.worker {
            Some(worker) => worker.call_hook(hook).await,
            None => Err(HookError::WorkerGone { reason: String::from("it serves already") }),
        }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if self.worker.is_some() {
            self.workers.command(Command::Discard(self.id));
        }
    }
}
