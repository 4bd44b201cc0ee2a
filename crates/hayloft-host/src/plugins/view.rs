//! What people and programs see of a plugin in an organization.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hayloft_model::config::{ConfigSchema, masked};
use hayloft_model::plugin::{
    AuthMethod, Capability, CronDeclaration, DeclaredTool, Listing, McpDeclarations, McpServer, Package,
    Page, Permissions, RouteDeclaration, UiComponent, UiExtension,
};
use hayloft_model::{
    ContentHash, InstanceKey, InstanceState, OrganizationId, PluginDescriptor, PluginId, Priority, Problems,
    Revision, ServerId,
};
use hayloft_packages::InstallState;
use hayloft_workers::{ServerHealth, Worker};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use super::enabling::Attempt;
use super::known::KnownPlugin;
use crate::instances::Instance;
use crate::{Host, StoreError};

/// A plugin in a list.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginSummary {
    /// Its id.
    pub id: PluginId,
    /// A number that stands for it wherever programs expect one: always the same, and exact as a JavaScript number.
    pub number: u64,
    /// Other names that lead to it in addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<PluginId>,
    /// The name that people read.
    pub name: String,
    /// The version that the package gives itself.
    pub version: Option<String>,
    /// Which code it is; absent for one that cannot be read.
    pub content_hash: Option<ContentHash>,
    /// The format that it is written in.
    pub format: Option<String>,
    /// One line about it.
    pub description: Option<String>,
    /// Where the marketplace files it.
    pub category: Option<String>,
    /// How a marketplace shows it: author, types, icon, tags and pictures.
    pub listing: Listing,
    /// The file of the icon or the picture that the plugin's folder brings, below its public files.
    pub icon_file: Option<String>,
    /// What it says that it registers or uses.
    pub capabilities: Vec<Capability>,
    /// Whether it has settings, as far as is known without asking its code.
    pub has_configuration: bool,
    /// Whether it brings components or pages, as far as is known without asking its code.
    pub has_custom_ui: bool,
    /// Whether listings leave it out.
    pub invisible: bool,
    /// Whether its enabled instances start with the host.
    pub auto_activate: bool,
    /// Whether the organization switched it on.
    pub enabled: bool,
    /// What its instance is now.
    pub state: InstanceState,
    /// What went wrong last, for people.
    pub last_error: Option<String>,
    /// What is wrong with the plugin itself.
    pub problems: Problems,
    /// The only organization that sees it, if it is not for all.
    pub owner: Option<OrganizationId>,
    /// When it was made ready to run as it is; absent when it was not, or runs from where it lies.
    pub installed_at: Option<DateTime<Utc>>,
    /// How far its package is; absent for one that cannot be read.
    pub installation: Option<InstallState>,
    /// The version that is being brought into service in its place.
    pub upgrading_to: Option<String>,
    /// What it asks for and is not granted: what switching it on grants, or what a newer version asks for beyond that.
    pub pending_permissions: Permissions,
    /// Whether its dependencies must be fetched before it runs.
    pub needs_installation: bool,
    /// Whether it must be built before it runs.
    pub needs_building: bool,
}

/// A plugin with all that an organization's administrator needs to run it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginDetail {
    /// What a list shows.
    #[serde(flatten)]
    pub summary: PluginSummary,
    /// The revision of the configuration that was saved last.
    pub revision: Option<Revision>,
    /// The revision that its worker runs on.
    pub active_revision: Option<Revision>,
    /// The saved values, secrets masked.
    pub config: IndexMap<String, Value>,
    /// The settings that it asks for.
    pub config_schema: ConfigSchema,
    /// The ways in which it can be given credentials.
    pub auth_methods: Vec<AuthMethod>,
    /// The chosen way, and whether it was found valid.
    pub auth: Option<AuthView>,
    /// Its HTTP routes.
    pub routes: Vec<RouteDeclaration>,
    /// Its MCP servers, announced or seen running.
    pub mcp_servers: Vec<McpServerView>,
    /// Its components in places of the dashboard.
    pub ui_extensions: Vec<UiExtension>,
    /// Its pages.
    pub pages: Vec<Page>,
    /// Components that its other components use by name.
    pub ui_components: Vec<UiComponent>,
    /// The auth method that the settings form offers first.
    pub default_auth_method: Option<String>,
    /// Whether the dashboard has a page of settings for it.
    pub has_settings_page: bool,
    /// What it asks for.
    pub permissions: PermissionsView,
    /// The channel that it serves.
    pub channel: Option<String>,
    /// MCP servers that its folder lists, and how each is reached.
    pub listed_servers: Vec<McpServer>,
    /// Tools that it declared, by server, before any of them ran.
    pub declared_tools: Vec<(ServerId, Vec<DeclaredTool>)>,
    /// Its scheduled jobs.
    pub crons: Vec<CronDeclaration>,
    /// How urgent its starts are among those of the organization.
    pub priority: Priority,
    /// Required settings that nothing gives a value.
    pub missing: Vec<MissingView>,
    /// What it was granted when it was switched on, and since.
    pub granted_permissions: Permissions,
}

