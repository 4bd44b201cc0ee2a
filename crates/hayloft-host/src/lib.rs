//! What Hayloft does: one file per use case, each with its input, its errors and the function.
//!
//! | for | see |
//! |---|---|
//! | organizations and tokens | [`access`] |
//! | an organization's plugins | [`plugins`] |
//! | what plugins may do | [`permissions`] |
//! | tools | [`tools`] |
//! | resources and prompts | [`items`] |
//! | plugins' MCP servers | [`servers`] |
//! | plugins' HTTP routes | [`routes`] |
//! | plugins' procedures | [`procedures`] |
//! | the audit trail | [`audit`] |
//!
//! This crate must not know HTTP servers (the `http` crate's types are fine), SQL text or JSON-RPC. Every use case is a
//! method of [`Host`] that takes the caller first and asks whether the caller may.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use hayloft_model::plugin::PluginLimits;
use hayloft_model::{Clock, Entropy, PluginId, Secret};
use hayloft_packages::{Packages, Uploads};
use hayloft_store::Store;
use hayloft_store::journal::Journal;
use hayloft_store::wishes::KeptWish;
use hayloft_workers::Workers;
use tokio::sync::{RwLock, Semaphore};
use tokio::task::JoinHandle;

pub mod access;
pub mod audit;
mod calls;
mod config;
mod failure;
mod instances;
pub mod items;
mod launch;
mod network;
mod observe;
pub mod permissions;
pub mod plugins;
pub mod procedures;
mod reconcile;
mod recycle;
mod relay;
pub mod routes;
pub mod servers;
mod sessions;
mod start;
pub mod tools;
mod turns;
mod uninterrupted;
mod upkeep;
mod uses;
mod values;
mod workers;

pub use access::Denied;
pub use access::change_role::ChangeRoleError;
pub use access::create_organization::CreateOrganizationError;
pub use access::create_token::{CreateToken, CreateTokenError, NewToken};
pub use access::list_organizations::ListOrganizationsError;
pub use access::list_tokens::ListTokensError;
pub use access::remove_organization::RemoveOrganizationError;
pub use access::revoke_token::RevokeTokenError;
pub use audit::list::ListAuditError;
pub use config::environment::HostEnvironment;
pub use failure::StoreError;
pub use hayloft_mcp::client::ServerError;
pub use hayloft_mcp::client::remote::{ByteStream, Connector, RemoteUrl};
pub use hayloft_mcp::service::BreakReason;
pub use hayloft_mcp::{
    CallTool, Change, GetItem, ItemKind, ItemPage, ListFailure, ToolFailure, progress_channel,
};
pub use hayloft_packages::{InstallEvent, InstallState, Needs};
pub use hayloft_store::audit::{AuditEntry, HostAuditEntry, Page};
pub use hayloft_store::organizations::Organization;
pub use hayloft_store::plugin_values::Quota as ValueQuota;
pub use hayloft_store::tokens::Token;
pub use hayloft_workers::protocol::{CallableKind, ProcedureAnswer};
pub use hayloft_workers::{
    Gate, GateCaller, GateLimits, GatePace, GateStream, HookError, LogLine, Pool, ProxyError, ResponseBody,
    Unavailable, Verdict, WarmWorker, WorkerStatus,
};
pub use permissions::CapabilityDenied;
pub use permissions::grant::GrantPermissionsError;
pub use plugins::disable::DisablePluginError;
pub use plugins::disk::OverQuota;
pub use plugins::get::GetPluginError;
pub use plugins::health::{CheckHealthError, HealthStatus, PluginHealth};
pub use plugins::install_events::{EventId, InstallEvents, InstallEventsError};
pub use plugins::install_log::InstallLogError;
pub use plugins::instances::InstanceView;
pub use plugins::list::ListPluginsError;
pub use plugins::logs::PluginLogsError;
pub use plugins::metadata::PluginMetadataError;
pub use plugins::oauth::OAuthAvailability;
pub use plugins::pools::LimitPoolError;
pub use plugins::priority::ChoosePriorityError;
pub use plugins::public_file::PublicFileError;
pub use plugins::purge::PurgeConfigurationError;
pub use plugins::restart::RestartPluginError;
pub use plugins::save::{SaveOutcome, SavePlugin, SavePluginError};
pub use plugins::statistics::{Calls as CallStatistics, PluginStatistics, StatisticsError};
pub use plugins::stop::StopPluginError;
pub use plugins::ui_file::UiFileError;
pub use plugins::uninstall::{SavedData, UninstallPluginError};
pub use plugins::upload::{Downgrade, UploadPlugin, UploadPluginError, UploadedPlugin};
pub use plugins::validate_auth::{AuthTrial, ValidateAuthError};
pub use plugins::view::{AuthView, McpServerView, MissingView, PermissionsView, PluginDetail, PluginSummary};
pub use procedures::call::{CallProcedure, CallProcedureError};
pub use routes::proxy::{ProxyRouteError, RouteRequest};
pub use servers::register::{Place as ServerPlace, RegisterServerError};
pub use servers::{Outbound, OutboundCaller};
pub use start::StartError;
pub use tools::batch::MOST_CALLS;
pub use tools::caching::{CachingChoice, ChooseCachingError};
pub use tools::call::CallToolError;
pub use tools::list::ToolSummary;
pub use tools::refresh::RefreshToolsError;
pub use tools::results::{ResultCacheOptions, ResultCaching};
pub use tools::shares::CallLimits;

