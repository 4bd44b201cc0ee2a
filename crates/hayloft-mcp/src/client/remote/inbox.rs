//! Where all that comes from a server over a network meets, on its way to the session.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::client::transport::{MessageSource, Received, TransportError};

/// What waits to be read by the session.
const QUEUE: usize = 64;

/// Texts up to this size are held as they come.
pub(super) const SMALL: usize = 64 * 1024;

/// How many larger ones are held at once; the rest waits in the network. A server can answer as many calls at once as
/// it is asked, so without this it could have the host hold as many messages of the largest size.
const LARGE_AT_ONCE: usize = 4;

/// What the session reads.
#[derive(Debug)]
pub struct Inbox(mpsc::Receiver<Item>);

/// Where a transport puts what it read. Clones put into the same inbox.
#[derive(Clone, Debug)]
pub(super) struct Inlet {
    items: mpsc::Sender<Item>,
    large: Arc<Semaphore>,
}

/// A text of the server, with the right to hold it if it is large.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) bytes: Bytes,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Item {
    what: Result<Option<Received>, TransportError>,
    room: Option<OwnedSemaphorePermit>,
}

/// An inbox and where to put things into it.
pub(super) fn inbox() -> (Inlet, Inbox) {
    let (items, receiver) = mpsc::channel(QUEUE);
    (Inlet { items, large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }, Inbox(receiver))
}

impl Inlet {
    /// Waits for the right to hold one large text.
    pub(super) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.large).acquire_owned().await.ok()
    }

    /// Hands on a message.
    pub(super) async fn message(&self, Text { bytes, room }: Text) {
        self.put(Ok(Some(Received::Message(bytes))), room).await;
    }

    /// Counts something that was read for nothing.
    pub(super) async fn chatter(&self) {
        self.put(Ok(Some(Received::Chatter)), None).await;
    }

    /// Says that no answer will come to a request.
    pub(super) async fn no_answer(&self, id: u64, error: TransportError) {
        self.put(Ok(Some(Received::NoAnswer { id, error })), None).await;
    }

    /// Says that the session is another one than before.
    pub(super) async fn renewed(&self) {
        self.put(Ok(Some(Received::Renewed)), None).await;
    }

    /// Says that nothing more will come.
    pub(super) async fn ended(&self) {
        self.put(Ok(None), None).await;
    }

    /// Says that nothing more can come.
    pub(super) async fn broke(&self, error: TransportError) {
        self.put(Err(error), None).await;
    }

    /// Waits until nobody reads any more.
    pub(super) async fn unread(&self) {
        self.items.closed().await;
    }

    async fn put(&self, what: Result<Option<Received>, TransportError>, room: Option<OwnedSemaphorePermit>) {
        // A session that is over reads nothing, and nobody misses it.
        drop(self.items.send(Item { what, room }).await);
    }
}

impl MessageSource for Inbox {
    async fn receive(&mut self) -> Result<Option<Received>, TransportError> {
        match self.0.recv().await {
            Some(Item { what, room }) => {
                drop(room);
                what
            }
            None => Ok(None),
        }
    }
}
