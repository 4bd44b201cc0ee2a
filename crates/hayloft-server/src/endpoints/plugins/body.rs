//! A plugin as this API shows it.

use chrono::{DateTime, Utc};
use hayloft_host::{
    AuthView, InstallState, McpServerView, MissingView, PermissionsView, PluginDetail, PluginSummary,
};
use hayloft_model::PluginId;
use hayloft_model::config::ConfigSchema;
use hayloft_model::plugin::{
    AuthMethod, CronDeclaration, Page, Permissions, RouteDeclaration, UiComponent, UiExtension,
};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::openapi;
use crate::problem::{ProblemEntry, entries};

mod state;

pub(crate) use state::StateName;

/// A plugin in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PluginSummary)]
pub(crate) struct SummaryBody {
    /// Its id, an npm name.
    #[schema(example = "hay-plugin-shopify")]
    id: String,
    /// Other names that lead to it in addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    /// The name that people read.
    name: String,
    /// The version that the package gives itself.
    version: Option<String>,
    /// Which code it is: SHA-256 of its folder's files.
    content_hash: Option<String>,
    /// The format that it is written in.
    format: Option<String>,
    /// One line about it.
    description: Option<String>,
    /// Where the marketplace files it.
    category: Option<String>,
    /// Who made it.
    author: Option<String>,
    /// What kinds of plugin it is: `channel`, `mcp-connector`, `retriever`, `playbook`, `workflow`, `analytics`.
    #[serde(rename = "type")]
    types: Vec<&'static str>,
    /// The name of an icon or a picture's address, as the plugin gives it.
    icon: Option<String>,
    /// Where the picture that the plugin brings along is served.
    icon_url: Option<String>,
    /// How a marketplace shows it.
    marketplace: MarketplaceBody,
    /// What it says that it registers or uses.
    capabilities: Vec<&'static str>,
    /// Whether it has settings, as far as is known without asking its code.
    has_configuration: bool,
    /// Whether it brings components or pages, as far as is known without asking its code.
    #[serde(rename = "hasCustomUI")]
    has_custom_ui: bool,
    /// Whether its enabled instances start with the host.
    auto_activate: bool,
    /// Whether the organization switched it on.
    enabled: bool,
    /// What its instance is now.
    state: StateName,
    /// What went wrong last, for people.
    last_error: Option<String>,
    /// What is wrong with the plugin itself.
    problems: Vec<ProblemEntry>,
    /// Whether this organization alone sees it.
    is_custom: bool,
    /// How far its package is; `null` for a plugin that cannot be read.
    #[schema(value_type = Option<InstallationShape>)]
    installation: Option<InstallState>,
    /// When it was made ready to run as it is now; `null` when it was not.
    installed_at: Option<DateTime<Utc>>,
    /// The version that is being brought into service in its place; the one before serves until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrading_to: Option<String>,
    /// What it asks for and is not granted: all of it before it is switched on, which grants it; later what a newer
    /// version asks for beyond that, and does not get until `POST …/permissions` grants it.
    #[schema(value_type = Vec<PermissionShape>)]
    pending_permissions: Permissions,
    /// Whether its dependencies must be fetched before it runs.
    needs_installation: bool,
    /// Whether it must be built before it runs.
    needs_building: bool,
}

/// How a marketplace shows a plugin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Marketplace)]
pub(crate) struct MarketplaceBody {
    /// Whether it is shown before others.
    featured: bool,
    /// Words that it is found by.
    tags: Vec<String>,
    /// Addresses of pictures.
    screenshots: Vec<String>,
}

/// What a plugin says of its places in the dashboard.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginUi)]
pub(crate) struct UiBody {
    /// The auth method that the settings form offers first.
    auth: Option<String>,
    /// Whether there is a page of settings.
    settings: bool,
    /// Components that its other components use by name.
    #[schema(value_type = Vec<Object>)]
    components: Vec<UiComponent>,
}

/// What a plugin asks for beside its capabilities.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Permissions)]
pub(crate) struct PermissionsBody {
    /// Variables that must have a value before it starts.
    env: Vec<String>,
    /// Rights; absent for a plugin that says nothing of rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    /// APIs of the platform.
    api: Vec<&'static str>,
}

/// How far a plugin's package is.
#[derive(ToSchema)]
#[schema(as = Installation)]
#[expect(dead_code, reason = "it documents the shape of `InstallState`")]
pub(crate) struct InstallationShape {
    /// `waiting`, `installing`, `installed`, `install_error` or `build_error`.
    state: String,
    /// While it is `installing`: which step runs, counted from 1; 0 before the first one.
    step: Option<u32>,
    /// While it is `installing`: how many steps there are.
    steps: Option<u32>,
    /// While it is `installing`: what runs.
    title: Option<String>,
    /// After an error: why.
    problems: Option<Vec<ProblemEntry>>,
}

