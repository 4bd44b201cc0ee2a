//! MCP servers of a plugin that are known before they run.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Command;
use crate::ServerId;

/// The servers that a plugin announced while registering.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct McpDeclarations {
    /// Servers that will run in or beside the worker.
    pub local: Vec<McpServerDeclaration>,
    /// Servers elsewhere.
    pub external: Vec<McpServerDeclaration>,
}

/// One announced server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct McpServerDeclaration {
    /// Unique within the plugin.
    pub id: ServerId,
    /// What a person reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// One line about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Tools that can be listed before it ever ran. Once it ran, its own list counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<DeclaredTool>,
}

/// A tool, announced before its server runs. Spelled as MCP spells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredTool {
    /// Unique within the server.
    pub name: String,
    /// What a person reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What a model reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of the arguments. It refers to nothing outside itself.
    #[serde(default = "any_arguments")]
    pub input_schema: Value,
    /// JSON Schema of the structured result. It refers to nothing outside itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Hints such as `readOnlyHint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Map<String, Value>>,
}

/// The schema of a tool that says nothing about its arguments.
#[must_use]
pub fn any_arguments() -> Value {
    Value::from_iter([("type", "object")])
}

/// A server that the folder itself says how to reach: none of the plugin's code has to ask for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct McpServer {
    /// Unique within the plugin. Its announcement is among the declarations.
    pub id: ServerId,
    /// Where it is.
    pub endpoint: McpEndpoint,
    /// What it may speak over, in the order in which that is tried. Never empty.
    pub transports: Vec<McpTransport>,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum McpEndpoint {
    /// In a process that the host starts and restarts.
    Process {
        /// What to start.
        command: Command,
    },
    /// Elsewhere.
    Remote {
        /// Its address.
        url: String,
    },
}

/// What MCP messages travel over, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum McpTransport {
    /// Standard input and output of a process.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// A WebSocket.
    Websocket,
    /// HTTP with server-sent events, as of the protocol's first revision.
    Sse,
}

impl McpTransport {
    /// Every transport, the preferred one first.
    pub const ALL: [Self; 4] = [Self::Stdio, Self::Http, Self::Websocket, Self::Sse];

    /// The name in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http => "http",
            Self::Websocket => "websocket",
            Self::Sse => "sse",
        }
    }
}

impl fmt::Display for McpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
