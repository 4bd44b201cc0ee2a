//! How a plugin is shown to people who choose one.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a marketplace shows of a plugin beside its name and category.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listing {
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What kinds of plugin it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<PluginType>,
    /// The name of an icon, or a picture's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// Whether it is shown before others.
    #[serde(skip_serializing_if = "is_false")]
    pub featured: bool,
    /// Words that it is found by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Addresses of pictures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub screenshots: Vec<String>,
}

impl Listing {
    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

const fn is_false(value: &bool) -> bool {
    !*value
}

/// What kind of plugin it is. For people; nothing in the house decides by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PluginType {
    /// Messages come in and go out through it.
    Channel,
    /// It connects to MCP servers.
    McpConnector,
    /// It finds what agents should know.
    Retriever,
    /// It brings workflows that are ready to use.
    Playbook,
    /// It automates.
    Workflow,
    /// It measures and reports.
    Analytics,
}

impl PluginType {
    /// Every type, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Channel, Self::McpConnector, Self::Retriever, Self::Playbook, Self::Workflow, Self::Analytics];

    /// The name in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::McpConnector => "mcp-connector",
            Self::Retriever => "retriever",
            Self::Playbook => "playbook",
            Self::Workflow => "workflow",
            Self::Analytics => "analytics",
        }
    }
}

impl fmt::Display for PluginType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
