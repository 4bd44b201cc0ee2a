//! The protocol: JSON-RPC, the revisions of the Model Context Protocol and its transports end here.
//!
//! Towards clients, [`McpEndpoint`] speaks Streamable HTTP over the types of the `http` crate and asks a
//! [`ToolService`], which never sees JSON-RPC. Towards servers, [`Upstream`] is one shared session with one server,
//! over any [`Transport`]. Between the two, messages pass as raw JSON: a message is cut at its envelope and what
//! nobody here needs to read is never parsed, so an unknown field survives by construction.
//!
//! This crate must not know plugins, organizations, rows or axum. It reads neither clock, environment nor chance:
//! session ids are drawn from the [`hayloft_model::Entropy`] that was handed in, and deadlines are the runtime's.

pub mod client;
mod fault;
mod ids;
mod item;
mod message;
pub mod names;
mod progress;
mod revision;
pub mod server;
pub mod service;
mod tool;

pub use client::{Transport, Upstream, UpstreamOptions};
pub use item::{Item, ItemKind, with_addresses};
pub use message::unique_keys::{DuplicateKey, refuse_duplicate_keys};
pub use progress::{Progress, ProgressSink, progress_channel};
pub use revision::Revision;
pub use server::{EndpointOptions, McpEndpoint, ResponseBody, Unread};
pub use service::{
    CallTool, Change, GetItem, ItemPage, ListFailure, Principal, ServerDetails, ToolFailure, ToolPage,
    ToolService,
};
pub use tool::{ToolDefinition, ToolFields, is_error_result, tools_array, tools_list, with_meta};
