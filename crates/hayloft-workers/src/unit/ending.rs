//! How a unit ends: what its end was, and that nothing of it is left.

use std::error::Error;
use std::ops::ControlFlow;

use hayloft_model::{WorkerId, WorkerState};
use hayloft_sandbox::{Exit, Jail};
use rustix::process::Signal;
use tokio::time::{Instant, timeout, timeout_at};

use super::start::Process;
use super::{LAST_WORDS, Step, Unit, next_frame};
use crate::events::{Cause, Ending};
use crate::logs::{Level, LogStream};
use crate::{StartFailure, StartStage};

/// What is said of a message that breaks the protocol is at most so long, in characters, since it may quote the worker.
const LONGEST_BREACH: usize = 200;

/// How programs end that give up by themselves.
const ABORTS: [i32; 3] = [Signal::ABORT.as_raw(), Signal::TRAP.as_raw(), Signal::ILL.as_raw()];

/// What Node writes to standard error before it aborts for want of memory: the heap, the engine and native code.
const OUT_OF_MEMORY: [&str; 3] = ["heap out of memory", "process out of memory", "std::bad_alloc"];

impl Unit {
    /// The process has ended. What it said before is still in the channel.
    pub(super) async fn after_exit(&mut self, exit: Exit) -> Cause {
        // Whatever it started may hold the channel and go on speaking without end. With the jail all writers are gone.
        end(self.worker, &self.process.jail).await;
        let heard = Instant::now() + LAST_WORDS;
        while self.process.runner.is_some()
            && let Ok(Some(Ok(frame))) = timeout_at(heard, next_frame(self.process.runner.as_mut())).await
        {
            self.blocked = None;
            if let ControlFlow::Break(cause) = self.on_frame(frame) {
                return cause;
            }
        }
        let aborted = matches!(exit, Exit::Signal(signal) if ABORTS.contains(&signal));
        let exit = if aborted && self.said_out_of_memory().await { Exit::OutOfMemory } else { exit };
        self.out_of_memory = exit == Exit::OutOfMemory;
        self.cause_of_exit(Some(exit))
    }

    /// Whether its last lines say that it aborted for want of memory, as it does at the limit of JavaScript's heap.
    async fn said_out_of_memory(&mut self) -> bool {
        // All writers are dead, so what it wrote can be read to the end.
        if let Some(runner) = &mut self.process.runner {
            for task in std::mem::take(&mut runner.logs) {
                let _ = timeout(LAST_WORDS, task).await;
            }
        }
        self.log.ended_with(LogStream::Stderr, &OUT_OF_MEMORY)
    }

    pub(super) fn cause_of_exit(&mut self, exit: Option<Exit>) -> Cause {
        if let Some(drain) = &self.drain {
            return Cause::Asked(drain.reason.clone());
        }
        let serves = self.life.state() == WorkerState::Bound;
        match (self.fatal.take(), exit) {
            (Some(failure), _) if !serves => Cause::NeverServed(failure),
            (Some(failure), _) => Cause::Crashed(failure.message),
            (None, Some(exit)) => self.failure(&format!("it ended with {exit}")),
            (None, None) => self.failure("it ended"),
        }
    }

    /// The worker is killed for this, unless it was to end anyway.
    pub(super) fn failed(&self, what: &str) -> Step {
        ControlFlow::Break(match &self.drain {
            Some(drain) => Cause::Asked(drain.reason.clone()),
            None => self.failure(what),
        })
    }

    pub(super) fn broke_protocol(&self, error: &dyn Error) -> Step {
        // Masked before it is cut, since the beginning of a secret would not be recognised.
        let error: String = self.log.masked(&error.to_string()).chars().take(LONGEST_BREACH).collect();
        self.failed(&format!("it broke the protocol: {error}")).map_break(|cause| match cause {
            Cause::NeverServed(failure) => {
                Cause::NeverServed(StartFailure { stage: StartStage::Protocol, hint: None, ..failure })
            }
            cause => cause,
        })
    }

    fn failure(&self, what: &str) -> Cause {
        if self.life.state() == WorkerState::Bound {
            return Cause::Crashed(format!("the worker failed: {what}"));
        }
        let stage = match self.life.state() {
            WorkerState::Binding => StartStage::Bind,
            _ if self.life.registered() => StartStage::Register,
            // Where its code ends the process by itself, the runner says in which of the two.
            _ if self.life.greeted() => StartStage::LoadOrInitialize,
            _ => StartStage::Load,
        };
        let hint = Some(String::from("the plugin's log has what it wrote last"));
        Cause::NeverServed(StartFailure { stage, message: what.to_owned(), problems: Vec::new(), hint })
    }

    /// Leaves nothing behind.
    pub(super) async fn end(mut self, ending: &Ending) {
        // Callers that hold this worker learn it first, before anything is waited for.
        self.activity.close();
        self.facts.send_modify(|facts| facts.ending = Some(ending.message()));
        self.pending.clear();
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
        self.blocked = None;
        self.take_servers();
        self.give_up_kept().await;

        end(self.worker, &self.process.jail).await;
        let Process { home, runner, .. } = self.process;
        for task in runner.into_iter().flat_map(|runner| runner.logs) {
            // All writers are dead, so the pipes are at their ends.
            let _ = timeout(LAST_WORDS, task).await;
        }
        home.remove().await;
        let level = if matches!(ending.cause, Cause::Asked(_)) { Level::Info } else { Level::Error };
        self.log.host(level, format!("the worker is gone: {}", ending.message()));
        self.life.end();
        self.gauge.set(WorkerState::Gone);
        self.facts.send_modify(|facts| facts.state = WorkerState::Gone);
    }
}

pub(super) async fn end(worker: WorkerId, jail: &Jail) {
    if let Err(error) = jail.end().await {
        tracing::error!(%worker, %error, "failed to end a worker's processes");
    }
}
