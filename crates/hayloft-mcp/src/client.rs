//! The client side: one shared session with each server, whatever it is reached by.
//!
//! A [`Transport`] moves JSON texts; an [`Upstream`] makes a session of them. A new transport is one file
//! here that implements [`Transport`].

pub mod channel;
mod error;
mod items;
mod link;
mod listing;
mod opening;
mod pending;
mod reader;
pub mod remote;
pub mod stdio;
mod transport;
mod upstream;

pub use error::{CallError, CloseReason, OpenError, ServerError};
pub use items::UpstreamGet;
pub use listing::{ItemListing, ListLimits, ToolListing};
pub use opening::{ClientDetails, ToolsCapability, UpstreamDetails};
pub use reader::{Silent, UpstreamObserver};
pub use transport::{Connection, MessageSource, Received, Transport, TransportError, TransportLimits};
pub use upstream::{CallDeadline, Upstream, UpstreamCall, UpstreamCounters, UpstreamOptions};
