//! List an organization's tools.

use bytes::Bytes;
use hayloft_mcp::Change;
use hayloft_model::{Caller, OrganizationId, PluginId, Scope, ServerId};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast;

use crate::Host;
use crate::access::Denied;

/// A tool in a list for people and programs that do not speak MCP.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolSummary {
    /// The public name.
    pub name: String,
    /// The plugin that has it.
    pub plugin_id: PluginId,
    /// The plugin's server that has it.
    pub server_id: ServerId,
    /// Its name on that server.
    pub tool: String,
    /// The whole definition as the server wrote it, under its public name.
    pub definition: Box<RawValue>,
}

impl Host {
    /// The organization's tools, by plugin, server, and then in the server's own order.
    ///
    /// # Errors
    /// When the caller may not.
    pub fn list_tools(
        &self,
        caller: &Caller,
        organization: OrganizationId,
    ) -> Result<Vec<ToolSummary>, Denied> {
        self.authorize(caller, organization, Scope::ToolsRead)?;
        let catalogue = self.catalogues.of(organization);
        Ok(catalogue
            .tools()
            .iter()
            .map(|tool| ToolSummary {
                name: tool.name.clone(),
                plugin_id: tool.key.plugin.clone(),
                server_id: tool.server.clone(),
                tool: tool.tool.clone(),
                definition: tool.definition.clone(),
            })
            .collect())
    }

    /// The tools of one plugin, by any of its names; nothing where there is no such plugin.
    ///
    /// # Errors
    /// When the caller may not.
    pub fn list_tools_of(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        plugin: &PluginId,
    ) -> Result<Option<Vec<ToolSummary>>, Denied> {
        let mut tools = self.list_tools(caller, organization)?;
        Ok(self.plugins.named(organization, plugin).map(|plugin| {
            tools.retain(|tool| tool.plugin_id == plugin.id);
            tools
        }))
    }

    /// The same as a JSON array of definitions, made when something changed and not when somebody asks.
    ///
    /// # Errors
    /// When the caller may not.
    pub fn tools_json(&self, caller: &Caller, organization: OrganizationId) -> Result<Bytes, Denied> {
        self.authorize(caller, organization, Scope::ToolsRead)?;
        Ok(self.catalogues.of(organization).json())
    }

    /// Fires whenever the organization's list differs from before.
    #[must_use]
    pub fn tool_changes(&self, organization: OrganizationId) -> broadcast::Receiver<Change> {
        self.catalogues.changes(organization)
    }
}
