//! MCP servers that a plugin announces before they run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
}
