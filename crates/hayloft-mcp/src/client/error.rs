//! What can go wrong between us and a server.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::message::{self, Text};
use crate::service::{BreakReason, ToolFailure};

use super::transport::TransportError;

/// Why a session with a server is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The server ended, or closed what it writes to.
    #[error("the server ended")]
    Ended,
    /// The server no longer reads.
    #[error("the server closed its input")]
    InputClosed,
    /// The transport broke.
    #[error("the connection to the server broke: {0}")]
    Transport(#[from] TransportError),
    /// We ended it.
    #[error("the session was closed")]
    ByHost,
}

/// Why a session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It ended before the server had introduced itself.
    #[error("failed to open a session: {0}")]
    Closed(CloseReason),
    /// The server did not answer `initialize` in time.
    #[error("failed to open a session: the server did not answer within {0:?}")]
    Timeout(Duration),
    /// The server refused.
    #[error("failed to open a session: the server refused: {0}")]
    Refused(ServerError),
    /// The server speaks a revision that we do not.
    #[error("failed to open a session: the server speaks revision `{0}`, which is not supported")]
    UnknownRevision(String),
    /// The answer is not what the protocol says.
    #[error("failed to open a session: {0}")]
    Malformed(String),
}

/// Why a request to a server has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server answered with an error.
    #[error("the server answered with an error: {0}")]
    Refused(ServerError),
    /// The server did not answer in time. It was told that nobody waits any more.
    #[error("the server did not answer within {0:?}")]
    Timeout(Duration),
    /// The caller cancelled. The server was told.
    #[error("the call was cancelled")]
    Cancelled,
    /// The session is over, or ended during the call.
    #[error("{0}")]
    Closed(CloseReason),
    /// The request is larger than messages may be; nothing was sent.
    #[error("the request has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Bytes of the request.
        size: usize,
        /// The cap in bytes.
        limit: usize,
    },
    /// Too many calls wait for this server already; nothing was sent.
    #[error("{waiting} calls wait for the server already")]
    Overloaded {
        /// How many wait.
        waiting: usize,
    },
    /// The server's answer is not what the protocol says.
    #[error("the server's answer is not valid: {0}")]
    Malformed(String),
}

impl From<CallError> for ToolFailure {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        let reason = match error {
            CallError::Refused(error) => return Self::Refused(error),
            CallError::Cancelled => return Self::Cancelled,
            CallError::Timeout(_) => BreakReason::Timeout,
            CallError::Closed(CloseReason::ByHost) => BreakReason::Unavailable,
            CallError::Closed(CloseReason::Transport(TransportError::TooLong { .. })) => {
                BreakReason::TooLarge
            }
            CallError::Closed(
                CloseReason::Ended
                | CloseReason::InputClosed
                | CloseReason::Transport(TransportError::Read(_)),
            ) => BreakReason::Crashed,
            CallError::Closed(CloseReason::Transport(TransportError::TooDeep { .. })) => BreakReason::Failed,
            CallError::TooLarge { .. } => BreakReason::TooLarge,
            CallError::Overloaded { .. } => BreakReason::Overloaded,
            CallError::Malformed(_) => BreakReason::Failed,
        };
        Self::Broke { reason, message, retry_after: None }
    }
}

/// The `error` of a server's answer, as it wrote it.
#[derive(Clone, Debug)]
pub struct ServerError {
    code: i64,
    message: String,
    data: Option<Box<RawValue>>,
    raw: Box<RawValue>,
}

#[derive(Deserialize, Default)]
struct ErrorMembers<'a> {
    code: Option<i64>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl ServerError {
    /// What to assume of a server that gives no code: that it broke.
    const UNKNOWN_CODE: i64 = -32603;

    pub(crate) fn of(raw: &RawValue) -> Self {
        let members: ErrorMembers<'_> = message::object(raw).unwrap_or_default();
        let message = members.message.map(|Text(text)| text.into_owned()).filter(|text| !text.is_empty());
        Self {
            code: members.code.unwrap_or(Self::UNKNOWN_CODE),
            message: message.unwrap_or_else(|| "server gave no message with its error".to_owned()),
            data: members.data.map(ToOwned::to_owned),
            raw: raw.to_owned(),
        }
    }

    /// The number of the error.
    #[must_use]
    pub const fn code(&self) -> i64 {
        self.code
    }

    /// The text of the error.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the server added.
    #[must_use]
    pub fn data(&self) -> Option<&RawValue> {
        self.data.as_deref()
    }

    /// The whole error object.
    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}