/// What a plugin asks for, beside its capabilities.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PermissionsView {
    /// Variables that must have a value before it starts.
    pub env: Vec<String>,
    /// Rights; absent for a plugin that says nothing of rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// APIs of the platform.
    pub api: Vec<Capability>,
}

/// An organization's credentials for a plugin, without the credentials.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthView {
    /// The chosen method; absent when the verdict was given without credentials.
    pub method_id: Option<String>,
    /// Whether the plugin found them valid; absent before it was asked.
    pub valid: Option<bool>,
    /// What the plugin said, for people.
    pub message: Option<String>,
    /// When it was asked.
    pub checked_at: Option<DateTime<Utc>>,
}

/// An MCP server of a plugin in an organization.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct McpServerView {
    /// Its id.
    pub id: String,
    /// How many tools it is known to have.
    pub tools: usize,
    /// Whether it can be called at this moment without starting anything.
    pub connected: bool,
    /// What keeps it from answering, while the host tries to keep it up.
    pub last_error: Option<String>,
}

/// A required setting without a value.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingView {
    /// The field.
    pub field: String,
    /// What a person reads beside it.
    pub label: Option<String>,
}

impl Host {
    /// A plugin as a list shows it, from what is known now.
    pub(crate) fn plugin_summary(
        &self,
        organization: OrganizationId,
        plugin: &KnownPlugin,
        instance: Option<&Instance>,
    ) -> PluginSummary {
        let descriptor = plugin.descriptor();
        let installation = plugin.package.as_ref().map(|package| self.packages.state(package));
        let mut problems = plugin.all_problems();
        if let Some(
            InstallState::InstallError { problems: why } | InstallState::BuildError { problems: why },
        ) = &installation
        {
            problems.extend(why.clone());
        }
        let is_installed = installation == Some(InstallState::Installed);
        if let Some(package) = plugin.package.as_ref().filter(|_| is_installed) {
            problems.extend(self.packages.warnings(package));
        }
        let key = InstanceKey { organization, plugin: plugin.id.clone() };
        let enabling = self.enabling.of(&key);
        let state = match instance {
            _ if enabling == Some(Attempt::Running) => InstanceState::Installing,
            None if enabling == Some(Attempt::Saving) => InstanceState::Starting,
            Some(instance)
                if enabling == Some(Attempt::Saving)
                    && (!instance.enabled
                        || self.applied.is_behind(instance) && !instance.state.serves()) =>
            {
                InstanceState::Starting
            }
            Some(instance) if instance.enabled && plugin.package.is_none() => InstanceState::Failed,
            // It was switched on, and its processes do not follow yet.
            Some(instance) if instance.enabled && instance.state == InstanceState::Disabled => {
                InstanceState::Starting
            }
            Some(instance) => instance.state,
            None => InstanceState::Disabled,
        };
        let failed = match enabling {
            Some(Attempt::Failed(reason)) => Some(reason),
            Some(Attempt::Running | Attempt::Saving) | None => None,
        };
        let registered = match instance {
            Some(instance) => self.registered_for(plugin, &instance.key),
            None => plugin.registered().cloned(),
        };
        let registration = match &registered {
            Some(registered) => Some(&registered.registration),
            None => descriptor.map(|descriptor| &descriptor.declared),
        };
        let has_ui = |registration: &hayloft_model::Registration| {
            !(registration.ui_extensions.is_empty()
                && registration.ui_components.is_empty()
                && registration.pages.is_empty())
        };
        PluginSummary {
            id: plugin.id.clone(),
            number: number_of(&plugin.id, plugin.owner),
            listing: descriptor.map(|descriptor| descriptor.listing.clone()).unwrap_or_default(),
            icon_file: plugin.package.as_ref().and_then(icon_file),
            capabilities: descriptor.map(|descriptor| descriptor.capabilities.clone()).unwrap_or_default(),
            has_configuration: registration
                .is_some_and(|registration| !registration.config_schema.fields.is_empty()),
            has_custom_ui: registration.is_some_and(has_ui),
            invisible: descriptor.is_some_and(|descriptor| descriptor.invisible),
            auto_activate: descriptor.is_some_and(|descriptor| descriptor.auto_activate),
            aliases: descriptor.map(|descriptor| descriptor.aliases.clone()).unwrap_or_default(),
            name: descriptor
                .map_or_else(|| plugin.id.to_string(), |descriptor| descriptor.display_name.clone()),
            version: descriptor.map(|descriptor| descriptor.version.clone()),
            content_hash: plugin.content_hash(),
            format: descriptor.map(|descriptor| descriptor.format.to_string()),
            description: descriptor.and_then(|descriptor| descriptor.description.clone()),
            category: descriptor.and_then(|descriptor| descriptor.category.clone()),
            enabled: instance.is_some_and(|instance| instance.enabled),
            state,
            last_error: failed.or_else(|| instance.and_then(|instance| instance.last_error.clone())),
            problems,
            owner: plugin.owner,
            installed_at: plugin
                .package
                .as_ref()
                .and_then(|package| self.packages.installed_at(package))
                .map(Into::into),
            installation,
            upgrading_to: self.plugins.upgrade_of(plugin).map(|package| package.descriptor.version),
            pending_permissions: descriptor
                .map(|descriptor| self.pending_permissions(&key, descriptor))
                .unwrap_or_default(),
            needs_installation: plugin.needs.installation && !is_installed,
            needs_building: plugin.needs.building && !is_installed,
        }
    }

