//! Procedures: `/v1/<name>` on the wire of tRPC.

pub(crate) mod call;
