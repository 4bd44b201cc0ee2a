//! What a plugin is tried with, without a host: it is made ready and asked what it registers, and nothing more.

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use hayloft_model::{InstanceKey, ServerId, WorkerId};
use hayloft_packages::{Packages, Toolchain};
use hayloft_sandbox::Sandbox;
use hayloft_server::PluginApi;
use hayloft_workers::{
    Launch, LaunchRefused, LaunchSource, McpTransport, Observer, Runtime, StateChange, WorkerStatus, Workers,
};

use super::{Ports, network, packages, workers};
use crate::config::Config;
use crate::failure::Failure;

/// What a plugin is tried with.
pub(crate) struct Trial {
    /// Makes it ready.
    pub(crate) packages: Packages,
    /// Asks it.
    pub(crate) workers: Workers,
}

/// Makes what a plugin is tried with, in a folder of its own.
///
/// # Errors
/// When a part cannot be had.
pub(crate) fn trial(
    config: &Config,
    folder: &Path,
    runtime: Runtime,
    toolchain: Toolchain,
    sandbox: Sandbox,
    ports: &Ports,
) -> Result<Trial, Failure> {
    let packages = packages(config, folder, toolchain, &runtime, &sandbox)?;
    // It answers that no host is there, which a plugin without an organization never asks.
    let plugin_api = PluginApi::new(&*ports.entropy);
    let network = network(&config.network);
    let settings = workers(config, folder, runtime, sandbox, &plugin_api, network, ports)?;
    Ok(Trial { packages, workers: Workers::start(settings, Arc::new(Nobody), Arc::new(Nobody)) })
}

/// Where there is no organization nothing is started for one, and nobody is told of it.
struct Nobody;

impl LaunchSource for Nobody {
    fn launch<'a>(&'a self, _: &'a InstanceKey) -> BoxFuture<'a, Result<Launch, LaunchRefused>> {
        Box::pin(async { Err(LaunchRefused::NotEnabled) })
    }
}

impl Observer for Nobody {
    fn state_changed(&self, _: &InstanceKey, _: &WorkerStatus, _: StateChange) {}

    fn open_mcp<'a>(
        &'a self,
        _: &'a InstanceKey,
        _: WorkerId,
        _: ServerId,
        _: McpTransport,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Err(String::from("there is no organization")) })
    }

    fn close_mcp(&self, _: &InstanceKey, _: WorkerId, _: &ServerId) {}
}