/// A plugin with all that an organization's administrator needs to run it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PluginDetail)]
pub(crate) struct DetailBody {
    #[serde(flatten)]
    summary: SummaryBody,
    /// The revision of the settings that was saved last, counted from 1.
    revision: Option<u32>,
    /// The revision that its worker runs on.
    active_revision: Option<u32>,
    /// How urgent its starts are among those of the organization, from -100 to 100. More is earlier.
    priority: i8,
    /// The saved values by field; secrets are masked. A mask that is sent back keeps the stored value.
    #[schema(value_type = Object)]
    config: IndexMap<String, Value>,
    /// The settings that it asks for.
    #[schema(schema_with = openapi::config_schema)]
    config_schema: ConfigSchema,
    /// The ways in which it can be given credentials.
    #[schema(schema_with = openapi::auth_methods)]
    auth_methods: Vec<AuthMethod>,
    /// The chosen way, and whether the plugin found it valid. Absent before credentials were given or asked about.
    auth: Option<AuthBody>,
    /// Its HTTP routes, below `/v1/plugins/{id}`.
    #[schema(schema_with = openapi::routes)]
    routes: Vec<RouteDeclaration>,
    /// Its MCP servers that are known from earlier or run now.
    mcp_servers: Vec<McpServerBody>,
    /// Its components in places of the dashboard.
    #[schema(schema_with = openapi::ui_extensions)]
    ui_extensions: Vec<UiExtension>,
    /// Those of them that stand beside the plugin's settings: `before-settings`, `after-settings` and `tab`, in the order
    /// in which they are shown.
    #[schema(schema_with = openapi::ui_extensions)]
    settings_extensions: Vec<UiExtension>,
    /// What it says of its places in the dashboard.
    ui: UiBody,
    /// What it asks for.
    permissions: PermissionsBody,
    /// The channel that it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    /// Its pages.
    #[schema(schema_with = openapi::pages)]
    pages: Vec<Page>,
    /// Its scheduled jobs.
    #[schema(schema_with = openapi::crons)]
    crons: Vec<CronDeclaration>,
    /// Required settings that nothing gives a value.
    missing: Vec<MissingBody>,
    /// What it was granted when it was switched on, and since.
    #[schema(value_type = Vec<PermissionShape>)]
    granted_permissions: Permissions,
}

/// Something that a plugin may do, or asks to be allowed to do.
#[derive(ToSchema)]
#[schema(as = Permission)]
#[expect(dead_code, reason = "it documents the shape of `Permission`")]
pub(crate) struct PermissionShape {
    /// `network`, `environment`, `scope`, `service` or `capability`.
    #[schema(example = "network")]
    kind: String,
    /// Which: a host and port, a variable's name and so on; `*` where the plugin has no list of its own.
    #[schema(example = "api.example.com:443")]
    name: String,
}

/// An organization's credentials for a plugin, without the credentials.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuthState)]
pub(crate) struct AuthBody {
    /// The chosen method; `null` when the verdict was given without credentials.
    method_id: Option<String>,
    /// Whether the plugin found them valid; `null` before it was asked.
    valid: Option<bool>,
    /// Why they are not valid, in the plugin's words for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// When it was asked.
    checked_at: Option<DateTime<Utc>>,
}

