//! Chooses the parts and puts them together. The only place that knows which backend is behind what.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use hayloft_host::{Host, HostEnvironment, HostOptions};
use hayloft_model::{Clock, Entropy, Secret};
use hayloft_sandbox::Spawner;
use hayloft_server::{Isolation, Metrics, MissingLayer, ServerOptions};
use hayloft_store::journal::{Journal, JournalOptions};
use hayloft_store::{DataDir, MasterKey, Options, Store};
use hayloft_workers::{Runtime, Settings};

use crate::config::Config;
use crate::failure::Failure;
use crate::ports::{SystemClock, SystemEntropy};

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

/// A host and what must be closed after it.
pub(crate) struct Wired {
    /// The host.
    pub(crate) host: Host,
    /// Its memory.
    pub(crate) store: Store,
}

/// Opens the memory in the data folder and starts a host on it.
///
/// # Errors
/// When a part cannot be had.
pub(crate) async fn host(
    config: &Config,
    data_dir: &DataDir,
    runtime: Runtime,
    administrator_token: Secret<String>,
    environment: &HashMap<String, String>,
    ports: &Ports,
) -> Result<Wired, Failure> {
    let master_key = MasterKey::load_or_create(&data_dir.master_key(), &*ports.entropy)
        .map_err(|error| Failure::caused("failed to get the master key", &error).maybe_hint(error.hint()))?;
    let url = match &config.storage.database_url {
        Some(url) => url.expose().clone(),
        None => format!("sqlite:{}", data_dir.database().display()),
    };
    let options =
        Options { url, master_key, clock: Arc::clone(&ports.clock), entropy: Arc::clone(&ports.entropy) };
    let store = Store::open(options)
        .await
        .map_err(|error| Failure::caused("failed to open the store", &error).maybe_hint(error.hint()))?;
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
    let spawner = Spawner::start()
        .map_err(|error| Failure::caused("failed to start the thread that starts workers", &error))?;
    let host = Host::start(HostOptions {
        store: store.clone(),
        journal,
        workers: Settings {
            runtime,
            spawner,
            instance_marker: marker(data_dir.path()),
            scratch: scratch(data_dir.path())?,
            clock: Arc::clone(&ports.clock),
            entropy: Arc::clone(&ports.entropy),
            deadlines: config.limits.workers,
            resources: config.limits.resources,
            logs: config.limits.logs,
            queue: config.limits.queue,
            routes: config.limits.routes,
        },
        clock: Arc::clone(&ports.clock),
        environment: HostEnvironment {
            variables: for_plugins(environment),
            grants: config.plugins.environment_grants.clone(),
        },
        plugin_folders: config.plugins.dirs.clone(),
        administrator_token,
        deadlines: config.limits.host,
    })
    .await
    .map_err(|error| Failure::caused("failed to start the host", &error))?;
    Ok(Wired { host, store })
}

/// What a server over the host is made of.
///
/// # Errors
/// When figures are collected already.
pub(crate) fn server(config: &Config, host: Host, ports: &Ports) -> Result<ServerOptions, Failure> {
    let metrics = Metrics::install().map_err(|error| Failure::caused("failed to start", &error))?;
    Ok(ServerOptions {
        host,
        entropy: Arc::clone(&ports.entropy),
        metrics,
        isolation: isolation(),
        public_url: config.server.public_url.clone(),
        allowed_origins: config.server.allowed_origins.clone(),
        trusted_proxies: config.server.trusted_proxies.clone(),
        limits: config.limits.server,
    })
}

/// The name under which processes of this data folder are marked, so that a later run finds what this one left.
pub(crate) fn marker(data_dir: &Path) -> String {
    let hash = digest(&SHA256, data_dir.as_os_str().as_encoded_bytes());
    hex::encode(&hash.as_ref()[..8])
}

/// What the jail enforces, in the words of the web face.
fn isolation() -> Isolation {
    let report = hayloft_sandbox::isolation();
    let missing = report.layers.into_iter().filter_map(|layer| {
        Some(MissingLayer { name: layer.name.to_owned(), effect: layer.missing?.to_owned() })
    });
    Isolation { tier: report.tier.to_string(), missing: missing.collect() }
}

/// The folder for workers' homes.
fn scratch(data_dir: &Path) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = data_dir.join("scratch");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .map_err(|error| Failure::caused(format!("failed to make `{}`", path.display()), &error))?;
    Ok(path)
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
    fn a_folder_has_its_own_marker() {
        let [one, two] = ["/data/one", "/data/two"].map(|path| marker(Path::new(path)));
        assert_ne!(one, two);
        assert_eq!(one, marker(Path::new("/data/one")));
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
