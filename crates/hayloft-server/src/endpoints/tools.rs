//! Tools of an organization's plugins, for programs that do not speak MCP.

pub(crate) mod batch;
pub(crate) mod caching;
pub(crate) mod call;
pub(crate) mod list;