/// An MCP server of a plugin in an organization.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = McpServer)]
pub(crate) struct McpServerBody {
    /// Its id.
    id: String,
    /// How many tools it is known to have.
    tools: usize,
    /// Whether it can be called at this moment without starting anything.
    connected: bool,
    /// What keeps it from answering, while the host tries to keep it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// A required setting without a value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MissingSetting)]
pub(crate) struct MissingBody {
    /// The field.
    field: String,
    /// What a person reads beside it.
    label: Option<String>,
}

impl From<PluginSummary> for SummaryBody {
    fn from(summary: PluginSummary) -> Self {
        Self {
            id: summary.id.to_string(),
            aliases: summary.aliases.iter().map(ToString::to_string).collect(),
            name: summary.name,
            version: summary.version,
            content_hash: summary.content_hash.map(|hash| hash.to_string()),
            format: summary.format,
            description: summary.description,
            category: summary.category,
            icon_url: icon_url(&summary.id, summary.icon_file.as_deref()),
            author: summary.listing.author,
            types: summary.listing.types.iter().map(|kind| kind.as_str()).collect(),
            icon: summary.listing.icon,
            marketplace: MarketplaceBody {
                featured: summary.listing.featured,
                tags: summary.listing.tags,
                screenshots: summary.listing.screenshots,
            },
            capabilities: summary.capabilities.iter().map(|capability| capability.as_str()).collect(),
            has_configuration: summary.has_configuration,
            has_custom_ui: summary.has_custom_ui,
            auto_activate: summary.auto_activate,
            enabled: summary.enabled,
            state: summary.state.into(),
            last_error: summary.last_error,
            problems: entries(summary.problems),
            is_custom: summary.owner.is_some(),
            installation: summary.installation,
            installed_at: summary.installed_at,
            upgrading_to: summary.upgrading_to,
            pending_permissions: summary.pending_permissions,
            needs_installation: summary.needs_installation,
            needs_building: summary.needs_building,
        }
    }
}

impl From<PluginDetail> for DetailBody {
    fn from(detail: PluginDetail) -> Self {
        Self {
            summary: detail.summary.into(),
            revision: detail.revision.map(|revision| revision.0),
            active_revision: detail.active_revision.map(|revision| revision.0),
            priority: detail.priority.get(),
            config: detail.config,
            config_schema: detail.config_schema,
            auth_methods: detail.auth_methods,
            auth: detail.auth.map(AuthBody::from),
            routes: detail.routes,
            mcp_servers: detail.mcp_servers.into_iter().map(McpServerBody::from).collect(),
            settings_extensions: settings_extensions(&detail.ui_extensions),
            ui_extensions: detail.ui_extensions,
            ui: UiBody {
                auth: detail.default_auth_method,
                settings: detail.has_settings_page,
                components: detail.ui_components,
            },
            permissions: detail.permissions.into(),
            channel: detail.channel,
            pages: detail.pages,
            crons: detail.crons,
            missing: detail.missing.into_iter().map(MissingBody::from).collect(),
            granted_permissions: detail.granted_permissions,
        }
    }
}

impl From<PermissionsView> for PermissionsBody {
    fn from(permissions: PermissionsView) -> Self {
        let PermissionsView { env, scopes, api } = permissions;
        Self { env, scopes, api: api.iter().map(|capability| capability.as_str()).collect() }
    }
}

/// Where a file of a plugin's public folder is served.
pub(crate) fn icon_url(plugin: &PluginId, file: Option<&str>) -> Option<String> {
    // A scoped name is one segment of a path.
    file.map(|file| format!("/plugins/public/{}/{file}", plugin.as_str().replace('/', "%2F")))
}

/// The places of the dashboard that stand beside a plugin's settings, in the order in which they are shown.
const SETTINGS_SLOTS: [&str; 3] = ["before-settings", "after-settings", "tab"];

/// The components beside the settings: by place, tabs by their order and then as they were registered.
pub(crate) fn settings_extensions(extensions: &[UiExtension]) -> Vec<UiExtension> {
    let place = |extension: &UiExtension| SETTINGS_SLOTS.iter().position(|slot| *slot == extension.slot);
    let mut beside: Vec<_> =
        extensions.iter().filter_map(|extension| Some((place(extension)?, extension.clone()))).collect();
    beside.sort_by_key(|(place, extension)| (*place, extension.tab_order.unwrap_or(u32::MAX)));
    beside.into_iter().map(|(_, extension)| extension).collect()
}

impl From<AuthView> for AuthBody {
    fn from(auth: AuthView) -> Self {
        Self {
            method_id: auth.method_id,
            valid: auth.valid,
            error: auth.message.filter(|_| auth.valid == Some(false)),
            checked_at: auth.checked_at,
        }
    }
}

impl From<McpServerView> for McpServerBody {
    fn from(server: McpServerView) -> Self {
        let McpServerView { id, tools, connected, last_error } = server;
        Self { id, tools, connected, last_error }
    }
}

impl From<MissingView> for MissingBody {
    fn from(missing: MissingView) -> Self {
        Self { field: missing.field, label: missing.label }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_components_before_and_after_and_in_ordered_tabs() {
        let extension = |slot: &str, tab_order| UiExtension {
            slot: slot.into(),
            component: format!("{slot}.vue"),
            tab_name: None,
            tab_order,
            props: serde_json::Map::new(),
        };
        let all = [
            extension("tab", None),
            extension("tab", Some(2)),
            extension("header", None),
            extension("after-settings", None),
            extension("tab", Some(1)),
            extension("before-settings", None),
        ];
        let shown = settings_extensions(&all);
        let shown: Vec<_> = shown.iter().map(|one| (one.slot.as_str(), one.tab_order)).collect();
        assert_eq!(
            shown,
            [
                ("before-settings", None),
                ("after-settings", None),
                ("tab", Some(1)),
                ("tab", Some(2)),
                ("tab", None)
            ]
        );
        let scoped = "@acme/tickets".parse().unwrap();
        assert_eq!(icon_url(&scoped, Some("icon.svg")).unwrap(), "/plugins/public/@acme%2Ftickets/icon.svg");
    }

    #[test]
    fn an_error_is_shown_only_with_what_is_not_valid() {
        for (valid, shown) in [(Some(true), None), (Some(false), Some("no")), (None, None)] {
            let view = AuthView {
                method_id: Some("key".into()),
                valid,
                message: Some("no".into()),
                checked_at: None,
            };
            assert_eq!(AuthBody::from(view).error.as_deref(), shown);
        }
    }
}
