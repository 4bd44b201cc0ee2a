//! What can be done without a running server: with the data folder's lock held, by the same use cases.

use std::path::Path;

use hayloft_host::Host;
use hayloft_model::Caller;
use hayloft_packages::Toolchain;
use hayloft_workers::Runtime;

use super::Context;
use crate::cli::ConnectionArgs;
use crate::failure::Failure;
use crate::wire::{self, Parts, Ports};
use crate::{lifecycle, runtime_files};

/// How long stopping may take. No worker runs.
const STOP_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Starts a host on the data folder, lets it do one thing as the administrator, and stops it.
///
/// # Errors
/// When the folder is in use or is none, and when the thing fails.
pub(crate) async fn as_administrator<T>(
    context: &Context<'_>,
    connection: &ConnectionArgs,
    data_dir: &Path,
    act: impl AsyncFnOnce(&Host, &Caller) -> Result<T, Failure>,
) -> Result<T, Failure> {
    // A folder that is not there is a slip, not a wish for a new one.
    if !data_dir.is_dir() {
        return Err(Failure::new(format!(
            "no server is running, and there is no data folder `{}`",
            data_dir.display()
        ))
        .hint("start a server with `hayloft serve`, or name its folder with `--data-dir`"));
    }
    let mut config = context.load_for(connection)?.config;
    // Nothing is started here, so plugins are not looked for and there need not be a runtime.
    config.plugins.dirs.clear();
    let executable = std::env::current_exe()
        .map_err(|error| Failure::caused("failed to find this program's own file", &error))?;
    let sandbox = wire::idle_sandbox(runtime_files::stage(&executable)?).await?;
    let runtime =
        Runtime { node: "/nonexistent".into(), runner: "/nonexistent".into(), packages: Vec::new() };
    let locked = lifecycle::lock(data_dir)?;
    let ports = Ports::default();
    let administrator_token = lifecycle::administrator_token(&config, &locked, &ports)?;
    let store = wire::store(&config, &locked, &ports).await?;
    let parts = Parts {
        data_dir: &locked,
        store: store.clone(),
        toolchain: Toolchain { node: runtime.node.clone(), npm: None, esbuild: None, components: None },
        runtime,
        sandbox,
        administrator_token,
        environment: context.environment,
    };
    let host = wire::host(&config, parts, &ports).await?;
    let done = act(&host, &Caller::Administrator).await;
    host.shutdown(STOP_WITHIN).await;
    store.close().await.map_err(|error| Failure::caused("failed to close the store", &error))?;
    done
}
