//! From nothing to serving, and back: bind early, serve late, drain with a deadline.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hayloft_model::Secret;
use hayloft_sandbox::{IsolationReport, Tier, sweep};
use hayloft_server::{App, Listener, Shutdown};
use hayloft_store::{DataDir, Store};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin_token::{self, AdminToken};
use crate::announcement::Announcement;
use crate::config::Config;
use crate::failure::{Failure, chain};
use crate::wire::{self, Parts, Ports};
use crate::{isolation, output, runtime_files};

/// How often measured values are moved into their buckets.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// The exit code after a second signal, as shells give it for SIGINT.
const KILLED: i32 = 130;

/// Serves until a signal says stop.
///
/// # Errors
/// When a part cannot be had.
pub(crate) async fn serve(
    config: &Config,
    executable: &Path,
    environment: &HashMap<String, String>,
) -> Result<(), Failure> {
    let runtime = runtime_files::find(&config.runtime, executable, environment)?;
    let stage = runtime_files::stage(executable)?;
    let signals = Signals::listen()?;
    let data_dir = lock(&config.storage.data_dir)?;
    let listener = Listener::bind(config.server.listen).await.map_err(|error| {
        let hint = error.hint();
        Failure::new(chain(&error)).maybe_hint(hint)
    })?;
    sweep_leftovers(data_dir.path()).await;
    let ports = Ports::default();
    // Neither needs the other, and each is a good part of the start.
    let (sandbox, store) = tokio::join!(
        wire::sandbox(config, vec![runtime.node.clone()], stage, wire::marker(data_dir.path())),
        wire::store(config, &data_dir, &ports),
    );
    let sandbox = match (sandbox, &store) {
        (Ok(sandbox), _) => sandbox,
        (Err(failure), Err(_)) => return Err(failure),
        (Err(failure), Ok(store)) => {
            let _ = store.close().await;
            return Err(failure);
        }
    };
    let report = sandbox.isolation().clone();
    let jails = sandbox.clone();
    if let Err(refusal) = isolation::demand(&report, config.runtime.isolation) {
        refuse(store, &report, config.runtime.isolation).await;
        return Err(refusal);
    }
    let store = store?;
    isolation::record_start(&store, &report).await;
    let administrator_token = administrator_token(config, &data_dir, &ports)?;
    let parts = Parts {
        data_dir: &data_dir,
        store: store.clone(),
        toolchain: runtime_files::toolchain(
            config,
            &runtime,
            bundler(config, executable),
            executable,
            environment,
        ),
        runtime,
        sandbox,
        administrator_token,
        environment,
    };
    let host = wire::host(config, parts, &ports).await?;
    let options = wire::server(config, host.clone(), isolation::told(&report), &ports)?;

    let shutdown = Shutdown::new();
    let metrics = options.metrics.clone();
    let upkeep = tokio::spawn(async move {
        let mut tick = tokio::time::interval(METRICS_UPKEEP);
        loop {
            tick.tick().await;
            metrics.upkeep();
        }
    });
    let address = listener.address();
    let app = App::new(options, address, &shutdown);
    let url = format!("http://{}", reachable(address));
    Announcement { url: url.clone(), pid: std::process::id(), started_at: ports.clock.now() }
        .write(data_dir.path())?;
    let serving = tokio::spawn(listener.serve(app, shutdown.clone()));
    let warm_up = {
        let host = host.clone();
        tokio::spawn(async move { host.warm_up().await })
    };
    let watch = {
        let host = host.clone();
        tokio::spawn(async move { host.watch_plugins().await })
    };
    output::line(format_args!("ready {url}"))?;
    let swept = jails.clone();
    // Nobody waits for it, and the host does not wait with its end either.
    std::thread::spawn(move || swept.sweep_gone());
    tracing::info!(%url, data_dir = %data_dir.path().display(), isolation = %report.tier, "serving");

    let second = signals.first().await;
    tracing::info!("draining: a second signal ends it at once");
    shutdown.drain();
    warm_up.abort();
    watch.abort();
    tokio::spawn(async move {
        second.next().await;
        tracing::warn!("killed by a second signal");
        // Workers end with the process: the kernel sees to that.
        std::process::exit(KILLED);
    });
    if let Err(error) = serving.await {
        tracing::error!(%error, "the server ended early");
    }
    upkeep.abort();
    host.shutdown(config.limits.workers.drain).await;
    jails.leave();
    wire::leave(data_dir.path());
    if let Err(error) = store.close().await {
        tracing::error!(%error, "failed to close the store");
    }
    Announcement::remove(data_dir.path());
    tracing::info!("stopped");
    Ok(())
}

