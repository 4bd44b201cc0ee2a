//! The MCP endpoint of an organization. What is said over it is for `hayloft-mcp`; here is only who says it.

pub(crate) mod call;
