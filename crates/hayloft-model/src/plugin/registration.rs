//! What a plugin's code registers when it is loaded: the part of a plugin that its folder does not say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AuthMethod, CronDeclaration, McpDeclarations, Page, RouteDeclaration, UiComponent, UiExtension};
use crate::config::ConfigSchema;

/// All that a plugin registered. The same for every organization, so it is kept by content hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Components that the plugin's other components can use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ui_components: Vec<UiComponent>,
    /// Pages of their own.
    pub pages: Vec<Page>,
    /// HTTP routes.
    pub routes: Vec<RouteDeclaration>,
    /// Scheduled jobs.
    pub crons: Vec<CronDeclaration>,
    /// Procedures of its own router.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub procedures: Vec<ProcedureDeclaration>,
    /// One shared webhook address for all organizations, as the plugin declared it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_routing: Option<serde_json::Value>,
    /// The hooks that the definition has.
    pub hooks: Vec<HookName>,
    /// It looked for an organization in its environment before it had one: such code cannot be warmed ahead.
    pub reads_organization_early: bool,
}

impl Registration {
    /// This registration with everything that the plugin's folder declared already. Of what both name the declaration
    /// stands, since people saw it first.
    #[must_use]
    pub fn with_declared(mut self, declared: &Self) -> Self {
        let mut config_schema = declared.config_schema.clone();
        for (name, field) in self.config_schema.fields {
            config_schema.fields.entry(name).or_insert(field);
        }
        self.config_schema = config_schema;
        self.auth_methods = joined(&declared.auth_methods, self.auth_methods, |a, b| a.id() == b.id());
        self.mcp.local = joined(&declared.mcp.local, self.mcp.local, |a, b| a.id == b.id);
        self.mcp.external = joined(&declared.mcp.external, self.mcp.external, |a, b| a.id == b.id);
        self.ui_extensions = joined(&declared.ui_extensions, self.ui_extensions, PartialEq::eq);
        self.ui_components = joined(&declared.ui_components, self.ui_components, |a, b| a.name == b.name);
        self.pages = joined(&declared.pages, self.pages, |a, b| a.id == b.id);
        let same_route =
            |a: &RouteDeclaration, b: &RouteDeclaration| a.method == b.method && a.path == b.path;
        self.routes = joined(&declared.routes, self.routes, same_route);
        self
    }
}

/// A procedure of a plugin's own router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcedureDeclaration {
    /// Its name within the router, such as `orders.list`.
    pub path: String,
    /// What calling it does.
    #[serde(rename = "type")]
    pub kind: ProcedureKind,
}

/// What calling a procedure does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProcedureKind {
    /// It reads.
    Query,
    /// It changes something.
    Mutation,
    /// It goes on telling.
    Subscription,
}

/// The first list, and what only the second one has.
fn joined<T: Clone>(first: &[T], second: Vec<T>, same: impl Fn(&T, &T) -> bool) -> Vec<T> {
    let mut all = first.to_vec();
    all.extend(second.into_iter().filter(|item| !first.iter().any(|earlier| same(earlier, item))));
    all
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_folder_declares_stands_beside_what_the_code_adds() {
        let registration = |value| serde_json::from_value::<Registration>(value).unwrap();
        let declared = registration(json!({
            "configSchema": { "key": { "type": "string" }, "region": { "type": "string" } },
            "mcp": { "local": [{ "id": "main", "tools": [{ "name": "echo" }] }] },
            "routes": [{ "method": "POST", "path": "/webhook", "access": "organization" }],
        }));
        let registered = registration(json!({
            "name": "Shop",
            "configSchema": { "key": { "type": "json" }, "added": { "type": "number" } },
            "mcp": { "local": [{ "id": "main" }, { "id": "second" }] },
            "routes": [{ "method": "POST", "path": "/webhook" }, { "method": "GET", "path": "/webhook" }],
        }));
        let whole = registered.with_declared(&declared);
        assert_eq!(
            serde_json::to_value(&whole.config_schema).unwrap(),
            json!({ "key": { "type": "string" }, "region": { "type": "string" }, "added": { "type": "number" } })
        );
        let servers: Vec<_> =
            whole.mcp.local.iter().map(|server| (server.id.as_str(), server.tools.len())).collect();
        assert_eq!(servers, [("main", 1), ("second", 0)]);
        let open: Vec<_> = whole.routes.iter().map(|route| route.access.is_open()).collect();
        assert_eq!((whole.name.as_str(), open), ("Shop", vec![false, true]));
    }
}
