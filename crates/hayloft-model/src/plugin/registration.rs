//! What a plugin's code registers when it is loaded: the part of a plugin that its folder does not say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AuthMethod, CronDeclaration, McpDeclarations, Page, RouteDeclaration, UiExtension};
use crate::config::ConfigSchema;

/// All that a plugin registered. The same for every organization, so it is kept by content hash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Registration {
    /// The name that the definition gives.
    pub name: String,
    /// The settings that an organization can make.
    pub config_schema: ConfigSchema,
    /// Ways to authenticate.
    pub auth_methods: Vec<AuthMethod>,
    /// Announced MCP servers.
    pub mcp: McpDeclarations,
    /// Components in places of the dashboard.
    pub ui_extensions: Vec<UiExtension>,
    /// Pages of their own.
    pub pages: Vec<Page>,
    /// HTTP routes.
    pub routes: Vec<RouteDeclaration>,
    /// Scheduled jobs.
    pub crons: Vec<CronDeclaration>,
    /// One shared webhook address for all organizations, as the plugin declared it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_routing: Option<serde_json::Value>,
    /// The hooks that the definition has.
    pub hooks: Vec<HookName>,
    /// It looked for an organization in its environment before it had one: such code cannot be warmed ahead.
    pub reads_organization_early: bool,
}

/// The hooks of a definition, by the names that authors write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HookName {
    /// Once per process, without an organization.
    OnInitialize,
    /// When an organization switches it on.
    OnEnable,
    /// Whenever it starts for an organization.
    OnStart,
    /// When credentials are saved.
    OnValidateAuth,
    /// After settings were saved.
    OnConfigUpdate,
    /// When it is switched off or removed.
    OnDisable,
    /// After OAuth connected.
    OnConnected,
}
