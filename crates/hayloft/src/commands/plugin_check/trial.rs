//! A plugin is made ready and started, jailed and for no organization, to see what it registers.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use hayloft_manifest::registration;
use hayloft_model::plugin::{FastStart, Package, Runtime};
use hayloft_model::{PluginDescriptor, Problem, Problems, Registration};
use hayloft_packages::{InstallError, InstallEvent, Packages};

use super::differences;
use crate::config::Config;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::wire::{self, Ports, Trial};
use crate::{isolation, runtime_files};

/// What calls get that are in flight when the trial ends. There are none.
const DRAIN: Duration = Duration::ZERO;

/// What came of it.
pub(super) struct Tried {
    /// What it registered, if it could be asked.
    pub(super) registration: Option<Registration>,
    /// What is wrong with that, and where it differs from what was declared.
    pub(super) problems: Problems,
}

impl Tried {
    fn failed(problems: Problems) -> Self {
        Self { registration: None, problems }
    }
}

/// Tries a plugin. Nothing of it is left afterwards.
///
/// # Errors
/// When this machine cannot do it.
pub(super) async fn run(
    config: &Config,
    environment: &HashMap<String, String>,
    folder: &Path,
    descriptor: &PluginDescriptor,
) -> Result<Tried, Failure> {
    let executable = std::env::current_exe()
        .map_err(|error| Failure::caused("failed to find this program's own file", &error))?;
    let runtime = runtime_files::find(&config.runtime, &executable, environment)?;
    let stage = runtime_files::stage(&executable)?;
    let scratch =
        tempfile::tempdir().map_err(|error| Failure::caused("failed to make a folder to work in", &error))?;
    let owner = format!("check-{}", std::process::id());
    let sandbox = wire::sandbox(config, vec![runtime.node.clone()], stage, owner).await?;
    isolation::demand(sandbox.isolation(), config.runtime.isolation)?;
    let root = folder
        .canonicalize()
        .map_err(|error| Failure::caused(format!("failed to open `{}`", folder.display()), &error))?;
    let content_hash = hayloft_manifest::content_hash(&root)
        .map_err(|error| Failure::caused(format!("failed to read `{}`", folder.display()), &error))?;
    let package = Package { root, content_hash, descriptor: descriptor.clone(), start: FastStart::default() };
    // How fast it starts is not the question.
    let toolchain = runtime_files::toolchain(config, &runtime, None, &executable, environment);
    let trial = wire::trial(config, scratch.path(), runtime, toolchain, sandbox, &Ports::default())?;
    let tried = ask(&trial, &package, environment).await;
    trial.workers.shutdown(DRAIN).await;
    wire::leave(scratch.path());
    Ok(tried)
}

async fn ask(
    Trial { packages, workers }: &Trial,
    package: &Package,
    environment: &HashMap<String, String>,
) -> Tried {
    let ready = match install(packages, package, environment).await {
        Ok(ready) => ready,
        Err(InstallError::Refused { problems, .. } | InstallError::Unavailable { problems, .. }) => {
            return Tried::failed(problems);
        }
        Err(error @ (InstallError::CalledOff | InstallError::Host { .. })) => {
            return Tried::failed(Problem::error("package", error.to_string()).into());
        }
    };
    // Where none of the plugin's own code runs, its folder has said everything.
    if ready.descriptor.runtime == Runtime::Servers {
        let registration = Some(ready.descriptor.declared.clone());
        return Tried { registration, problems: packages.warnings(package) };
    }
    match workers.probe(&ready).await {
        Ok(raw) => {
            let (registration, mut problems) = registration::read(&raw, &ready.descriptor);
            problems.extend(differences::of(&ready.descriptor, &registration));
            problems.extend(packages.warnings(package));
            Tried { registration: Some(registration), problems }
        }
        Err(error) => Tried::failed(Problem::error("plugin", format!("failed to {error}")).into()),
    }
}

/// Makes the package ready, and tells on standard error how that goes.
async fn install(
    packages: &Packages,
    package: &Package,
    environment: &HashMap<String, String>,
) -> Result<Package, InstallError> {
    let progress = Progress::of_steps("making it ready", environment);
    let mut events = Box::pin(packages.follow(package.clone(), None));
    let told = async {
        while let Some((_, event)) = events.next().await {
            match event {
                InstallEvent::Step { step, steps, percent, title } => {
                    progress.step(step as u64, steps as u64, percent as u64, &title);
                }
                InstallEvent::Line { text } => progress.line(&text),
                InstallEvent::Done {} | InstallEvent::Failed { .. } => {}
            }
        }
    };
    let (outcome, ()) = tokio::join!(packages.install(package), told);
    progress.end();
    outcome
}
