//! The port through which workers tell the host what happens.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use hayloft_model::config::Credentials;
use hayloft_model::{InstanceKey, ServerId, WorkerId, plugin};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::protocol::{CapabilityUse, KvOperation, RegisterServer};
use crate::{GateCaller, JailConnector, NetworkRefusal, Refusal, StartFailure, WorkerStatus};

/// Is told what happens to workers. All calls for one instance come in the order of events and one after another;
/// they must return quickly, since the next one waits. The futures run beside later calls.
pub trait Observer: Send + Sync + 'static {
    /// The instance's serving worker changed. A worker that a newer one replaced ends without a word here; its servers
    /// are closed, and [`Observer::worker_gone`] follows as for any other.
    fn state_changed(&self, key: &InstanceKey, worker: &WorkerStatus, change: StateChange);

    /// The instance crashed too often and is held back from now on, for a reason that is for people. Until this is over,
    /// nobody is told and nothing of the instance starts: whoever keeps it over the end of the host does so here.
    /// [`StateChange::Crashed`] follows.
    fn hold_back<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: &'a WorkerStatus,
        reason: &'a str,
    ) -> BoxFuture<'a, ()> {
        let _ = (key, worker, reason);
        async {}.boxed()
    }

    /// A worker opened an MCP server. The host connects and initializes; an error goes back to the plugin.
    /// It is dropped unfinished when the server ends meanwhile; [`Observer::close_mcp`] follows in any case.
    fn open_mcp<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: WorkerId,
        server: ServerId,
        transport: McpTransport,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// A server is no more: the plugin closed it, its process ended, its worker did, or it could not be opened.
    fn close_mcp(&self, key: &InstanceKey, worker: WorkerId, server: &ServerId);

    /// A worker of the instance is gone, whatever it was for: one that served, one that was replaced, a candidate, one
    /// that could not even be started. It is said once for each, and it is the last word about it: what is kept for
    /// this id can be forgotten.
    fn worker_gone(&self, key: &InstanceKey, worker: WorkerId) {
        let _ = (key, worker);
    }

    /// The instance's serving worker holds more memory than it shall, for a reason that is for people. It goes on
    /// serving; whoever is told may replace it by a candidate ([`crate::Candidate::relieve`]).
    fn outgrown(&self, key: &InstanceKey, worker: WorkerId, reason: &str) {
        let _ = (key, worker, reason);
    }

    /// A worker was refused a name or a connection. A storm of them is a few calls, with a number.
    fn network_refused(&self, caller: &GateCaller, refusal: &NetworkRefusal) {
        let _ = (caller, refusal);
    }

    /// A scheduled job renewed the organization's credentials. The error goes back to the plugin.
    fn update_auth<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: WorkerId,
        credentials: Credentials,
    ) -> BoxFuture<'a, Result<(), String>> {
        drop((key, worker, credentials));
        async { Err(String::from("this host does not take renewed credentials from a worker")) }.boxed()
    }

    /// A plugin registered something only once it knew its organization. The registration is the worker's own word; it
    /// takes the place of what the worker registered before.
    fn update_registration<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: WorkerId,
        registration: Box<RawValue>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        drop((key, worker, registration));
        async { Err(Refusal::unsupported("takes no registrations for one organization")) }.boxed()
    }

    /// A plugin hands an MCP server to the host for good. Nothing of it was checked but its shape.
    fn register_mcp<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: WorkerId,
        server: RegisterServer,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        drop((key, worker, server));
        async { Err(Refusal::unsupported("keeps no MCP servers for plugins")) }.boxed()
    }

    /// A plugin takes back a server elsewhere that it handed over.
    fn withdraw_mcp<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: WorkerId,
        server: ServerId,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        drop((key, worker, server));
        async { Err(Refusal::unsupported("keeps no MCP servers for plugins")) }.boxed()
    }

    /// An operation on the texts that the host keeps for the organization and the plugin. Only
    /// [`KvOperation::Get`] has an answer: the value, if there is one.
    fn kv<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: WorkerId,
        operation: KvOperation,
    ) -> BoxFuture<'a, Result<Option<String>, Refusal>> {
        drop((key, worker, operation));
        async { Err(Refusal::unsupported("keeps no values for plugins")) }.boxed()
    }

    /// A worker tells how often it used the host's services since its last report. It may lie.
    fn report_use<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: WorkerId,
        uses: Vec<CapabilityUse>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        drop((key, worker, uses));
        async { Err(Refusal::unsupported("takes no reports of use")) }.boxed()
    }
}

/// What happened to an instance.
#[derive(Clone, Debug, PartialEq)]
pub enum StateChange {
    /// A worker is being started for it.
    Starting,
    /// A worker serves.
    Ready,
    /// A worker serves, but `onStart` failed, or one of the servers that are kept up is down.
    Degraded {
        /// What happened, for people.
        error: String,
    },
    /// The worker takes nothing new.
    Draining,
    /// The worker ended as it was told to.
    Stopped,
    /// The worker ended by itself, or had to be killed, or never became ready.
    Crashed {
        /// What happened, for people.
        error: String,
        /// It ended for want of memory.
        out_of_memory: bool,
        /// What kept it from starting, if it never served.
        failure: Option<StartFailure>,
        /// How long calls are refused from now on.
        backoff: Duration,
        /// Why it is held back from now on, if it crashed too often. Nothing but a stop, a candidate that takes over
        /// or forgetting the instance ends that here.
        quarantine: Option<String>,
    },
}

/// How to speak to an MCP server.
pub enum McpTransport {
    /// A process: messages are lines on its standard streams.
    Stdio {
        /// What it reads.
        stdin: Box<dyn AsyncWrite + Send + Unpin>,
        /// What it writes.
        stdout: Box<dyn AsyncRead + Send + Unpin>,
    },
    /// Inside the worker: whole JSON-RPC messages.
    Channel {
        /// Takes messages of at most [`crate::MAXIMAL_PAYLOAD`] bytes less 256 for the envelope; a longer one is
        /// logged and dropped, so check before.
        to_server: mpsc::Sender<Bytes>,
        /// Gives the server's messages and ends with the server.
        from_server: mpsc::Receiver<Bytes>,
    },
    /// A process that listens inside its jail.
    Network {
        /// What it shall speak over its port.
        kind: plugin::McpTransport,
        /// The way there.
        connector: JailConnector,
    },
}

impl fmt::Debug for McpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdio { .. } => "Stdio",
            Self::Channel { .. } => "Channel",
            Self::Network { .. } => "Network",
        })
    }
}
