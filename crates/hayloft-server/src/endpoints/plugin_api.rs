//! What a worker reaches of the host. The same operations answer by REST below `/v1/plugin-api` (and `/plugin-api`), and
//! as procedures `pluginApi.<name>` on the wire of tRPC.

pub(crate) mod health;
pub(crate) mod operation;
pub(crate) mod procedures;
pub(crate) mod register_mcp;
pub(crate) mod rest;
