//! What a way to reach a server must offer: a bounded queue out, a source of JSON texts in.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::service::BreakReason;

/// A way to reach one server, not yet in use.
pub trait Transport: Send + 'static {
    /// Where messages come from.
    type Source: MessageSource;

    /// Starts to move messages.
    fn connect(self, limits: TransportLimits) -> Connection<Self::Source>;
}

/// What a transport has to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportLimits {
    /// The longest message in either direction, in bytes.
    pub message_bytes: usize,
    /// How many calls may wait for their answers at once.
    pub waiting: usize,
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
    /// What comes next, or nothing when the server has ended. Safe to drop while it waits.
    fn receive(&mut self) -> impl Future<Output = Result<Option<Received>, TransportError>> + Send;
}

/// What comes from a server, or of the way to it.
#[derive(Debug)]
pub enum Received {
    /// A message. The text need not be JSON.
    Message(Bytes),
    /// Something that is no message and had to be read all the same, such as a comment in a stream of events.
    Chatter,
    /// No answer will come to the request of this id, should it not have come already.
    NoAnswer {
        /// The id that the request was sent with.
        id: u64,
        /// Why not.
        error: TransportError,
    },
    /// The server had lost the session and the transport has opened another: what was learned of it may be outdated.
    Renewed,
}

/// Why no further message can be read, or why a request has no answer.
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
    /// No connection could be made.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// A connection broke while the answer was awaited, so nobody can say whether the request was acted upon.
    #[error("the connection broke before the answer was there: {0}")]
    Broken(String),
    /// The server says nothing any more.
    #[error("the server has been silent for {0:?}")]
    Silent(Duration),
    /// The server did not take a message or answer a request of the transport's own in time.
    #[error("the server did not respond within {0:?}")]
    Slow(Duration),
    /// The server refused the credentials, or wants some.
    #[error("the server refused the credentials (HTTP {status}){}", said(.message))]
    Credentials {
        /// 401 or 403.
        status: u16,
        /// What the server said to it; may be empty.
        message: String,
    },
    /// There are no credentials to send.
    #[error("no credentials could be had for the server: {0}")]
    NoCredentials(String),
    /// The server points elsewhere, which is not followed: it would send credentials where nobody meant them to go.
    #[error("the server redirects to {to}, which is not followed (HTTP {status})")]
    Redirected {
        /// A status of 300 to 399.
        status: u16,
        /// The origin that it points to, or what else it says.
        to: String,
    },
    /// The server refused a request.
    #[error("the server answered with HTTP {status}{}", said(.message))]
    Status {
        /// The status of its answer.
        status: u16,
        /// What the server said to it; may be empty.
        message: String,
        /// When to try again, if the server told.
        retry_after: Option<Duration>,
    },
    /// The server answered with something that is no message.
    #[error("the server answered with {found} where {expected} belongs")]
    ContentType {
        /// What came.
        found: String,
        /// What should have come.
        expected: &'static str,
    },
    /// The server ended its answer without one.
    #[error("the server ended its response without the answer")]
    NoAnswer,
    /// The server does not know the session that it gave, not even one that it has just given.
    #[error("the server lost the session")]
    SessionLost,
    /// The server does not keep to the transport's rules.
    #[error("the server does not keep to the protocol: {0}")]
    Protocol(String),
}

impl TransportError {
    /// In which way a plugin broke whose server this happened to.
    pub(super) const fn break_reason(&self) -> BreakReason {
        match self {
            Self::TooLong { .. } => BreakReason::TooLarge,
            Self::Read(_) | Self::Broken(_) | Self::Silent(_) => BreakReason::Crashed,
            Self::Slow(_) => BreakReason::Timeout,
            Self::Unreachable(_) | Self::Credentials { .. } | Self::NoCredentials(_) | Self::SessionLost => {
                BreakReason::Unavailable
            }
            Self::Status { status: 429 | 503, .. } => BreakReason::Overloaded,
            Self::TooDeep { .. }
            | Self::Status { .. }
            | Self::Redirected { .. }
            | Self::ContentType { .. }
            | Self::NoAnswer
            | Self::Protocol(_) => BreakReason::Failed,
        }
    }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
