//! Plugins and tools in the shapes that programs written against these procedures read.

use hayloft_host::{PluginDetail, PluginSummary, ToolSummary};
use hayloft_model::plugin::{AuthMethod, Capability, McpEndpoint, Page, RouteAccess};
use indexmap::IndexMap;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::endpoints::plugins::body::{icon_url, settings_extensions};
use crate::problem::ProblemDetails;

/// How much is said of a plugin's capabilities.
pub(super) enum Capabilities {
    /// Which there are.
    Listed,
    /// What each of them holds.
    Whole(Map<String, Value>),
}

/// A plugin in a list.
pub(super) fn plugin(summary: PluginSummary, capabilities: Capabilities) -> Value {
    let capabilities = match capabilities {
        Capabilities::Listed => {
            summary.capabilities.iter().map(|capability| (capability.to_string(), json!({}))).collect()
        }
        Capabilities::Whole(capabilities) => capabilities,
    };
    let is_custom = summary.owner.is_some();
    let icon_url = icon_url(&summary.id, summary.icon_file.as_deref());
    json!({
        "id": summary.id,
        "dbId": summary.number,
        "name": summary.name,
        "version": summary.version.unwrap_or_default(),
        "type": summary.listing.types,
        "description": summary.description.unwrap_or_default(),
        "author": summary.listing.author,
        "category": summary.category,
        "icon": summary.listing.icon,
        "iconUrl": icon_url,
        "marketplace": {
            "featured": summary.listing.featured,
            "tags": summary.listing.tags,
            "screenshots": summary.listing.screenshots,
        },
        "installed": !summary.needs_installation,
        "built": !summary.needs_building,
        "enabled": summary.enabled,
        "state": summary.state,
        "lastError": summary.last_error,
        "hasConfiguration": summary.has_configuration,
        "hasCustomUI": summary.has_custom_ui,
        "autoActivate": summary.auto_activate,
        "invisible": summary.invisible,
        "capabilities": capabilities,
        "sourceType": if is_custom { "custom" } else { "core" },
        "isCustom": is_custom,
    })
}

/// One plugin with everything that a page about it shows.
pub(super) fn detail(detail: PluginDetail) -> Value {
    let capabilities = Capabilities::Whole(whole(&detail));
    let mut shown = plugin(detail.summary, capabilities);
    shown["configuration"] = json!(detail.config);
    shown["configSchema"] = json!(detail.config_schema);
    shown["authMethods"] = json!(detail.auth_methods);
    shown["auth"] = json!(detail.auth);
    shown["permissions"] = json!(detail.permissions);
    shown["settingsExtensions"] = json!(settings_extensions(&detail.ui_extensions));
    shown["uiExtensions"] = json!(detail.ui_extensions);
    shown["ui"] = json!({ "auth": detail.default_auth_method, "settings": detail.has_settings_page });
    shown["missing"] = json!(detail.missing);
    if let Some(channel) = detail.channel {
        shown["channel"] = channel.into();
    }
    shown
}

/// The capabilities as a manifest would write them.
fn whole(detail: &PluginDetail) -> Map<String, Value> {
    let mut all: Map<String, Value> =
        detail.summary.capabilities.iter().map(|capability| (capability.to_string(), json!({}))).collect();
    if let Some(mcp) = mcp(detail) {
        all.insert(Capability::Mcp.to_string(), mcp);
    }
    if !(detail.pages.is_empty() && detail.ui_components.is_empty()) {
        let routes: Vec<_> = detail.pages.iter().map(ui_route).collect();
        let components: Vec<_> = detail
            .ui_components
            .iter()
            .map(|component| json!({ "name": component.name, "path": component.component }))
            .collect();
        all.insert(Capability::Ui.to_string(), json!({ "routes": routes, "components": components }));
    }
    if !detail.routes.is_empty() {
        let routes: Vec<_> = detail
            .routes
            .iter()
            .map(|route| {
                let middleware: &[&str] = match route.access {
                    RouteAccess::Open => &[],
                    RouteAccess::Organization => &["auth"],
                };
                json!({ "method": route.method, "path": route.path, "middleware": middleware })
            })
            .collect();
        all.insert(String::from("api"), json!({ "routes": routes }));
    }
    all
}

