//! What a request without a result says about the server elsewhere that was to answer it.

use hayloft_mcp::client::{CallError, TransportError};

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is there, and said no.
    Answered,
    /// Nothing: the reason is on this side.
    Ours,
    /// It does not do what it is there for.
    Failed,
    /// The way to it broke while the answer was awaited, or before the request was sent.
    Lost,
}

impl Fate {
    pub(super) const fn of(error: &CallError) -> Self {
        match error {
            CallError::Refused(_) => Self::Answered,
            CallError::Cancelled | CallError::TooLarge { .. } | CallError::Overloaded { .. } => Self::Ours,
            CallError::Timeout(_) | CallError::Malformed(_) => Self::Failed,
            CallError::Closed(_) => Self::Lost,
            CallError::Transport(error) => match error {
                TransportError::Unreachable(_)
                | TransportError::Broken(_)
                | TransportError::Read(_)
                | TransportError::NoAnswer
                | TransportError::SessionLost => Self::Lost,
                // Too many calls at once says nothing about the server, and it has said when to come back.
                TransportError::Status { status: 429, .. } => Self::Ours,
                TransportError::Status { status: 400..=407 | 409..=499, .. } => Self::Answered,
                _ => Self::Failed,
            },
        }
    }
}
