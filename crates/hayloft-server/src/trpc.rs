//! The wire of tRPC 11 without a transformer: calls in, answers out, several of them in one request if a client batches.
//!
//! Knows how calls and refusals are written, and nothing of who answers them.

pub(crate) mod error;
pub(crate) mod wire;

pub(crate) use error::{Code, TrpcError};