    /// The detail of a plugin in an organization, from what is known now.
    pub(crate) async fn plugin_detail(
        &self,
        organization: OrganizationId,
        plugin: &KnownPlugin,
        instance: Option<&Instance>,
    ) -> Result<PluginDetail, StoreError> {
        let registered = match instance {
            Some(instance) => self.registered_for(plugin, &instance.key),
            None => plugin.registered().cloned(),
        };
        let is_known = registered.is_some();
        let registration = registered.map(|registered| registered.registration.clone()).unwrap_or_default();
        let (mut config, mut missing) = (IndexMap::new(), Vec::new());
        let mut method_id = None;
        let key = InstanceKey { organization, plugin: plugin.id.clone() };
        let permitted = plugin.descriptor().map(|descriptor| self.permitted(&key, descriptor));
        if let Some(instance) = instance
            && let Some(revision) = instance.desired_revision
            && let Some(saved) = self.store.configurations().load(&instance.key, revision).await?
        {
            config = masked(&saved.values, &registration.config_schema);
            let chosen = saved.credentials.as_ref();
            if is_known && let Some(permitted) = &permitted {
                method_id = self
                    .credentials(permitted, &registration, chosen, &saved.values)
                    .map(|credentials| credentials.method_id);
                missing = self
                    .missing_settings(permitted, &registration, &saved.values)
                    .into_iter()
                    .map(|requirement| MissingView { field: requirement.field, label: requirement.label })
                    .collect();
            }
        }
        let descriptor = plugin.descriptor();
        let verdict = instance.and_then(|instance| instance.auth_verdict.clone());
        let auth = (method_id.is_some() || verdict.is_some()).then(|| AuthView {
            method_id,
            valid: verdict.as_ref().map(|verdict| verdict.valid),
            message: verdict.as_ref().and_then(|verdict| verdict.message.clone()),
            checked_at: verdict.map(|verdict| verdict.at),
        });
        Ok(PluginDetail {
            summary: self.plugin_summary(organization, plugin, instance),
            revision: instance.and_then(|instance| instance.desired_revision),
            active_revision: instance.and_then(|instance| instance.active_revision),
            config,
            config_schema: registration.config_schema,
            auth_methods: registration.auth_methods,
            auth,
            routes: registration.routes,
            mcp_servers: instance.map(|instance| self.mcp_servers(&instance.key)).unwrap_or_default(),
            ui_extensions: registration.ui_extensions,
            pages: registration.pages,
            ui_components: registration.ui_components,
            default_auth_method: descriptor.and_then(|descriptor| descriptor.default_auth_method.clone()),
            has_settings_page: descriptor.is_none_or(|descriptor| !descriptor.without_settings_page),
            permissions: descriptor.map(permissions).unwrap_or_default(),
            channel: descriptor.and_then(|descriptor| descriptor.channel.clone()),
            listed_servers: descriptor.map(|descriptor| descriptor.servers.clone()).unwrap_or_default(),
            declared_tools: declared_tools(&registration.mcp),
            crons: registration.crons,
            priority: self.priorities.of(&key),
            missing,
            granted_permissions: self.grants.get(&key).as_deref().cloned().unwrap_or_default(),
        })
    }
}

