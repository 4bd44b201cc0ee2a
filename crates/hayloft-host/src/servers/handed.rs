//! The servers that the code of running workers handed over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use hayloft_model::plugin::{DeclaredTool, McpTransport, ServerAuth};
use hayloft_model::{Secret, ServerId, WorkerId};

/// A server elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteServer {
    /// Its address.
    pub(crate) url: String,
    /// What it may speak, in the order in which that is tried.
    pub(crate) transports: Vec<McpTransport>,
    /// Headers of each request.
    pub(crate) headers: Vec<(String, Secret<String>)>,
    /// What the host adds to them.
    pub(crate) auth: ServerAuth,
}

/// A server that a worker handed over.
#[derive(Clone, Debug)]
pub(crate) struct HandedServer {
    /// Where it is, if it is elsewhere.
    pub(crate) remote: Option<RemoteServer>,
    /// What it says that it will have.
    pub(crate) tools: Vec<DeclaredTool>,
}

/// How many servers one worker may hand over.
pub(super) const MOST_SERVERS: usize = 64;

/// How often one worker may hand a server over, the same one again included. Each time is a write.
pub(super) const MOST_CHANGES: u32 = 200;

/// All of them, by worker. A worker that starts hands its servers over anew; what is elsewhere is remembered by
/// [`super::remote`].
#[derive(Default)]
pub(crate) struct HandedServers {
    workers: RwLock<HashMap<WorkerId, Servers>>,
}

#[derive(Default)]
struct Servers {
    known: BTreeMap<ServerId, HandedServer>,
    changes: u32,
}

impl HandedServers {
    /// Notes a server, in place of an earlier one of the same id. Gives whether the worker may.
    pub(super) fn put(&self, worker: WorkerId, server: ServerId, handed: HandedServer) -> bool {
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        let servers = workers.entry(worker).or_default();
        let is_new = !servers.known.contains_key(&server);
        if servers.changes >= MOST_CHANGES || is_new && servers.known.len() >= MOST_SERVERS {
            return false;
        }
        servers.changes += 1;
        servers.known.insert(server, handed);
        true
    }

    /// A server was not taken after all.
    pub(crate) fn take_back(&self, worker: WorkerId, server: &ServerId) {
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(servers) = workers.get_mut(&worker) {
            servers.known.remove(server);
        }
    }

    pub(crate) fn get(&self, worker: WorkerId, server: &ServerId) -> Option<HandedServer> {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        workers.get(&worker)?.known.get(server).cloned()
    }

    pub(crate) fn of(&self, worker: WorkerId) -> BTreeSet<ServerId> {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        workers.get(&worker).map(|servers| servers.known.keys().cloned().collect()).unwrap_or_default()
    }

    /// Those that are elsewhere.
    pub(crate) fn remotes_of(&self, worker: WorkerId) -> BTreeMap<ServerId, RemoteServer> {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let Some(servers) = workers.get(&worker) else { return BTreeMap::new() };
        let remotes =
            servers.known.iter().filter_map(|(id, server)| Some((id.clone(), server.remote.clone()?)));
        remotes.collect()
    }

    /// A worker is no more.
    pub(crate) fn forget(&self, worker: WorkerId) {
        self.workers.write().unwrap_or_else(PoisonError::into_inner).remove(&worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_cannot_hand_over_without_end() {
        let handed = HandedServers::default();
        let worker = |number: u128| format!("wrk_{number:032x}").parse().unwrap();
        let put = |number, id: usize| {
            let server = HandedServer { remote: None, tools: Vec::new() };
            handed.put(worker(number), format!("s{id}").parse().unwrap(), server)
        };
        assert!((0..MOST_SERVERS).all(|id| put(1, id)));
        assert!(!put(1, MOST_SERVERS), "one more");
        assert!(put(1, 0), "the same again");
        assert!(put(2, 0), "another worker");
        let again = (0..).take_while(|_| put(1, 0)).count();
        assert_eq!(again + MOST_SERVERS + 1, MOST_CHANGES as usize);
        assert!(put(2, 1));
        handed.take_back(worker(2), &"s1".parse().unwrap());
        assert_eq!(handed.of(worker(2)).len(), 1);
        handed.forget(worker(1));
        assert!(handed.of(worker(1)).is_empty() && put(1, 0));
    }
}
