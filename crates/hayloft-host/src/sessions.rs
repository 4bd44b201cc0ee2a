//! The MCP sessions with the servers of running workers, where a call finds them without asking anybody.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use hayloft_mcp::Upstream;
use hayloft_mcp::client::ToolListing;
use hayloft_model::{ServerId, WorkerId};

/// An MCP server of a running worker.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) upstream: Upstream,
    /// What it listed last.
    pub(crate) listing: ToolListing,
}

/// The servers of one worker.
#[derive(Default)]
struct Servers {
    open: BTreeMap<ServerId, Session>,
    /// Servers that were there and ended, although their worker goes on.
    lost: HashSet<ServerId>,
}

/// All sessions, by worker.
#[derive(Default)]
pub(crate) struct Sessions {
    workers: RwLock<HashMap<WorkerId, Servers>>,
}

impl Sessions {
    /// The session with a server, if it is there and still open.
    pub(crate) fn upstream(&self, worker: WorkerId, server: &ServerId) -> Option<Upstream> {
        let upstream =
            self.read(worker, |servers| Some(servers.open.get(server)?.upstream.clone())).flatten()?;
        upstream.close_reason().is_none().then_some(upstream)
    }

    /// All servers of a worker.
    pub(crate) fn of(&self, worker: WorkerId) -> BTreeMap<ServerId, Session> {
        self.read(worker, |servers| servers.open.clone()).unwrap_or_default()
    }

    /// Whether the worker had this server and lost it.
    pub(crate) fn has_lost(&self, worker: WorkerId, server: &ServerId) -> bool {
        let closed = |session: &Session| session.upstream.close_reason().is_some();
        let lost =
            |servers: &Servers| servers.lost.contains(server) || servers.open.get(server).is_some_and(closed);
        self.read(worker, lost).unwrap_or(false)
    }

    /// A server answers.
    pub(crate) fn open(&self, worker: WorkerId, server: ServerId, session: Session) {
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        let servers = workers.entry(worker).or_default();
        servers.lost.remove(&server);
        servers.open.insert(server, session);
    }

    /// A server listed its tools anew.
    pub(crate) fn relist(&self, worker: WorkerId, server: &ServerId, listing: ToolListing) {
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = workers.get_mut(&worker).and_then(|servers| servers.open.get_mut(server)) {
            session.listing = listing;
        }
    }

    /// A server is no more. Gives whether it was there; while its worker goes on, that is remembered.
    pub(crate) fn close(&self, worker: WorkerId, server: &ServerId) -> bool {
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        let Some(servers) = workers.get_mut(&worker) else { return false };
        let was_open = servers.open.remove(server).is_some();
        if was_open {
            servers.lost.insert(server.clone());
        }
        was_open
    }

    /// A worker is no more, and with it everything that it had.
    pub(crate) fn forget(&self, worker: WorkerId) {
        self.workers.write().unwrap_or_else(PoisonError::into_inner).remove(&worker);
    }

    fn read<T>(&self, worker: WorkerId, look: impl FnOnce(&Servers) -> T) -> Option<T> {
        self.workers.read().unwrap_or_else(PoisonError::into_inner).get(&worker).map(look)
    }
}
