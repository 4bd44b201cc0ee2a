//! One session of one client: the calls that run in it and its stream for notifications. It knows no other session.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hayloft_model::Entropy;
use tokio_util::sync::CancellationToken;

use crate::ids::RequestId;
use crate::revision::Revision;
use crate::service::Principal;

/// 128 random bits; on the wire 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId(u128);

impl SessionId {
    pub(super) fn draw(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(u128::from_be_bytes(bytes))
    }

    /// Reads the one spelling that is given out.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        digits.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One session of one client.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) revision: Revision,
    pub(super) principal: Principal,
    /// On the clock of whoever keeps the sessions, in milliseconds.
    used_at: AtomicU64,
    activity: Mutex<Activity>,
}

/// What goes on in a session.
#[derive(Default)]
struct Activity {
    calls: HashMap<RequestId, CancellationToken>,
    /// The stream for notifications, if one is open; cancelling it ends it.
    stream: Option<CancellationToken>,
    streams_opened: u64,
    ended: bool,
}

/// Why a call cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallRefused {
    #[error("a request with this id is still running in this session")]
    IdInUse,
    #[error("too many requests are running in this session")]
    TooMany,
    #[error("the session has ended")]
    Ended,
}

impl Session {
    pub(super) fn new(id: SessionId, principal: Principal, revision: Revision, now: u64) -> Self {
        Self { id, revision, principal, used_at: AtomicU64::new(now), activity: Mutex::default() }
    }

    /// Notes that the client was heard of.
    pub(super) fn used(&self, now: u64) {
        self.used_at.store(now, Ordering::Relaxed);
    }

    pub(super) fn used_at(&self) -> u64 {
        self.used_at.load(Ordering::Relaxed)
    }

    /// Whether nothing was heard of the client, and nothing runs for it, for longer than that.
    pub(super) fn is_expired(&self, now: u64, idle: u64) -> bool {
        now.saturating_sub(self.used_at()) > idle && !self.is_busy()
    }

    /// Notes that a call runs under a client's id, until the guard is dropped.
    pub(super) fn start_call(
        self: &Arc<Self>,
        id: RequestId,
        most: usize,
    ) -> Result<RunningCall, CallRefused> {
        let cancelled = CancellationToken::new();
        let mut activity = self.activity();
        if activity.ended {
            return Err(CallRefused::Ended);
        }
        if activity.calls.len() >= most {
            return Err(CallRefused::TooMany);
        }
        if activity.calls.contains_key(&id) {
            return Err(CallRefused::IdInUse);
        }
        activity.calls.insert(id.clone(), cancelled.clone());
        drop(activity);
        Ok(RunningCall { session: Arc::clone(self), id, cancelled })
    }

    /// Cancels a running call. An id that is not running is nothing to complain about: the answer may be on its way.
    pub(super) fn cancel_call(&self, id: &RequestId) {
        if let Some(cancelled) = self.activity().calls.get(id) {
            cancelled.cancel();
        }
    }

    /// Opens the stream for notifications in place of the one that may be open: a client that comes back after its
    /// network broke must not find itself shut out by its own dead connection.
    pub(super) fn open_stream(self: &Arc<Self>) -> OpenStream {
        let over = CancellationToken::new();
        let mut activity = self.activity();
        activity.streams_opened += 1;
        let number = activity.streams_opened;
        let before = activity.stream.replace(over.clone());
        let ended = activity.ended;
        drop(activity);
        if let Some(before) = before {
            before.cancel();
        }
        if ended {
            over.cancel();
        }
        OpenStream { session: Arc::clone(self), number, over }
    }

    pub(super) fn is_busy(&self) -> bool {
        let activity = self.activity();
        !activity.calls.is_empty() || activity.stream.is_some()
    }

    /// Cancels what runs, and lets nothing new begin.
    pub(super) fn end(&self) {
        let (calls, stream) = {
            let mut activity = self.activity();
            activity.ended = true;
            (std::mem::take(&mut activity.calls), activity.stream.take())
        };
        for cancelled in calls.into_values().chain(stream) {
            cancelled.cancel();
        }
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that runs in a session.
pub(super) struct RunningCall {
    session: Arc<Session>,
    id: RequestId,
    pub(super) cancelled: CancellationToken,
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.session.activity().calls.remove(&self.id);
    }
}

/// The open stream of a session.
pub(super) struct OpenStream {
    session: Arc<Session>,
    number: u64,
    /// Fires when the stream must end.
    pub(super) over: CancellationToken,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut activity = self.session.activity();
        if activity.streams_opened == self.number {
            activity.stream = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = SessionId(0xabc);
        assert_eq!(id.to_string(), "00000000000000000000000000000abc");
        assert!(SessionId::parse(&id.to_string()) == Some(id));
        for text in ["", "abc", "00000000000000000000000000000ABC", "+0000000000000000000000000000abc"] {
            assert!(SessionId::parse(text).is_none(), "{text}");
        }
    }
}
