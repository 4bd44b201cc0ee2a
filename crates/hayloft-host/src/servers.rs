//! The MCP servers that the host keeps up or reaches for plugins: those that a folder lists, and those that a plugin's
//! code hands over.

mod connect;
mod environment;
pub(crate) mod handed;
mod listed;
mod outbound;
pub mod register;
pub(crate) mod remote;

pub(crate) use connect::open_in_jail;
pub use outbound::{Outbound, OutboundCaller};
