//! A worker that serves, as its users hold it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hayloft_model::config::{ConfigValues, Credentials};
use hayloft_model::{InstanceKey, Revision, ServerId, WorkerId};
use http_body::Body;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::activity::Activity;
use crate::events::Facts;
use crate::http::RouteClient;
use crate::protocol::{ProcedureAnswer, ProcedureCall};
use crate::{ActivityGuard, HookError, MAXIMAL_PAYLOAD, ProxyError, ResponseBody, ServerHealth};

/// The longest input of a procedure in bytes: what fits into a frame with everything beside it.
pub const LONGEST_INPUT: usize = MAXIMAL_PAYLOAD - (64 << 10);

/// A bound worker. Cheap to clone; holding one does not keep the process alive.
#[derive(Clone)]
pub struct Worker {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) key: InstanceKey,
    pub(crate) id: WorkerId,
    pub(crate) revision: Revision,
    pub(crate) activity: Arc<Activity>,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) routes: RouteClient,
    pub(crate) facts: watch::Receiver<Facts>,
}

/// A hook to run, and who waits for it.
pub(crate) struct Request {
    pub(crate) call: HookCall,
    pub(crate) reply: oneshot::Sender<Result<Value, HookError>>,
}

/// A hook of the organization, or a job.
#[derive(Clone, Debug)]
pub enum HookCall {
    /// `onValidateAuth`, with other values than the bound ones if given.
    ValidateAuth {
        /// The configuration to validate.
        config: Option<ConfigValues>,
        /// The credentials to validate.
        credentials: Option<Credentials>,
    },
    /// `onConfigUpdate`
    ConfigUpdate,
    /// `onDisable`
    Disable,
    /// `onEnable`
    Enable,
    /// `onConnected`
    Connected,
    /// A scheduled job, by its name.
    Cron(String),
    /// A procedure of the plugin's own router.
    Procedure(Box<ProcedureCall>),
}

impl HookCall {
    /// The name that authors write.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::ValidateAuth { .. } => "onValidateAuth",
            Self::ConfigUpdate => "onConfigUpdate",
            Self::Disable => "onDisable",
            Self::Enable => "onEnable",
            Self::Connected => "onConnected",
            Self::Cron(name) => name,
            Self::Procedure(call) => &call.path,
        }
    }
}

impl Worker {
    /// Whose it is.
    #[must_use]
    pub fn key(&self) -> &InstanceKey {
        &self.inner.key
    }

    /// Which process.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.inner.id
    }

    /// Which configuration it has.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.inner.revision
    }

    /// Whether the process still takes calls.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.inner.activity.is_open()
    }

    /// Counts a call in flight until the guard is dropped: a worker with one is never stopped for idleness, and a
    /// drain waits for it.
    #[must_use]
    pub fn activity(&self) -> ActivityGuard {
        ActivityGuard::new(&self.inner.activity)
    }

    /// How a server is that is kept up beside the worker; `None` for one that is not. While it is being started, that
    /// is waited for.
    pub async fn kept_server(&self, server: &ServerId) -> Option<ServerHealth> {
        let mut facts = self.inner.facts.clone();
        let settled = facts.wait_for(|facts| facts.kept.get(server) != Some(&ServerHealth::Starting)).await;
        // The facts end with the worker, and then nothing is kept up any more.
        settled.ok()?.kept.get(server).cloned()
    }

    /// Waits until a server that is kept up is no longer as it was.
    pub async fn kept_server_changed(&self, server: &ServerId, was: &ServerHealth) {
        let mut facts = self.inner.facts.clone();
        // The facts end with the worker, and that is a change as well.
        let _ = facts.wait_for(|facts| facts.kept.get(server) != Some(was)).await;
    }

    /// How all servers are that are kept up beside the worker.
    #[must_use]
    pub fn kept_servers(&self) -> BTreeMap<ServerId, ServerHealth> {
        self.inner.facts.borrow().kept.clone()
    }

    /// Runs a hook or a job. What it returns is the hook's value on the wire.
    ///
    /// # Errors
    /// When it fails, takes too long, or the worker ends.
    pub async fn call_hook(&self, call: HookCall) -> Result<Value, HookError> {
        let _busy = match call {
            HookCall::Cron(_) | HookCall::Procedure(_) => self.activity(),
            _ => ActivityGuard::of_hook(&self.inner.activity),
        };
        let gone = || HookError::WorkerGone { reason: self.inner.facts.borrow().ending() };
        let (reply, answer) = oneshot::channel();
        self.inner.requests.send(Request { call, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Calls a procedure of the plugin's own router. Its input has at most [`crate::LONGEST_INPUT`] bytes.
    ///
    /// # Errors
    /// When the input is too long, it takes too long, the worker ends, or its answer makes no sense. What the procedure
    /// itself says, an error included, is the answer.
    pub async fn call_procedure(&self, call: ProcedureCall) -> Result<ProcedureAnswer, HookError> {
        let length = call.input.as_ref().map_or(0, |input| input.get().len());
        if length > LONGEST_INPUT {
            return Err(HookError::TooLong { what: format!("the input of `{}`", call.path), length });
        }
        let hook = call.path.clone();
        let answer = self.call_hook(HookCall::Procedure(Box::new(call))).await?;
        serde_json::from_value(answer)
            .map_err(|error| HookError::Unreadable { hook, message: error.to_string() })
    }

    /// Sends a request to one of the plugin's routes; its target is the path and query as the plugin shall see them.
    /// Both bodies are streamed. Headers that belong to one connection (RFC 9110 section 7.6.1) are left out in both
    /// directions.
    ///
    /// # Errors
    /// When no usable head of an answer comes in time. What goes wrong later is an error of the body.
    pub async fn proxy<B>(
        &self,
        request: ::http::Request<B>,
    ) -> Result<::http::Response<ResponseBody>, ProxyError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.inner.routes.send(request, self.activity()).await
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("key", &self.inner.key)
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}
