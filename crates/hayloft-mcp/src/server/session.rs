//! The sessions of clients: a few hundred bytes each, no process and no session with any server behind them.
//!
//! A session answers only to the principal that opened it; to everybody else it does not exist. Their number is capped,
//! and who opens too many loses the ones that were idle longest.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use hayloft_model::Entropy;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ids::RequestId;
use crate::revision::Revision;
use crate::service::Principal;

/// How many sessions there may be and how long they stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionLimits {
    pub(super) total: usize,
    pub(super) per_principal: usize,
    pub(super) idle: Duration,
}

/// 128 random bits; on the wire 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId(u128);

impl SessionId {
    fn draw(entropy: &dyn Entropy) -> Self {
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
    principal: Principal,
    /// Milliseconds since the registry was made.
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

    fn is_busy(&self) -> bool {
        let activity = self.activity();
        !activity.calls.is_empty() || activity.stream.is_some()
    }

    fn end(&self) {
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

/// All sessions of an endpoint.
pub(super) struct Sessions {
    entropy: Arc<dyn Entropy>,
    limits: SessionLimits,
    made_at: Instant,
    registry: RwLock<Registry>,
}

#[derive(Default)]
struct Registry {
    by_id: HashMap<SessionId, Arc<Session>>,
    by_principal: HashMap<Principal, Vec<SessionId>>,
    swept_at: u64,
    closed: bool,
}

/// No session can be opened: every one that could make room is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many sessions are in use")]
pub(super) struct SessionsFull;

impl Sessions {
    pub(super) fn new(entropy: Arc<dyn Entropy>, limits: SessionLimits) -> Self {
        Self { entropy, limits, made_at: Instant::now(), registry: RwLock::default() }
    }

    /// Opens a session, at the cost of idle ones where there are too many.
    pub(super) fn open(
        &self,
        principal: Principal,
        revision: Revision,
    ) -> Result<Arc<Session>, SessionsFull> {
        let id = SessionId::draw(&*self.entropy);
        let now = self.now();
        let session = Arc::new(Session {
            id,
            revision,
            principal: principal.clone(),
            used_at: AtomicU64::new(now),
            activity: Mutex::default(),
        });
        let mut registry = self.write();
        if registry.closed {
            return Err(SessionsFull);
        }
        let between_sweeps = self.idle_millis() / 4;
        if now.saturating_sub(registry.swept_at) > between_sweeps {
            registry.sweep(now, self.idle_millis());
        }
        let own = registry.by_principal.get(&principal).map_or(0, Vec::len);
        if own >= self.limits.per_principal {
            registry.evict_oldest_of(&principal).ok_or(SessionsFull)?;
        }
        if registry.by_id.len() >= self.limits.total
            && registry.evict_oldest_of(&principal).is_none()
            && registry.evict_oldest() == 0
        {
            return Err(SessionsFull);
        }
        registry.by_principal.entry(principal).or_default().push(id);
        registry.by_id.insert(id, Arc::clone(&session));
        Ok(session)
    }

    /// The session of an id, if it is this principal's and has not been idle too long.
    pub(super) fn find(&self, id: SessionId, principal: &Principal) -> Option<Arc<Session>> {
        let now = self.now();
        let session =
            self.read().by_id.get(&id).filter(|session| session.principal == *principal).cloned()?;
        if session.is_expired(now, self.idle_millis()) {
            self.end(id, principal);
            return None;
        }
        session.used_at.store(now, Ordering::Relaxed);
        Some(session)
    }

    /// Ends a session. False when this principal has none of this id.
    pub(super) fn end(&self, id: SessionId, principal: &Principal) -> bool {
        let mut registry = self.write();
        if registry.by_id.get(&id).is_none_or(|session| session.principal != *principal) {
            return false;
        }
        registry.remove(id);
        true
    }

    /// Ends all sessions of a principal.
    pub(super) fn end_all_of(&self, principal: &Principal) {
        let mut registry = self.write();
        for id in registry.by_principal.get(principal).cloned().unwrap_or_default() {
            registry.remove(id);
        }
    }

    /// Ends all sessions and lets nobody open another.
    pub(super) fn close(&self) {
        let mut registry = self.write();
        registry.closed = true;
        let all: Vec<SessionId> = registry.by_id.keys().copied().collect();
        for id in all {
            registry.remove(id);
        }
    }

    /// Ends the sessions that were idle too long.
    pub(super) fn sweep(&self) {
        let now = self.now();
        self.write().sweep(now, self.idle_millis());
    }

    pub(super) fn len(&self) -> usize {
        self.read().by_id.len()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.made_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn idle_millis(&self) -> u64 {
        u64::try_from(self.limits.idle.as_millis()).unwrap_or(u64::MAX)
    }

    fn read(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_expired(&self, now: u64, idle: u64) -> bool {
        now.saturating_sub(self.used_at.load(Ordering::Relaxed)) > idle && !self.is_busy()
    }
}

impl Registry {
    /// Looking for the oldest of all costs a look at every session, so one look makes room for many.
    const EVICTED_AT_ONCE: usize = 64;

    fn sweep(&mut self, now: u64, idle: u64) {
        self.swept_at = now;
        let expired = |session: &&Arc<Session>| session.is_expired(now, idle);
        let expired: Vec<SessionId> = self.by_id.values().filter(expired).map(|session| session.id).collect();
        for id in expired {
            self.remove(id);
        }
    }

    fn evict_oldest_of(&mut self, principal: &Principal) -> Option<()> {
        let own = self.by_principal.get(principal)?;
        let idle = own.iter().filter_map(|id| self.by_id.get(id)).filter(|session| !session.is_busy());
        let oldest = idle.min_by_key(|session| session.used_at.load(Ordering::Relaxed))?.id;
        self.remove(oldest);
        Some(())
    }

    /// Evicts some of the sessions that were idle longest, whosever they are, and says how many.
    fn evict_oldest(&mut self) -> usize {
        let mut idle: Vec<(u64, SessionId)> = self
            .by_id
            .values()
            .filter(|session| !session.is_busy())
            .map(|session| (session.used_at.load(Ordering::Relaxed), session.id))
            .collect();
        let count = idle.len().min(Self::EVICTED_AT_ONCE).min(self.by_id.len() / 16 + 1);
        if count < idle.len() {
            idle.select_nth_unstable_by_key(count, |(used_at, _)| *used_at);
        }
        for (_, id) in idle.into_iter().take(count) {
            self.remove(id);
        }
        count
    }

    fn remove(&mut self, id: SessionId) {
        let Some(session) = self.by_id.remove(&id) else {
            return;
        };
        if let Some(own) = self.by_principal.get_mut(&session.principal) {
            own.retain(|other| *other != id);
            if own.is_empty() {
                self.by_principal.remove(&session.principal);
            }
        }
        session.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts, so that a test can tell ids apart.
    struct Counting(AtomicU64);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            bytes.iter_mut().rev().zip(next.iter().rev()).for_each(|(to, from)| *to = *from);
        }
    }

    fn sessions(total: usize, per_principal: usize) -> Sessions {
        let limits = SessionLimits { total, per_principal, idle: Duration::from_secs(60) };
        Sessions::new(Arc::new(Counting(AtomicU64::new(1))), limits)
    }

    fn open(sessions: &Sessions, principal: &Principal) -> Result<Arc<Session>, SessionsFull> {
        sessions.open(principal.clone(), Revision::NEWEST)
    }

    fn request(json: &str) -> RequestId {
        RequestId::of_json(json).unwrap()
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = SessionId(0xabc);
        assert_eq!(id.to_string(), "00000000000000000000000000000abc");
        assert!(SessionId::parse(&id.to_string()) == Some(id));
        for text in ["", "abc", "00000000000000000000000000000ABC", "+0000000000000000000000000000abc"] {
            assert!(SessionId::parse(text).is_none(), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_its_principals_alone() {
        let sessions = sessions(10, 10);
        let (mine, other) = (Principal::new("mine"), Principal::new("other"));
        let id = open(&sessions, &mine).unwrap().id;
        assert!(sessions.find(id, &other).is_none());
        assert!(!sessions.end(id, &other));
        assert!(sessions.find(id, &mine).is_some());
        assert!(sessions.end(id, &mine));
        assert!(sessions.find(id, &mine).is_none());
        assert_eq!(sessions.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_sessions_expire_and_busy_ones_do_not() {
        let sessions = sessions(10, 10);
        let me = Principal::new("me");
        let (idle, used, calling, streaming) = (
            open(&sessions, &me).unwrap(),
            open(&sessions, &me).unwrap(),
            open(&sessions, &me).unwrap(),
            open(&sessions, &me).unwrap(),
        );
        let _call = calling.start_call(request("1"), 2).unwrap();
        let _stream = streaming.open_stream();
        tokio::time::advance(Duration::from_secs(40)).await;
        assert!(sessions.find(used.id, &me).is_some());
        tokio::time::advance(Duration::from_secs(40)).await;
        assert!(sessions.find(idle.id, &me).is_none());
        for session in [used, calling, streaming] {
            assert!(sessions.find(session.id, &me).is_some());
        }
        tokio::time::advance(Duration::from_secs(61)).await;
        sessions.sweep();
        assert_eq!(sessions.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_opens_too_many_loses_the_idle_ones() {
        let sessions = sessions(100, 2);
        let (me, other) = (Principal::new("me"), Principal::new("other"));
        let theirs = open(&sessions, &other).unwrap().id;
        let first = open(&sessions, &me).unwrap();
        let running = first.start_call(request("1"), 2).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = open(&sessions, &me).unwrap().id;
        tokio::time::advance(Duration::from_secs(1)).await;
        let third = open(&sessions, &me).unwrap();
        assert!(sessions.find(second, &me).is_none());
        let _running_too = third.start_call(request("1"), 2).unwrap();
        assert_eq!(open(&sessions, &me).err(), Some(SessionsFull));
        drop(running);
        assert!(open(&sessions, &me).is_ok());
        assert!(sessions.find(theirs, &other).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_house_makes_room_with_the_oldest() {
        let sessions = sessions(3, 3);
        let mut ids = Vec::new();
        for name in ["a", "b", "c"] {
            ids.push((Principal::new(name), open(&sessions, &Principal::new(name)).unwrap().id));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(open(&sessions, &Principal::new("d")).is_ok());
        assert_eq!(sessions.len(), 3);
        let alive: Vec<bool> = ids.iter().map(|(who, id)| sessions.find(*id, who).is_some()).collect();
        assert_eq!(alive, [false, true, true]);
        // Who has sessions of their own pays with those first.
        assert!(open(&sessions, &Principal::new("c")).is_ok());
        let alive: Vec<bool> = ids.iter().map(|(who, id)| sessions.find(*id, who).is_some()).collect();
        assert_eq!(alive, [false, true, false]);
    }

    #[tokio::test]
    async fn calls_are_told_apart_by_session_and_id() {
        let sessions = sessions(10, 10);
        let me = Principal::new("me");
        let (a, b) = (open(&sessions, &me).unwrap(), open(&sessions, &me).unwrap());
        let in_a = a.start_call(request("1"), 2).unwrap();
        let in_b = b.start_call(request("1"), 2).unwrap();
        assert_eq!(a.start_call(request("1"), 2).err(), Some(CallRefused::IdInUse));
        let _second = a.start_call(request("\"1\""), 2).unwrap();
        assert_eq!(a.start_call(request("3"), 2).err(), Some(CallRefused::TooMany));
        a.cancel_call(&request("1"));
        assert!(in_a.cancelled.is_cancelled() && !in_b.cancelled.is_cancelled());
        drop(in_a);
        assert!(a.start_call(request("1"), 2).is_ok());
        sessions.end_all_of(&me);
        assert!(in_b.cancelled.is_cancelled());
        assert_eq!(b.start_call(request("2"), 2).err(), Some(CallRefused::Ended));
    }

    #[tokio::test]
    async fn a_new_stream_takes_the_place_of_the_old() {
        let sessions = sessions(10, 10);
        let session = open(&sessions, &Principal::new("me")).unwrap();
        let first = session.open_stream();
        let second = session.open_stream();
        assert!(first.over.is_cancelled() && !second.over.is_cancelled());
        drop(first);
        assert!(session.is_busy());
        sessions.close();
        assert!(second.over.is_cancelled());
        assert_eq!(open(&sessions, &Principal::new("me")).err(), Some(SessionsFull));
        drop(second);
        assert!(!session.is_busy());
    }
}
