//! The server side: Streamable HTTP for clients, as a function from request to response.
//!
//! Knows no web framework. Whoever mounts it has checked origin, host and authorization before.

mod body;
mod call;
mod dispatch;
mod endpoint;
mod negotiate;
mod notify;
mod session;
mod sessions;
mod sse;

pub use body::ResponseBody;
pub use endpoint::{EndpointOptions, McpEndpoint, Unread};
