//! `sources.register`, `.activate`, `.deactivate`, `.list` and `.getByCategory`: names that programs use, and that this
//! host has nothing to answer with.

use crate::trpc::{Code, TrpcError};

/// What is answered to each of them.
pub(super) fn refusal() -> TrpcError {
    TrpcError::new(Code::NotImplemented, "this host keeps no sources of conversations")
}
