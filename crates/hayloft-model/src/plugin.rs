//! A plugin as the house knows it, whatever format its author wrote.
//!
//! [`PluginDescriptor`] is what its folder says; [`Registration`] is what its code adds when it runs.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod auth;
pub mod command;
pub mod limits;
pub mod listing;
pub mod mcp;
pub mod needs;
pub mod network;
pub mod permission;
pub mod registration;
pub mod route;
pub mod schedule;
pub mod server_auth;
pub mod ui;
pub mod update;

pub use auth::AuthMethod;
pub use command::{Command, Setup};
pub use limits::{LimitName, PluginLimits};
pub use listing::{Listing, PluginType};
pub use mcp::{DeclaredTool, McpDeclarations, McpEndpoint, McpServer, McpServerDeclaration, McpTransport};
pub use needs::{Requirements, Service};
pub use network::{NetworkTarget, NetworkTargetError};
pub use permission::{Permission, PermissionKind, Permissions, UnknownPermissionKind};
pub use registration::{HookName, ProcedureDeclaration, ProcedureKind, Registration};
pub use route::{HttpMethod, RouteAccess, RouteDeclaration};
pub use schedule::{CronDeclaration, RetryPolicy};
pub use server_auth::{AuthValue, ServerAuth};
pub use ui::{Page, UiComponent, UiExtension};
pub use update::UpdateStrategy;

use crate::{ContentHash, PluginId};

/// Everything that a plugin's folder says about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginDescriptor {
    /// Its name for machines.
    pub id: PluginId,
    /// Other names that lead to it, in addresses for example.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<PluginId>,
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
    /// How a newer worker takes the place of an older one.
    #[serde(default, skip_serializing_if = "UpdateStrategy::is_default")]
    pub update_strategy: UpdateStrategy,
    /// Whether an organization that never said anything has it switched on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub enabled_by_default: bool,
    /// How a marketplace shows it.
    #[serde(default, skip_serializing_if = "Listing::is_empty")]
    pub listing: Listing,
    /// What must hold before it can start.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub requirements: Requirements,
    /// The only services of the host that its code gets. Absent for code that gets what Node has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<Service>>,
    /// Whether an organization can give it settings that its schema does not name.
    #[serde(default, skip_serializing_if = "is_false")]
    pub free_settings: bool,
    /// The only hosts that it speaks to. Absent for one that does not say; an empty list says that there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Vec<NetworkTarget>>,
    /// What makes the folder ready to run, where the folder says so.
    #[serde(default, skip_serializing_if = "Setup::is_empty")]
    pub setup: Setup,
    /// MCP servers that the folder says how to reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<McpServer>,
    /// Procedures that it answers beside its routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub procedures: Option<Procedures>,
    /// The auth method that the settings form offers first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_auth_method: Option<String>,
    /// Whether the dashboard leaves out its page of settings.
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_settings_page: bool,
    /// What it registers before any of its code runs. Its code may add to that.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub declared: Registration,
    /// How its code is run.
    pub runtime: Runtime,
    /// Other ways to run the same code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Runtime>,
}

impl PluginDescriptor {
    /// A plugin that says nothing but its name, its version and how it is run.
    #[must_use]
    pub fn new(id: PluginId, version: impl Into<String>, format: FormatName, runtime: Runtime) -> Self {
        Self {
            slug: id.as_str().to_owned(),
            display_name: id.as_str().to_owned(),
            id,
            aliases: Vec::new(),
            version: version.into(),
            description: None,
            category: None,
            format,
            capabilities: Vec::new(),
            env: Vec::new(),
            channel: None,
            auto_activate: false,
            invisible: false,
            limits: PluginLimits::default(),
            update_strategy: UpdateStrategy::default(),
            enabled_by_default: false,
            listing: Listing::default(),
            requirements: Requirements::default(),
            services: None,
            free_settings: false,
            network: None,
            setup: Setup::default(),
            servers: Vec::new(),
            procedures: None,
            default_auth_method: None,
            without_settings_page: false,
            declared: Registration::default(),
            runtime,
            alternatives: Vec::new(),
        }
    }

    /// Whether its code may reach the outside at all.
    #[must_use]
    pub fn may_use_network(&self) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(&Service::Fetch))
    }

    /// Whether its workers are told where the Plugin API is: it declared something that the Plugin API is for, and it
    /// does not get only the services that it names.
    #[must_use]
    pub fn may_use_plugin_api(&self) -> bool {
        self.services.is_none() && self.capabilities.iter().any(|capability| capability.uses_plugin_api())
    }

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
    /// What was made of its code so that it starts faster.
    pub start: FastStart,
}

/// What is made of a package's code so that it starts faster. Without any of it the package runs just as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FastStart {
    /// The module to load in the place of its entry, relative to the folder: the same code in one file.
    pub bundle: Option<PathBuf>,
    /// Absolute path of a folder with what Node compiled of it.
    pub compiled: Option<PathBuf>,
}

/// How a plugin's code is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Runtime {
    /// Loaded by our runner in a Node process.
    Node {
        /// The module to load, relative to the folder.
        entry: PathBuf,
    },
    /// Not at all: the plugin is its MCP servers, and what its folder declares is all that it registers.
    Servers,
    /// Loaded by our runner into an isolate of workerd, where that is installed.
    Isolate {
        /// The module to load, relative to the folder.
        entry: PathBuf,
        /// The date whose behaviour of the runtime the code was written for, as `2023-10-30`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compatibility_date: Option<String>,
    },
}

/// Procedures of a plugin's own router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Procedures {
    /// The module that exports the router, relative to the folder.
    pub module: PathBuf,
    /// What stands before the names of its procedures.
    pub namespace: String,
}

const fn is_false(value: &bool) -> bool {
    !*value
}

fn is_nothing(registration: &Registration) -> bool {
    *registration == Registration::default()
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
    /// Sending text messages.
    Sms,
}

impl Capability {
    /// Every capability, in the order of the documentation.
    pub const ALL: [Self; 12] = [
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
        Self::Sms,
    ];

    /// Whether what it stands for is done through the Plugin API, or by code that is woken from outside and may want
    /// to tell the host of it.
    #[must_use]
    pub const fn uses_plugin_api(self) -> bool {
        match self {
            Self::Routes
            | Self::Mcp
            | Self::Messages
            | Self::Customers
            | Self::Sources
            | Self::Products
            | Self::Cron
            | Self::Email
            | Self::Sms => true,
            Self::Auth | Self::Config | Self::Ui => false,
        }
    }

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
            Self::Sms => "sms",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
