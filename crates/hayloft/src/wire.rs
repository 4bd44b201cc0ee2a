//! Chooses the parts and puts them together. The only place that knows which backend is behind what.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hayloft_egress::Egress;
use hayloft_host::{Host, HostEnvironment, HostOptions};
use hayloft_model::{Clock, Entropy, PluginId, Secret};
use hayloft_packages::{Toolchain, Uploads};
use hayloft_sandbox::{Options as SandboxOptions, Sandbox, Tier};
use hayloft_server::{Isolation, Metrics, PluginApi, ServerOptions};
use hayloft_store::journal::{Journal, JournalOptions};
use hayloft_store::{DataDir, MasterKey, Options, Store};
use hayloft_workers::{NetworkSettings, PoolLimits, Runtime, SamplingSettings, Settings};

use crate::config::{self, Config};
use crate::failure::Failure;
use crate::outbound::PluginOutbound;
use crate::ports::{SystemClock, SystemEntropy};

mod packages;
mod scratch;
mod trial;

use packages::packages;
pub(crate) use scratch::{leave, marker};
pub(crate) use trial::{Trial, trial};

/// How long the journal grows before its lines become rows.
const REPLAY_EVERY: Duration = Duration::from_secs(10);

/// How many calls may wait to be written into the journal.
const JOURNAL_CAPACITY: usize = 8192;

/// The machine's time and chance.
#[derive(Clone)]
pub(crate) struct Ports {
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Chance.
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Default for Ports {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy::default()) }
    }
}

/// Opens the memory in the data folder.
///
/// # Errors
/// When it cannot be had.
pub(crate) async fn store(config: &Config, data_dir: &DataDir, ports: &Ports) -> Result<Store, Failure> {
    let master_key = MasterKey::load_or_create(&data_dir.master_key(), &*ports.entropy)
        .map_err(|error| Failure::caused("failed to get the master key", &error).maybe_hint(error.hint()))?;
    let url = match &config.storage.database_url {
        Some(url) => url.expose().clone(),
        None => format!("sqlite:{}", data_dir.database().display()),
    };
    let options =
        Options { url, master_key, clock: Arc::clone(&ports.clock), entropy: Arc::clone(&ports.entropy) };
    Store::open(options)
        .await
        .map_err(|error| Failure::caused("failed to open the store", &error).maybe_hint(error.hint()))
}

/// What a host is made of beside its configuration.
pub(crate) struct Parts<'a> {
    /// The folder that is its own.
    pub(crate) data_dir: &'a DataDir,
    /// Its memory, which must be closed after it.
    pub(crate) store: Store,
    /// The programs inside workers.
    pub(crate) runtime: Runtime,
    /// The programs that plugins are made ready with.
    pub(crate) toolchain: Toolchain,
    /// What makes their jails.
    pub(crate) sandbox: Sandbox,
    /// The administrator's token.
    pub(crate) administrator_token: Secret<String>,
    /// The environment.
    pub(crate) environment: &'a HashMap<String, String>,
}

/// Starts a host.
///
/// # Errors
/// When a part cannot be had.
pub(crate) async fn host(config: &Config, parts: Parts<'_>, ports: &Ports) -> Result<Host, Failure> {
    let Parts { data_dir, store, runtime, toolchain, sandbox, administrator_token, environment } = parts;
    let (journal, replayed) = Journal::open(JournalOptions {
        folder: data_dir.journal(),
        store: store.clone(),
        replay_every: REPLAY_EVERY,
        capacity: JOURNAL_CAPACITY,
    })
    .await
    .map_err(|error| Failure::caused("failed to open the journal", &error))?;
    if replayed.calls > 0 || replayed.damaged > 0 {
        tracing::info!(
            calls = replayed.calls,
            damaged = replayed.damaged,
            "took over the journal of an earlier run"
        );
    }
    let plugin_api = PluginApi::new(&*ports.entropy);
    let packages = packages(config, data_dir.path(), toolchain, &runtime, &sandbox)?;
    let (folder, staging) = (data_dir.path().join("plugins"), data_dir.path().join("uploads"));
    let uploads = Uploads::open(folder.clone(), staging, config.packages.limits.room)
        .map_err(|error| Failure::caused(format!("failed to open `{}`", folder.display()), &error))?;
    let network = network(&config.network);
    let outbound = PluginOutbound::new(network.clone(), config.network.certificates.as_deref())?;
    let host = Host::start(HostOptions {
        store,
        journal,
        packages,
        workers: workers(config, data_dir.path(), runtime, sandbox, &plugin_api, network, ports)?,
        clock: Arc::clone(&ports.clock),
        environment: HostEnvironment {
            variables: for_plugins(environment),
            grants: config.plugins.environment_grants.clone(),
        },
        maximum_limits: config.limits.maximum,
        outbound: Some(Arc::new(outbound)),
        plugin_folders: config.plugins.dirs.iter().cloned().chain([uploads.folder().to_owned()]).collect(),
        uploads,
        reserved_ids: reserved_ids(config),
        administrator_token,
        deadlines: config.limits.host,
        calls: config.limits.calls,
        results: config.cache,
        value_quota: config.limits.values,
        disk_quota: config.packages.organization_disk,
    })
    .await
    .map_err(|error| Failure::caused("failed to start the host", &error))?;
    plugin_api.serve(&host);
    Ok(host)
}

/// Plugins to which the operator gave something by their ids. What was meant for one must not be had by whoever uploads
/// a plugin of the same name.
fn reserved_ids(config: &Config) -> BTreeSet<PluginId> {
    let environment = config.plugins.environment_grants.keys();
    let limits = config.plugins.limits.keys().chain(config.plugins.soft_memory.keys());
    let network = config.network.grants.keys().chain(config.network.private.keys());
    let workers = config.plugins.workers.keys().chain(&config.plugins.keep_alive);
    let scripts = &config.packages.script_grants;
    environment.chain(limits).chain(network).chain(workers).chain(scripts).cloned().collect()
}

