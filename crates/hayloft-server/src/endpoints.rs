//! One folder per noun, one file per verb: errors, docs, handler, tests.
//!
//! A handler reads its input, asks one use case of the host, and says the answer. It must not know how anything is done.

pub(crate) mod audit;
pub(crate) mod fallback;
pub(crate) mod mcp;
pub(crate) mod operations;
pub(crate) mod organizations;
pub(crate) mod plugin_api;
pub(crate) mod plugins;
pub(crate) mod pools;
pub(crate) mod procedures;
pub(crate) mod routes;
pub(crate) mod tokens;
pub(crate) mod tools;