/// The version of Hayloft.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct HostDeadlines {
    /// A tool call, and again from every report of progress.
    pub tool_call: Duration,
    /// A tool call altogether, whatever progress it reports.
    pub tool_call_total: Duration,
    /// How long a save waits for the plugin to run on the new values before it answers without a verdict.
    pub save_answer: Duration,
    /// What plugins use of the host's services is gathered for so long before a line of the audit trail tells of it.
    pub audit_period: Duration,
}

impl Default for HostDeadlines {
    fn default() -> Self {
        Self {
            tool_call: Duration::from_secs(60),
            tool_call_total: Duration::from_secs(600),
            save_answer: Duration::from_secs(10),
            audit_period: Duration::from_secs(60),
        }
    }
}

/// What a host is made of.
pub struct HostOptions {
    /// Where it remembers.
    pub store: Store,
    /// Where calls are noted.
    pub journal: Journal,
    /// How workers are run; the host adds itself as the one who is asked and told.
    pub workers: hayloft_workers::Settings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The environment that plugins may read parts of.
    pub environment: HostEnvironment,
    /// The most that a plugin may ask for. What is absent has no bound.
    pub maximum_limits: PluginLimits,
    /// What leads to MCP servers elsewhere. Without it none of them is reached, and whoever calls one is told so.
    pub outbound: Option<Arc<dyn Outbound>>,
    /// Makes plugins ready to run, and keeps what came of it.
    pub packages: Packages,
    /// Folders with plugins, that of the uploaded ones last.
    pub plugin_folders: Vec<PathBuf>,
    /// Where the plugins are that organizations upload.
    pub uploads: Uploads,
    /// Plugins of which the operator's configuration speaks: no organization takes such a name by an upload.
    pub reserved_ids: BTreeSet<PluginId>,
    /// The bearer token of the administrator.
    pub administrator_token: Secret<String>,
    /// How long things may take.
    pub deadlines: HostDeadlines,
    /// How much a plugin may keep for an organization.
    pub value_quota: ValueQuota,
    /// What an organization may have on the disk of plugins of its own, in bytes.
    pub disk_quota: u64,
    /// How many calls an organization may have.
    pub calls: CallLimits,
    /// How results of tools that only read are kept.
    pub results: ResultCacheOptions,
}

/// A running host. Clones are the same host.
#[derive(Clone)]
pub struct Host(Arc<HostInner>);

