//! The calls that wait for an answer of one server, each under the id that we gave it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::progress::{Progress, ProgressSink};

use super::error::{CallError, CloseReason};

/// What a waiting call is told.
pub(super) type Reply = Result<Box<RawValue>, CallError>;

/// All calls that wait, until the session is over.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiters: HashMap<u64, Waiter>,
    closed: Option<CloseReason>,
}

#[derive(Debug)]
struct Waiter {
    reply: oneshot::Sender<Reply>,
    progress: Option<ProgressSink>,
    /// When the server last reported progress.
    alive_at: Option<Instant>,
}

impl Pending {
    /// Starts to wait, unless the session is over or too many wait already.
    pub(super) fn add(
        &self,
        id: u64,
        progress: Option<ProgressSink>,
        most: usize,
    ) -> Result<oneshot::Receiver<Reply>, CallError> {
        let (reply, receiver) = oneshot::channel();
        let mut state = self.state();
        if let Some(reason) = &state.closed {
            return Err(CallError::Closed(reason.clone()));
        }
        let waiting = state.waiters.len();
        if waiting >= most {
            return Err(CallError::Overloaded { waiting });
        }
        state.waiters.insert(id, Waiter { reply, progress, alive_at: None });
        Ok(receiver)
    }

    /// Answers a call. False when no call waits under this id.
    pub(super) fn answer(&self, id: u64, reply: Reply) -> bool {
        let waiter = self.state().waiters.remove(&id);
        match waiter {
            Some(waiter) => {
                // The caller may have turned away this very moment; then nobody needs the reply.
                drop(waiter.reply.send(reply));
                true
            }
            None => false,
        }
    }

    /// Forgets a call. False when it was answered or forgotten before.
    pub(super) fn forget(&self, id: u64) -> bool {
        self.state().waiters.remove(&id).is_some()
    }

    /// Hands a report of progress to its call. False when no call asked for it.
    pub(super) fn progress(&self, id: u64, progress: Progress) -> bool {
        let mut state = self.state();
        let Some(waiter) = state.waiters.get_mut(&id) else {
            return false;
        };
        let Some(sink) = &waiter.progress else {
            return false;
        };
        sink.send(progress);
        waiter.alive_at = Some(Instant::now());
        true
    }

    /// When the server last reported progress of a call.
    pub(super) fn alive_at(&self, id: u64) -> Option<Instant> {
        self.state().waiters.get(&id)?.alive_at
    }

    /// Ends the session: every call that waits fails, and so does every later one. The first reason stays, and only the
    /// first caller is told true.
    pub(super) fn close(&self, reason: &CloseReason) -> bool {
        let waiters = {
            let mut state = self.state();
            if state.closed.is_some() {
                return false;
            }
            state.closed = Some(reason.clone());
            std::mem::take(&mut state.waiters)
        };
        for waiter in waiters.into_values() {
            drop(waiter.reply.send(Err(CallError::Closed(reason.clone()))));
        }
        true
    }

    /// Why the session is over, once it is.
    pub(super) fn closed(&self) -> Option<CloseReason> {
        self.state().closed.clone()
    }

    /// How many calls wait.
    pub(super) fn len(&self) -> usize {
        self.state().waiters.len()
    }

    /// The lock is held for a look at a map, never across an await or a callback that could panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
