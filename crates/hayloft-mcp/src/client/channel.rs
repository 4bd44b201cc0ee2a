//! The channel transport: raw JSON messages over two bounded queues, for servers that live inside a worker.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::transport::{Connection, MessageSource, Received, Transport, TransportError, TransportLimits};

/// The two queues to a server. Closing the incoming one means that the server has ended.
#[derive(Debug)]
pub struct ChannelTransport {
    outgoing: mpsc::Sender<Bytes>,
    incoming: mpsc::Receiver<Bytes>,
}

impl ChannelTransport {
    /// A transport that sends to `outgoing` and reads `incoming`, each item being one JSON message.
    #[must_use]
    pub const fn new(outgoing: mpsc::Sender<Bytes>, incoming: mpsc::Receiver<Bytes>) -> Self {
        Self { outgoing, incoming }
    }
}

impl Transport for ChannelTransport {
    type Source = Frames;

    fn connect(self, limits: TransportLimits) -> Connection<Frames> {
        Connection {
            outgoing: self.outgoing,
            incoming: Frames { incoming: self.incoming, limit: limits.message_bytes },
            // Both queues are dropped with the session, which is all that the other side needs to see.
            release: CancellationToken::new(),
        }
    }
}

/// The messages of an in-process server.
#[derive(Debug)]
pub struct Frames {
    incoming: mpsc::Receiver<Bytes>,
    limit: usize,
}

impl MessageSource for Frames {
    async fn receive(&mut self) -> Result<Option<Received>, TransportError> {
        match self.incoming.recv().await {
            Some(message) if message.len() > self.limit => Err(TransportError::TooLong { limit: self.limit }),
            message => Ok(message.map(Received::Message)),
        }
    }
}