/// How workers are run.
fn workers(
    config: &Config,
    folder: &Path,
    runtime: Runtime,
    sandbox: Sandbox,
    plugin_api: &PluginApi,
    network: NetworkSettings,
    ports: &Ports,
) -> Result<Settings, Failure> {
    Ok(Settings {
        runtime,
        scratch: scratch::folder(folder, &sandbox)?,
        sandbox,
        gate: Arc::new(plugin_api.clone()),
        network,
        clock: Arc::clone(&ports.clock),
        entropy: Arc::clone(&ports.entropy),
        deadlines: config.limits.workers,
        resources: config.limits.resources,
        plugin_limits: config.plugins.limits.clone(),
        logs: config.limits.logs,
        queue: config.limits.queue,
        pools: PoolLimits {
            workers: config.limits.workers_per_plugin,
            by_plugin: config.plugins.workers.clone(),
            keep_alive: config.plugins.keep_alive.clone(),
        },
        starts: config.limits.starts,
        crashes: config.limits.crashes,
        routes: config.limits.routes,
        gates: config.limits.gates,
        sampling: SamplingSettings {
            pace: config.limits.sampling,
            soft_memory: config.limits.soft_memory,
            plugin_soft_memory: config.plugins.soft_memory.clone(),
        },
        warm: config.limits.warm,
    })
}

/// What workers reach beside the host.
fn network(config: &config::Network) -> NetworkSettings {
    NetworkSettings {
        egress: Egress::system(),
        default: config.default,
        declared: config.declared,
        grants: config.grants.clone(),
        private: config.private.clone(),
        limits: config.limits,
    }
}

/// What a server over the host is made of.
///
/// # Errors
/// When figures are collected already.
pub(crate) fn server(
    config: &Config,
    host: Host,
    isolation: Isolation,
    ports: &Ports,
) -> Result<ServerOptions, Failure> {
    let metrics = Metrics::install().map_err(|error| Failure::caused("failed to start", &error))?;
    Ok(ServerOptions {
        host,
        entropy: Arc::clone(&ports.entropy),
        metrics,
        isolation,
        public_url: config.server.public_url.clone(),
        allowed_origins: config.server.allowed_origins.clone(),
        trusted_proxies: config.server.trusted_proxies.clone(),
        limits: config.limits.server,
    })
}

/// What makes the jails: the strongest kind that the machine offers, unless the operator wants a weaker one.
///
/// # Errors
/// When no process can be made.
pub(crate) async fn sandbox(
    config: &Config,
    programs: Vec<PathBuf>,
    stage: PathBuf,
    owner: String,
) -> Result<Sandbox, Failure> {
    let options = SandboxOptions {
        stage,
        programs,
        paths: config.runtime.jail_paths.clone(),
        owner,
        strongest: config.runtime.strongest_isolation,
    };
    start(options).await
}

/// What a host gets that starts no worker: no jail is made, and nothing is found out about the machine.
///
/// # Errors
/// When no process can be made.
pub(crate) async fn idle_sandbox(stage: PathBuf) -> Result<Sandbox, Failure> {
    let owner = String::from("idle");
    start(SandboxOptions { stage, programs: Vec::new(), paths: Vec::new(), owner, strongest: Tier::Off })
        .await
}

async fn start(options: SandboxOptions) -> Result<Sandbox, Failure> {
    let started = tokio::task::spawn_blocking(|| Sandbox::start(options)).await;
    let started = started.map_err(|error| Failure::caused("failed to start the sandbox", &error))?;
    started.map_err(|error| Failure::caused("failed to start the sandbox", &error))
}

/// The environment without our own settings: the administrator's token is among them.
fn for_plugins(environment: &HashMap<String, String>) -> HashMap<String, Secret<String>> {
    environment
        .iter()
        .filter(|(name, _)| !name.starts_with("HAYLOFT_"))
        .map(|(name, value)| (name.clone(), Secret::new(value.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_never_see_our_own_settings() {
        let environment =
            ["HAYLOFT_ADMIN_TOKEN", "SHOPIFY_API_KEY"].map(|name| (name.to_owned(), "x".to_owned())).into();
        assert_eq!(for_plugins(&environment).into_keys().collect::<Vec<_>>(), ["SHOPIFY_API_KEY"]);
    }

    #[test]
    fn whatever_an_operator_gives_by_id_keeps_the_id_from_strangers() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hayloft.toml");
        let settings = r#"
            [plugins]
            keep_alive = ["by-keep-alive"]
            [plugins.environment_grants]
            by-environment = ["DB_URL"]
            [plugins.limits]
            by-limits = { memory = "256MiB" }
            [plugins.workers]
            by-workers = 3
            [plugins.soft_memory]
            by-soft-memory = "128MiB"
            [network.grants]
            by-network = ["api.example.com"]
            [network.private]
            by-private = ["db.internal:5432=10.0.0.5"]
            [packages]
            script_grants = ["by-scripts"]
        "#;
        std::fs::write(&file, settings).unwrap();
        let sources = config::Sources { file: Some(&file), environment: &HashMap::new(), flags: Vec::new() };
        let loaded = config::load(sources).unwrap();
        let reserved: Vec<_> = reserved_ids(&loaded.config).iter().map(ToString::to_string).collect();
        let all = [
            "environment",
            "keep-alive",
            "limits",
            "network",
            "private",
            "scripts",
            "soft-memory",
            "workers",
        ];
        assert_eq!(reserved, all.map(|by| format!("by-{by}")));
    }
}
