//! What a way to reach a server must offer: a bounded queue out, a source of JSON texts in.

use std::future::Future;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A way to reach one server, not yet in use.
pub trait Transport: Send + 'static {
    /// Where messages come from.
    type Source: MessageSource;

    /// Starts to move messages, none of which may be longer than `max_message_bytes`.
    fn connect(self, max_message_bytes: usize) -> Connection<Self::Source>;
}

/// The two directions of a transport in use.
#[derive(Debug)]
pub struct Connection<S> {
    /// Takes one JSON text per message. Bounded: a server that does not read makes its callers wait.
    pub outgoing: mpsc::Sender<Bytes>,
    /// Gives what the server wrote.
    pub incoming: S,
    /// Fires when the session is over: the transport then lets go of its ends.
    pub release: CancellationToken,
}

/// The messages of a server, in the order in which it wrote them.
pub trait MessageSource: Send + 'static {
    /// The next text, or nothing when the server has ended. A text need not be JSON. Safe to drop while it waits.
    fn receive(&mut self) -> impl Future<Output = Result<Option<Bytes>, TransportError>> + Send;
}

/// Why no further message can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The server wrote a message over the cap.
    #[error("a message is longer than {limit} bytes")]
    TooLong {
        /// The cap in bytes.
        limit: usize,
    },
    /// The server wrote a message that nests deeper than any that is meant.
    #[error("a message nests deeper than {limit} levels")]
    TooDeep {
        /// The cap in levels.
        limit: usize,
    },
    /// Reading failed.
    #[error("reading failed: {0}")]
    Read(String),
}
