//! The messages of the worker protocol, version 1: the source of `schemas/worker-protocol.json`.
//!
//! A frame is a `u32` length in network order, a `u8` kind (1 control, 2 MCP) and a JSON payload. The types here are
//! the payloads. They know nothing of sockets, and nothing of what an MCP message says.

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

mod failure;
mod from_worker;
mod reading;
mod requests;
mod to_worker;

pub use failure::{FailureReason, WireError, WireProblem};
pub use from_worker::{FatalStage, Hello, OpenServer, WorkerMessage};
pub use reading::UnreadableMessage;
pub use requests::{
    CallableKind, CapabilityUse, KvOperation, ProcedureAnswer, ProcedureCall, ProcedureCaller,
    RegisterServer, RemoteAuth,
};
pub use to_worker::{
    Api, Auth, Bind, BoundOrganization, Hook, HookDeadlines, HookKind, HostMessage, Load, LoadedPlugin,
};

/// The version that `load` and `hello` carry.
pub const VERSION: u32 = 1;

/// The JSON Schema of all messages.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schema_for!(Protocol).to_value();
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("title".into(), "Hayloft worker protocol".into());
        fields.insert("version".into(), VERSION.into());
    }
    schema
}

/// All payloads by direction. It exists for the schema only.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "the schema is derived from the fields; no value is ever made")]
struct Protocol {
    /// Control messages from the host to the worker.
    host_to_worker: HostMessage,
    /// Control messages from the worker to the host.
    worker_to_host: WorkerMessage,
    /// MCP messages, both ways.
    mcp: McpMessage,
}

/// An MCP message of one server, both ways.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "the schema is derived from the fields; the channel writes and cuts this by hand"
)]
struct McpMessage {
    /// The server's id.
    server: String,
    /// The JSON-RPC message, untouched.
    message: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_names_every_message() {
        let schema = schema().to_string();
        for name in [
            "load",
            "bind",
            "hook",
            "cron",
            "procedure",
            "ping",
            "shutdown",
            "hello",
            "metadata",
            "openMcp",
            "updateAuth",
            "updateRegistration",
            "registerMcp",
            "kv",
            "reportUse",
        ] {
            assert!(schema.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
