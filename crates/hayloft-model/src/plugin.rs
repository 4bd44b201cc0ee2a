//! A plugin as the house knows it, whatever format its author wrote.
//!
//! [`PluginDescriptor`] is what its folder says; [`Registration`] is what its code adds when it runs.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod auth;
pub mod limits;
pub mod mcp;
pub mod registration;
pub mod route;
pub mod schedule;
pub mod ui;

pub use auth::AuthMethod;
pub use limits::{LimitName, PluginLimits};
pub use mcp::{McpDeclarations, McpServerDeclaration};
pub use registration::{HookName, Registration};
pub use route::{HttpMethod, RouteDeclaration};
pub use schedule::{CronDeclaration, RetryPolicy};
pub use ui::{Page, UiExtension};

use crate::{ContentHash, PluginId};

/// Everything that a plugin's folder says about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginDescriptor {
    /// The npm name.
    pub id: PluginId,
    /// The id without `hay-plugin-`/`hay-channel-`, non-alphanumerics as `_`: the first half of public tool names.
    pub slug: String,
    /// The version that the package gives itself.
    pub version: String,
    /// The name that people read.
    pub display_name: String,
    /// One line about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where the marketplace files it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The name of the format it was read from. For people and for the runner; nothing in the house decides by it.
    pub format: FormatName,
    /// What it says it will register or use.
    pub capabilities: Vec<Capability>,
    /// Names of host environment variables that it may read as a fallback for configuration.
    pub env: Vec<String>,
    /// The channel that it serves, for channel plugins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Whether its enabled instances start when the host starts.
    #[serde(default)]
    pub auto_activate: bool,
    /// Whether listings leave it out.
    #[serde(default)]
    pub invisible: bool,
    /// How much of the machine it asks for, where that is not what every plugin gets.
    #[serde(default, skip_serializing_if = "PluginLimits::is_empty")]
    pub limits: PluginLimits,
    /// How its code is run.
    pub runtime: Runtime,
}

impl PluginDescriptor {
    /// Whether it declared a capability.
    #[must_use]
    pub fn declares(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

/// A plugin's folder after reading: where it is, which code it is, what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Absolute path of the folder.
    pub root: PathBuf,
    /// Which code it is.
    pub content_hash: ContentHash,
    /// What it says.
    pub descriptor: PluginDescriptor,
}

/// How a plugin's code is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Runtime {
    /// Loaded by our runner in a Node process.
    Node {
        /// The module to load, relative to the folder.
        entry: PathBuf,
    },
}

/// The name of a plugin format, as the reader that knows it calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FormatName(pub String);

impl fmt::Display for FormatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a plugin says it will register or use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// HTTP routes and webhooks.
    Routes,
    /// MCP servers.
    Mcp,
    /// Authentication methods.
    Auth,
    /// A configuration schema.
    Config,
    /// Extensions of the dashboard.
    Ui,
    /// Receiving and sending messages.
    Messages,
    /// Reading and writing customers.
    Customers,
    /// Registering sources of conversations.
    Sources,
    /// Publishing products.
    Products,
    /// Scheduled jobs.
    Cron,
    /// Sending e-mail.
    Email,
}

impl Capability {
    /// Every capability, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::Routes,
        Self::Mcp,
        Self::Auth,
        Self::Config,
        Self::Ui,
        Self::Messages,
        Self::Customers,
        Self::Sources,
        Self::Products,
        Self::Cron,
        Self::Email,
    ];

    /// The name in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Routes => "routes",
            Self::Mcp => "mcp",
            Self::Auth => "auth",
            Self::Config => "config",
            Self::Ui => "ui",
            Self::Messages => "messages",
            Self::Customers => "customers",
            Self::Sources => "sources",
            Self::Products => "products",
            Self::Cron => "cron",
            Self::Email => "email",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