fn mcp(detail: &PluginDetail) -> Option<Value> {
    let has_mcp = detail.summary.capabilities.contains(&Capability::Mcp);
    if !has_mcp && detail.listed_servers.is_empty() && detail.declared_tools.is_empty() {
        return None;
    }
    let tools: Vec<_> = detail
        .declared_tools
        .iter()
        .flat_map(|(_, tools)| tools)
        .map(|tool| {
            json!({
                "name": tool.name, "label": tool.title, "description": tool.description,
                "input_schema": tool.input_schema,
            })
        })
        .collect();
    let mut mcp = json!({ "tools": tools, "auth": auth(&detail.auth_methods) });
    if let Some(server) = detail.listed_servers.first() {
        mcp["connection"] = match &server.endpoint {
            McpEndpoint::Process { .. } => json!({ "type": "local" }),
            McpEndpoint::Remote { url } => json!({ "type": "remote", "url": url }),
        };
        let transports: Vec<_> = server.transports.iter().map(|transport| transport.as_str()).collect();
        mcp["transport"] = transports.join("|").into();
    }
    Some(mcp)
}

/// The auth methods by kind, with the fields of OAuth. Where a secret comes from is shown, never what it is.
fn auth(methods: &[AuthMethod]) -> Value {
    let mut kinds = Vec::new();
    let mut oauth = None;
    for method in methods {
        kinds.push(match method {
            AuthMethod::ApiKey(_) => "apiKey",
            AuthMethod::Jwt(_) => "jwt",
            AuthMethod::Oauth2(method) => {
                oauth = Some(super::oauth::shape(method));
                "oauth2"
            }
        });
    }
    match oauth {
        Some(oauth) => json!({ "methods": kinds, "oauth": oauth }),
        None => json!(kinds),
    }
}

fn ui_route(page: &Page) -> Value {
    json!({
        "path": page.path,
        "component": page.component,
        "name": page.id,
        "meta": { "title": page.title, "requiresAuth": page.requires_session.unwrap_or(true) },
    })
}

/// A tool's definition as its server wrote it, member by member.
pub(super) type Tool = IndexMap<String, Box<RawValue>>;

/// Tools under their own names, each with the one under which the organization's agents know it.
pub(super) fn tools(tools: &[ToolSummary]) -> Result<Vec<Tool>, ProblemDetails> {
    let shown: Result<_, serde_json::Error> = tools.iter().map(tool).collect();
    shown.map_err(|error| ProblemDetails::internal(&error))
}

fn tool(tool: &ToolSummary) -> Result<Tool, serde_json::Error> {
    let mut shown: Tool = serde_json::from_str(tool.definition.get())?;
    let name = to_raw_value(&tool.tool)?;
    let label = shown.get("title").unwrap_or(&name).clone();
    let own = [
        ("name", name),
        ("qualifiedName", to_raw_value(&tool.name)?),
        ("label", label),
        ("pluginId", to_raw_value(&tool.plugin_id)?),
        ("serverId", to_raw_value(&tool.server_id)?),
    ];
    shown.extend(own.map(|(member, value)| (member.to_owned(), value)));
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_passes_raw_under_its_own_name() {
        let definition = r#"{"name":"a__b","title":"B","inputSchema":{"maximum" : 1e400},"pluginId":"evil"}"#;
        let summary = ToolSummary {
            name: "a__b".into(),
            plugin_id: "hay-plugin-a".parse().unwrap(),
            server_id: "main".parse().unwrap(),
            tool: "b".into(),
            definition: RawValue::from_string(definition.into()).unwrap(),
        };
        assert_eq!(
            serde_json::to_string(&tools(&[summary]).unwrap()).unwrap(),
            r#"[{"name":"b","title":"B","inputSchema":{"maximum" : 1e400},"pluginId":"hay-plugin-a","qualifiedName":"a__b","label":"B","serverId":"main"}]"#
        );
    }
}
