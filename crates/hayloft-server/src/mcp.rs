//! Lets the MCP endpoint ask the host: from the protocol's view of a tool service to our use cases.

use std::sync::Arc;

use bytes::Bytes;
use hayloft_host::{CallTool, Change, GetItem, Host, ItemKind, ItemPage, ToolFailure, VERSION};
use hayloft_mcp::{ListFailure, Principal, ServerDetails, ToolPage, ToolService};
use hayloft_model::{Caller, OrganizationId, TokenId};
use serde_json::value::RawValue;
use tokio::sync::broadcast;

/// Who speaks, and for which organization.
#[derive(Clone, Debug)]
pub(crate) struct McpCaller {
    /// The bearer of the token.
    pub(crate) caller: Caller,
    /// Whose tools.
    pub(crate) organization: OrganizationId,
}

/// The tools of all organizations, each shown to its own.
pub(crate) struct HostTools {
    host: Host,
}

impl HostTools {
    pub(crate) fn new(host: Host) -> Arc<Self> {
        Arc::new(Self { host })
    }
}

impl ToolService for HostTools {
    type Caller = McpCaller;

    fn principal(&self, caller: &McpCaller) -> Principal {
        match &caller.caller {
            Caller::Organization { token, .. } => principal_of(*token),
            Caller::Administrator => administrator_of(caller.organization),
        }
    }

    fn server_details(&self, _: &McpCaller) -> ServerDetails {
        ServerDetails {
            name: String::from("hayloft"),
            title: Some(String::from("Hayloft")),
            version: String::from(VERSION),
            description: Some(String::from("The tools of an organization's plugins.")),
            instructions: None,
        }
    }

    async fn list_tools(&self, caller: &McpCaller, cursor: Option<&str>) -> Result<ToolPage, ListFailure> {
        if cursor.is_some() {
            return Err(ListFailure::UnknownCursor);
        }
        // Every role may list tools, so a refusal means that the organization is gone: it has no tools any more.
        let tools = self.host.tools_json(&caller.caller, caller.organization);
        Ok(ToolPage::whole(tools.unwrap_or_else(|_| Bytes::from_static(b"[]"))))
    }

    async fn call_tool(&self, caller: &McpCaller, call: CallTool) -> Result<Box<RawValue>, ToolFailure> {
        self.host.call_tool(&caller.caller, caller.organization, call).await.map_err(ToolFailure::from)
    }

    const OFFERS_ITEMS: bool = true;

    async fn list_items(
        &self,
        caller: &McpCaller,
        kind: ItemKind,
        cursor: Option<&str>,
    ) -> Result<ItemPage, ListFailure> {
        // As with tools: a refusal means that the organization is gone.
        let listed = self.host.list_items(&caller.caller, caller.organization, kind, cursor).await;
        listed.unwrap_or_else(|_| Ok(ItemPage::default()))
    }

    async fn get_item(&self, caller: &McpCaller, request: GetItem) -> Result<Box<RawValue>, ToolFailure> {
        self.host.get_item(&caller.caller, caller.organization, request).await.map_err(ToolFailure::from)
    }

    fn subscribe_changes(&self, caller: &McpCaller) -> broadcast::Receiver<Change> {
        self.host.tool_changes(caller.organization)
    }
}

/// Whose the sessions are that a token opened.
pub(crate) fn principal_of(token: TokenId) -> Principal {
    Principal::new(token.to_string())
}

/// Whose the sessions are that the administrator has for an organization: one set for each.
pub(crate) fn administrator_of(organization: OrganizationId) -> Principal {
    Principal::new(format!("administrator/{organization}"))
}
