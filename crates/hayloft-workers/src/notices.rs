//! What the observer is told of one instance, in the order in which it happened.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use hayloft_model::{InstanceKey, ServerId, WorkerId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::{McpTransport, Observer, StateChange, WorkerStatus};

/// Takes notices of one instance, and owns the task that passes them on.
#[derive(Debug)]
pub(crate) struct Notices {
    inlet: Inlet,
    task: JoinHandle<()>,
}

/// Takes notices of one instance. Clones take them for the same one.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    queue: mpsc::UnboundedSender<Notice>,
}

#[derive(Debug)]
enum Notice {
    Changed(Box<WorkerStatus>, StateChange),
    Held(Box<WorkerStatus>, StateChange, String, oneshot::Sender<()>),
    Open(WorkerId, ServerId, McpTransport, oneshot::Sender<Result<(), String>>),
    Close(WorkerId, ServerId),
    Outgrown(WorkerId, String),
    Gone(WorkerId),
    Told(oneshot::Sender<()>),
}

impl Notices {
    /// Starts the task that tells the observer; it ends with the last inlet. It begins when an earlier one for the same
    /// instance has told everything, so that the order stays.
    pub(crate) fn start(
        key: InstanceKey,
        observer: Arc<dyn Observer>,
        earlier: Option<JoinHandle<()>>,
    ) -> Self {
        let (queue, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            if let Some(earlier) = earlier
                && let Err(error) = earlier.await
            {
                tracing::error!(instance = %key, %error, "failed to tell all that happened to an instance");
            }
            tell(key, observer, inbox).await;
        });
        Self { inlet: Inlet { queue }, task }
    }

    pub(crate) fn inlet(&self) -> Inlet {
        self.inlet.clone()
    }

    /// Takes nothing more; the task ends when everything is told.
    pub(crate) fn end(self) -> JoinHandle<()> {
        self.task
    }
}

impl Deref for Notices {
    type Target = Inlet;

    fn deref(&self) -> &Inlet {
        &self.inlet
    }
}

impl Inlet {
    pub(crate) fn changed(&self, status: WorkerStatus, change: StateChange) {
        self.put(Notice::Changed(Box::new(status), change));
    }

    /// Gives the receiver of what the observer answers. It is dropped unanswered when the server closes first.
    pub(crate) fn open(
        &self,
        worker: WorkerId,
        server: ServerId,
        transport: McpTransport,
    ) -> oneshot::Receiver<Result<(), String>> {
        let (reply, answer) = oneshot::channel();
        self.put(Notice::Open(worker, server, transport, reply));
        answer
    }

    /// The instance is held back from now on. Answers when the observer has seen to it that this lasts, and was told.
    pub(crate) fn held(
        &self,
        status: WorkerStatus,
        change: StateChange,
        reason: String,
    ) -> oneshot::Receiver<()> {
        let (reply, answer) = oneshot::channel();
        self.put(Notice::Held(Box::new(status), change, reason, reply));
        answer
    }

    pub(crate) fn close(&self, worker: WorkerId, server: ServerId) {
        self.put(Notice::Close(worker, server));
    }

    pub(crate) fn outgrown(&self, worker: WorkerId, reason: String) {
        self.put(Notice::Outgrown(worker, reason));
    }

    pub(crate) fn gone(&self, worker: WorkerId) {
        self.put(Notice::Gone(worker));
    }

    /// Answers when everything before this was told.
    pub(crate) fn told(&self, reply: oneshot::Sender<()>) {
        self.put(Notice::Told(reply));
    }

    fn put(&self, notice: Notice) {
        // The task ends only when no clone is left, or with the whole program.
        let _ = self.queue.send(notice);
    }
}

async fn tell(key: InstanceKey, observer: Arc<dyn Observer>, mut inbox: mpsc::UnboundedReceiver<Notice>) {
    let mut opening: HashMap<(WorkerId, ServerId), JoinHandle<()>> = HashMap::new();
    while let Some(notice) = inbox.recv().await {
        opening.retain(|_, task| !task.is_finished());
        match notice {
            Notice::Changed(status, change) => observer.state_changed(&key, &status, change),
            Notice::Held(status, change, reason, reply) => {
                observer.hold_back(&key, &status, &reason).await;
                observer.state_changed(&key, &status, change);
                // Without a dispatcher nobody waits to be told.
                let _ = reply.send(());
            }
            Notice::Open(worker, server, transport, reply) => {
                let (key, observer, opened) = (key.clone(), Arc::clone(&observer), server.clone());
                let task = tokio::spawn(async move {
                    let answer = observer.open_mcp(&key, worker, opened, transport).await;
                    let _ = reply.send(answer);
                });
                opening.insert((worker, server), task);
            }
            Notice::Close(worker, server) => {
                // What is still being opened must not turn up after it was closed.
                if let Some(task) = opening.remove(&(worker, server.clone())) {
                    task.abort();
                    let _ = task.await;
                }
                observer.close_mcp(&key, worker, &server);
            }
            Notice::Outgrown(worker, reason) => observer.outgrown(&key, worker, &reason),
            Notice::Gone(worker) => observer.worker_gone(&key, worker),
            Notice::Told(reply) => drop(reply.send(())),
        }
    }
}
