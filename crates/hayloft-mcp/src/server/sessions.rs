//! The sessions of clients: a few hundred bytes each, no process and no session with any server behind them.
//!
//! A session answers only to the principal that opened it; to everybody else it does not exist. Their number is capped,
//! and who opens too many loses the ones that were idle longest.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use hayloft_model::Entropy;
use tokio::time::Instant;

use super::session::{Session, SessionId};
use crate::revision::Revision;
use crate::service::Principal;

/// How many sessions there may be and how long they stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionLimits {
    pub(super) total: usize,
    pub(super) per_principal: usize,
    pub(super) idle: Duration,
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
        let session = Arc::new(Session::new(id, principal.clone(), revision, now));
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
        session.used(now);
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
        let oldest = idle.min_by_key(|session| session.used_at())?.id;
        self.remove(oldest);
        Some(())
    }

    /// Evicts some of the sessions that were idle longest, whosever they are, and says how many.
    fn evict_oldest(&mut self) -> usize {
        let mut idle: Vec<(u64, SessionId)> = self
            .by_id
            .values()
            .filter(|session| !session.is_busy())
            .map(|session| (session.used_at(), session.id))
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
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::session::CallRefused;
    use super::*;
    use crate::ids::RequestId;

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