/// What bundles plugins, unless they are not to be bundled. A host without it works, and says what that costs.
fn bundler(config: &Config, executable: &Path) -> Option<PathBuf> {
    if !config.packages.bundle {
        return None;
    }
    let folders = runtime_files::folders(&config.runtime, executable);
    let found = runtime_files::esbuild(config.packages.esbuild.as_deref(), &folders);
    if found.is_none() {
        let searched = match &config.packages.esbuild {
            Some(named) => named.display().to_string(),
            None => {
                folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" or ")
            }
        };
        tracing::warn!(
            searched,
            "there is no `esbuild`, so plugins with dependencies run unbundled and take longer to start: `cargo xtask runtime` puts it there, `packages.esbuild` names it, `packages.bundle = false` does without"
        );
    }
    found
}

/// Takes the data folder for this process.
///
/// # Errors
/// When another process has it, or the system refuses.
pub(crate) fn lock(path: &Path) -> Result<DataDir, Failure> {
    DataDir::lock(path).map_err(|error| {
        let hint = error.hint();
        Failure::new(chain(&error)).maybe_hint(hint)
    })
}

/// The administrator's token: the operator's, else the one in the data folder.
///
/// # Errors
/// When it cannot be used.
pub(crate) fn administrator_token(
    config: &Config,
    data_dir: &DataDir,
    ports: &Ports,
) -> Result<Secret<String>, Failure> {
    if let Some(token) = &config.storage.admin_token {
        admin_token::check(token.expose())
            .map_err(|why| Failure::wrong_use(format!("`HAYLOFT_ADMIN_TOKEN` cannot be used: {why}")))?;
        return Ok(token.clone());
    }
    match admin_token::read_or_make(data_dir.path(), &*ports.entropy)? {
        AdminToken::Found(token) => Ok(token),
        AdminToken::Made { token, path } => {
            eprintln!("the administrator's token is in `{}`", path.display());
            Ok(token)
        }
    }
}

/// Writes a refused start down. Neither a memory that does not open nor one that does not close changes the refusal.
async fn refuse(store: Result<Store, Failure>, report: &IsolationReport, minimum: Tier) {
    match store {
        Ok(store) => {
            isolation::record_refusal(&store, report, minimum).await;
            if let Err(error) = store.close().await {
                tracing::error!(%error, "failed to close the store");
            }
        }
        Err(failure) => {
            tracing::error!(%failure, "the refused start could not be written into the audit trail")
        }
    }
}

async fn sweep_leftovers(data_dir: &Path) {
    let marker = wire::marker(data_dir);
    match tokio::task::spawn_blocking(move || sweep(&marker)).await {
        Ok(Ok(swept)) => {
            for process in swept {
                tracing::warn!(
                    pid = process.pid,
                    command = process.command,
                    "ended a process of an earlier run"
                );
            }
        }
        Ok(Err(error)) => tracing::error!(%error, "failed to look for processes of an earlier run"),
        Err(error) => tracing::error!(%error, "failed to look for processes of an earlier run"),
    }
}

/// The address under which programs on this machine reach the server.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The signals that say stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::caused("failed to listen to signals", &error));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for the first one; what is left waits for the second.
    async fn first(mut self) -> Self {
        self.wait().await;
        self
    }

    async fn next(mut self) {
        self.wait().await;
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_reached_by_loopback() {
        let table = [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("[::1]:1", "[::1]:1"),
        ];
        for (listen, reached) in table {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), reached);
        }
    }
}