/// What every use case can reach, by name.
#[doc(hidden)]
pub struct HostInner {
    pub(crate) access: access::AccessTable,
    pub(crate) plugins: plugins::registry::PluginRegistry,
    pub(crate) instances: instances::InstanceTable,
    pub(crate) grants: permissions::GrantTable,
    pub(crate) own: plugins::own::OwnRegistrations,
    pub(crate) sessions: sessions::Sessions,
    pub(crate) handed: servers::handed::HandedServers,
    pub(crate) outbound: Option<Arc<dyn Outbound>>,
    pub(crate) remotes: servers::remote::Remotes,
    /// Orders what is known of an instance's servers elsewhere.
    pub(crate) adopting: turns::Turns,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) catalogues: tools::catalogue::Catalogues,
    pub(crate) items: items::table::ItemTable,
    pub(crate) shares: tools::shares::Shares,
    pub(crate) rates: tools::rates::Rates,
    pub(crate) results: tools::results::ResultCache,
    /// Orders what is done with the processes of an instance.
    pub(crate) turns: Arc<turns::Turns>,
    /// Orders what is written of an instance. Who holds a turn of the processes may take one of these, never the other way.
    pub(crate) writing: turns::Turns,
    /// Orders what is wished for an instance and kept until it comes true. Whoever has such a turn takes no other one.
    pub(crate) wishing: turns::Turns,
    pub(crate) applied: reconcile::Applied,
    /// Orders what is told of an instance's tools.
    pub(crate) publishing: turns::Turns,
    /// Orders what is registered for an instance.
    pub(crate) registering: turns::Turns,
    /// Orders what is done with the values of an instance.
    pub(crate) keeping: turns::Turns,
    pub(crate) uses: Arc<uses::Uses>,
    /// Orders what comes into the folders of uploaded plugins and leaves them.
    pub(crate) placing: turns::Turns,
    /// Organizations that take room on the disk.
    pub(crate) filling: turns::Turns<hayloft_model::OrganizationId>,
    pub(crate) uploads: Uploads,
    pub(crate) reserved_ids: BTreeSet<PluginId>,
    pub(crate) value_quota: ValueQuota,
    pub(crate) disk_quota: u64,
    pub(crate) priorities: plugins::priority::Priorities,
    /// Held by whoever chooses the size of a pool, over the store and the pools.
    pub(crate) choosing_pools: tokio::sync::Mutex<()>,
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    pub(crate) workers: Workers,
    pub(crate) packages: Packages,
    /// Newer versions of plugins are put into service side by side; whoever removes old ones is alone.
    pub(crate) changing_versions: RwLock<()>,
    /// Orders those who remove old versions.
    pub(crate) tidying: Semaphore,
    pub(crate) outdated: plugins::tidy::Outdated,
    /// Where the newest version of a plugin has still to come up, or did not.
    pub(crate) trials: plugins::trial::Trials,
    /// What an earlier run of the host was asked for and did not come to, until it is taken up.
    pub(crate) left_over: Mutex<Vec<KeptWish>>,
    /// Plugins that are switched on as soon as they are installed.
    pub(crate) enabling: plugins::enabling::Enabling,
    pub(crate) clock: Arc<dyn Clock>,
    /// When this run of the host began, in milliseconds: what was numbered in another run means nothing in this one.
    pub(crate) began: i64,
    pub(crate) environment: HostEnvironment,
    pub(crate) deadlines: HostDeadlines,
    /// How many refusals of the network may wait to be taken down.
    pub(crate) refusals: Arc<Semaphore>,
    /// What goes on beside the use cases. It ends with the host, or when it is shut down.
    background: [JoinHandle<()>; 3],
}

impl Drop for HostInner {
    fn drop(&mut self) {
        self.background.iter().for_each(JoinHandle::abort);
    }
}

impl Deref for Host {
    type Target = HostInner;

    fn deref(&self) -> &HostInner {
        &self.0
    }
}

/// A host that is not kept alive by whoever holds this.
#[derive(Clone)]
pub struct WeakHost(Weak<HostInner>);

impl WeakHost {
    /// The host, unless it is gone.
    #[must_use]
    pub fn upgrade(&self) -> Option<Host> {
        self.0.upgrade().map(Host)
    }
}

impl Host {
    /// For those whom the host itself holds.
    #[must_use]
    pub fn weak(&self) -> WeakHost {
        WeakHost(self.downgrade())
    }

    fn downgrade(&self) -> Weak<HostInner> {
        Arc::downgrade(&self.0)
    }
}
