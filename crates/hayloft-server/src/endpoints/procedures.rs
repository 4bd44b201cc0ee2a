//! Procedures: `/v1/<name>` on the wire of tRPC.

pub(crate) mod call;
mod oauth;
mod plugins;
mod sources;
