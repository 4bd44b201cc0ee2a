//! Requests to one server and the answers to them, below what any method means.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ids::CallIds;
use crate::message::{MessageLimits, write};
use crate::progress::ProgressSink;

use super::error::{CallError, CloseReason};
use super::pending::{Pending, Reply};
use super::reader::{self, Counts, Shared};
use super::transport::{Connection, Transport, TransportLimits};
use super::upstream::{CallDeadline, UpstreamOptions};

/// The one request that must not be cancelled, as the protocol says.
pub(super) const INITIALIZE: &str = "initialize";

/// A transport in use, with the task that reads from it. Ends with its last owner.
pub(super) struct Link {
    shared: Arc<Shared>,
    max_waiting: usize,
    release: CancellationToken,
    reader: JoinHandle<()>,
}

/// What to ask; the params are written by the caller.
pub(super) struct Request {
    pub(super) method: &'static str,
    /// About how many bytes the params have.
    pub(super) size: usize,
    pub(super) progress: Option<ProgressSink>,
    pub(super) deadline: CallDeadline,
}

impl Link {
    pub(super) fn new<T: Transport>(transport: T, options: &UpstreamOptions) -> Self {
        let limits =
            TransportLimits { message_bytes: options.max_message_bytes, waiting: options.max_waiting };
        let Connection { outgoing, incoming, release } = transport.connect(limits);
        let shared = Arc::new(Shared {
            outgoing,
            pending: Pending::default(),
            ids: CallIds::new(),
            limits: MessageLimits { bytes: options.max_message_bytes, depth: options.max_depth },
            revision: OnceLock::new(),
            tools_changed: watch::Sender::new(0),
            items_changed: watch::Sender::new(0),
            closed: watch::Sender::new(None),
            observer: Arc::clone(&options.observer),
            counts: Counts::default(),
        });
        let reader = tokio::spawn(reader::read(Arc::clone(&shared), incoming, options.unasked_per_second));
        Self { shared, max_waiting: options.max_waiting, release, reader }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Sends a notification.
    pub(super) async fn tell(&self, notification: Vec<u8>) -> Result<(), CloseReason> {
        self.shared.outgoing.send(notification.into()).await.map_err(|_| self.input_closed())
    }

    /// Sends a request and waits for its answer, its deadline, or its cancellation.
    pub(super) async fn request(
        &self,
        request: Request,
        params: impl FnOnce(u64, &mut Vec<u8>),
        cancelled: &CancellationToken,
    ) -> Reply {
        let shared = &*self.shared;
        let Request { method, size, progress, deadline } = request;
        let id = shared.ids.next();
        let message = Bytes::from(write::request(id, method, |out| params(id, out), size));
        let limit = shared.limits.bytes;
        if message.len() > limit {
            return Err(CallError::TooLarge { size: message.len(), limit });
        }
        let reply = shared.pending.add(id, progress, self.max_waiting)?;
        let cancellable = method != INITIALIZE;
        let mut waiting = Waiting { shared, id, told: cancellable.then_some("the caller is gone") };
        let started = Instant::now();
        let last_moment = started + deadline.total;
        let mut alarm = std::pin::pin!(tokio::time::sleep_until(last_moment.min(started + deadline.quiet)));
        let mut exchange = std::pin::pin!(async {
            if shared.outgoing.send(message).await.is_err() {
                return Err(CallError::Closed(self.input_closed()));
            }
            match reply.await {
                Ok(reply) => reply,
                Err(_) => Err(CallError::Closed(shared.pending.closed().unwrap_or(CloseReason::ByHost))),
            }
        });
        loop {
            tokio::select! {
                biased;
                reply = &mut exchange => return reply,
                () = cancelled.cancelled() => {
                    waiting.told = cancellable.then_some("cancelled");
                    return Err(CallError::Cancelled);
                }
                () = &mut alarm => {
                    let quiet_since = shared.pending.alive_at(id).unwrap_or(started);
                    let next = last_moment.min(quiet_since + deadline.quiet);
                    if next <= Instant::now() {
                        waiting.told = cancellable.then_some("timed out");
                        let whole = next == last_moment && deadline.total > deadline.quiet;
                        return Err(CallError::Timeout(if whole { deadline.total } else { deadline.quiet }));
                    }
                    alarm.as_mut().reset(next);
                }
            }
        }
    }

    /// Ends the session: whoever waits is told, and the transport lets go of its ends.
    pub(super) fn end(&self) {
        self.shared.close(&CloseReason::ByHost);
        self.reader.abort();
        self.release.cancel();
    }

    /// A session to which nothing can be sent is over.
    fn input_closed(&self) -> CloseReason {
        self.shared.close(&CloseReason::InputClosed);
        self.shared.pending.closed().unwrap_or(CloseReason::InputClosed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end();
    }
}

/// A call that waits. When it goes without an answer, the server is told that nobody waits any more.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u64,
    /// The reason to give to the server; nothing for a request that must not be cancelled.
    told: Option<&'static str>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.shared.pending.forget(self.id)
            && let Some(reason) = self.told
        {
            let params = format!(r#"{{"requestId":{},"reason":"{reason}"}}"#, self.id);
            let message = write::notification("notifications/cancelled", Some(&params));
            // A server that reads nothing will not read this either.
            drop(self.shared.outgoing.try_send(message.into()));
        }
    }
}
