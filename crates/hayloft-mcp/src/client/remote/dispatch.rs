//! Sends what the session writes, for the transports that need a request for each message.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::task::JoinMap;

use crate::client::link::INITIALIZE;
use crate::client::transport::{TransportError, TransportLimits};
use crate::message::{self, Message, MessageLimits};

/// Messages without an answer that are under way at once; a server that takes none is sent no more.
const NOTES: usize = 1024;

/// What a message of ours is, as far as its way matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// The request that opens the session.
    Initialize(u64),
    /// The notification that the session is taken up. Nothing may overtake it.
    Initialized,
    /// Any other request.
    Call(u64),
    /// Nobody waits for the answer to this request any more.
    Cancelled(u64),
    /// Any other notification, or an answer to a request of the server.
    Other,
}

impl Outgoing {
    pub(super) fn of(text: &[u8]) -> Self {
        // It was written and measured here.
        let limits = MessageLimits { bytes: usize::MAX, depth: usize::MAX };
        match Message::parse(text, limits) {
            Ok(Message::Request { id, method, .. }) => match id.get().parse() {
                Ok(id) if method == INITIALIZE => Self::Initialize(id),
                Ok(id) => Self::Call(id),
                Err(_) => Self::Other,
            },
            Ok(Message::Notification { method, .. }) if method == "notifications/initialized" => {
                Self::Initialized
            }
            Ok(Message::Notification { method, params: Some(params) })
                if method == "notifications/cancelled" =>
            {
                cancelled_id(params).map_or(Self::Other, Self::Cancelled)
            }
            _ => Self::Other,
        }
    }
}

fn cancelled_id(params: &RawValue) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        request_id: u64,
    }
    message::object(params).ok().map(|params: Params| params.request_id)
}

/// Takes messages to a server.
pub(super) trait Courier: Send + Sync + 'static {
    /// Sends a request and sees to it that the session hears of its answer, or that there is none.
    fn call(&self, request: Outgoing, id: u64, text: Bytes) -> impl Future<Output = ()> + Send;

    /// Sends a message that has no answer.
    fn tell(&self, text: Bytes) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// The server has taken the notification that the session is taken up.
    fn opened(&self);

    /// The session cannot go on.
    fn broke(&self, error: TransportError) -> impl Future<Output = ()> + Send;
}

/// A queue for the messages of a session. Never full before all calls that may wait are in it, each with the message
/// that it is cancelled by, as a lost one would leave its request running.
pub(super) fn queue(limits: TransportLimits) -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
    const MOST: usize = 64 * 1024;
    mpsc::channel(limits.waiting.min(MOST) * 2 + 64)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Task {
    Call(u64),
    Note(u64),
}

/// Sends each message as a task of its own. Dropping the future gives up all that are under way.
pub(super) async fn dispatch<C: Courier>(courier: Arc<C>, mut queue: mpsc::Receiver<Bytes>) {
    let mut tasks: JoinMap<Task, ()> = JoinMap::new();
    let (mut notes, mut last_note) = (0_usize, 0_u64);
    loop {
        let text = tokio::select! {
            Some((task, _)) = tasks.join_next() => {
                if matches!(task, Task::Note(_)) {
                    notes -= 1;
                }
                continue;
            }
            text = queue.recv() => text,
        };
        let Some(text) = text else { return };
        let outgoing = Outgoing::of(&text);
        match outgoing {
            Outgoing::Initialize(id) | Outgoing::Call(id) => {
                let courier = Arc::clone(&courier);
                tasks.spawn(Task::Call(id), async move { courier.call(outgoing, id, text).await });
                continue;
            }
            Outgoing::Initialized => {
                match courier.tell(text).await {
                    Ok(()) => courier.opened(),
                    Err(error) => courier.broke(error).await,
                }
                continue;
            }
            Outgoing::Cancelled(id) => {
                tasks.abort(&Task::Call(id));
            }
            Outgoing::Other => {}
        }
        if notes == NOTES {
            tracing::debug!("a server takes no messages; one was dropped");
            continue;
        }
        notes += 1;
        last_note += 1;
        let courier = Arc::clone(&courier);
        tasks.spawn(Task::Note(last_note), async move {
            if let Err(error) = courier.tell(text).await {
                tracing::debug!(%error, "a server did not take a message");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let cases = [
            (r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#, Outgoing::Initialize(1)),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, Outgoing::Initialized),
            (r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{}}"#, Outgoing::Call(2)),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2,"reason":"x"}}"#,
                Outgoing::Cancelled(2),
            ),
            (r#"{"jsonrpc":"2.0","id":"theirs","result":{}}"#, Outgoing::Other),
        ];
        for (text, expected) in cases {
            assert_eq!(Outgoing::of(text.as_bytes()), expected, "{text}");
        }
    }
}
