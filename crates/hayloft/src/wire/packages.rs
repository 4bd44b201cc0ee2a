//! What makes plugins ready to run, and its way to the registry.

use std::io;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use hayloft_egress::{Egress, HostName, Policy, Reach};
use hayloft_model::plugin::NetworkTarget;
use hayloft_packages::{Dial, Options as PackagesOptions, Packages, Provided, RegistryStream, Toolchain};
use hayloft_sandbox::Sandbox;
use hayloft_workers::{ProvidedPackage, Runtime};

use crate::config::{self, Config};
use crate::failure::Failure;
use crate::runtime_files;

/// What makes plugins ready to run.
///
/// # Errors
/// When the folder for them cannot be had.
pub(super) fn packages(
    config: &Config,
    folder: &Path,
    toolchain: Toolchain,
    runtime: &Runtime,
    sandbox: &Sandbox,
) -> Result<Packages, Failure> {
    let shelf = folder.join("packages");
    let provided = |ProvidedPackage { name, path }| Provided { name, path };
    let at_hand = runtime_files::at_hand(&runtime.runner)?;
    Packages::open(PackagesOptions {
        shelf: shelf.clone(),
        sandbox: sandbox.clone(),
        toolchain,
        provided: runtime.packages.iter().cloned().map(provided).collect(),
        at_hand: at_hand.into_iter().map(provided).collect(),
        dial: Arc::new(RegistryDial::new(&config.packages)),
        registry: config.packages.registry.clone(),
        limits: config.packages.limits,
        keep: config.packages.keep,
        script_grants: config.packages.script_grants.clone(),
    })
    .map_err(|error| Failure::caused(format!("failed to open `{}`", shelf.display()), &error))
}

/// The way to the registry: as all of the host's own connections go, to that host alone.
struct RegistryDial {
    egress: Egress,
    policy: Policy,
}

impl RegistryDial {
    fn new(config: &config::Packages) -> Self {
        let (host, port) = config.registry.authority();
        let listed = host.parse().map(|host| NetworkTarget { host, ports: [port].into() });
        // A name that is none reaches nothing, and the connection says so.
        let reach = Reach::Listed(listed.into_iter().collect());
        let policy = Policy::new(reach, config.registry_address.iter().cloned().collect());
        Self { egress: Egress::system(), policy }
    }
}

impl Dial for RegistryDial {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<RegistryStream>> {
        Box::pin(async move {
            let host: HostName = host.parse().map_err(io::Error::other)?;
            let stream = self.egress.connect(&self.policy, &host, port).await.map_err(io::Error::other)?;
            Ok(Box::new(stream) as RegistryStream)
        })
    }
}