impl Host {
    /// The servers of an instance that are known from earlier or run now.
    fn mcp_servers(&self, key: &InstanceKey) -> Vec<McpServerView> {
        let worker = self.workers.serving(key);
        let kept = worker.as_ref().map(Worker::kept_servers).unwrap_or_default();
        let worker = worker.map(|worker| worker.id());
        let running = worker.map(|worker| self.sessions.of(worker)).unwrap_or_default();
        let mut tools: BTreeMap<ServerId, usize> = self.catalogues.counts(key);
        for (server, connected) in &running {
            tools.entry(server.clone()).or_insert(connected.listing.tools.len());
        }
        for server in kept.keys() {
            tools.entry(server.clone()).or_default();
        }
        let elsewhere = self.remotes.of(key);
        for server in elsewhere.keys() {
            tools.entry(server.clone()).or_default();
        }
        let view = |(server, tools): (ServerId, usize)| McpServerView {
            last_error: match kept.get(&server) {
                Some(ServerHealth::Down { error, .. }) => Some(error.clone()),
                Some(ServerHealth::Starting | ServerHealth::Ready) => None,
                None => elsewhere.get(&server).and_then(|link| link.last_error()),
            },
            connected: running.contains_key(&server)
                || elsewhere.get(&server).is_some_and(|link| link.is_connected()),
            id: server.to_string(),
            tools,
        };
        tools.into_iter().map(view).collect()
    }
}

/// Where a folder may have the picture that stands for it, the best one first.
const ICONS: [&str; 6] = ["icon.svg", "icon.png", "icon.jpg", "icon.webp", "thumbnail.png", "thumbnail.jpg"];

/// The picture in a plugin's public folder that stands for it.
fn icon_file(package: &Package) -> Option<String> {
    let public = package.root.join("public");
    ICONS.into_iter().find(|name| public.join(name).is_file()).map(ToOwned::to_owned)
}

/// The capabilities that are APIs of the platform.
fn permissions(descriptor: &PluginDescriptor) -> PermissionsView {
    use Capability as C;
    let is_api = |capability: &Capability| {
        matches!(
            capability,
            C::Messages | C::Customers | C::Sources | C::Products | C::Email | C::Sms | C::Mcp
        )
    };
    PermissionsView {
        env: descriptor.requirements.env.clone(),
        scopes: descriptor.requirements.scopes.clone(),
        api: descriptor.capabilities.iter().copied().filter(is_api).collect(),
    }
}

fn declared_tools(mcp: &McpDeclarations) -> Vec<(ServerId, Vec<DeclaredTool>)> {
    let servers = mcp.local.iter().chain(&mcp.external);
    servers.map(|server| (server.id.clone(), server.tools.clone())).collect()
}

/// A number for programs that want one: the name's hash (FNV-1a), cut to the 53 bits that every JSON reader keeps exact.
/// Nothing is ever looked up by it.
fn number_of(plugin: &PluginId, owner: Option<OrganizationId>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let owner = owner.map(|owner| owner.to_string()).unwrap_or_default();
    let bytes = owner.bytes().chain([b'/']).chain(plugin.as_str().bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    (hash >> 11).max(1)
}
