//! From a plugin's descriptor to a process: what is passed, what is said first.

use std::ffi::OsString;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hayloft_egress::Policy;
use hayloft_model::WorkerId;
use hayloft_model::plugin::{self, Package};
use hayloft_sandbox::{Command, Jail, JailSpec, Stdio, Temporary, Tier};
use tokio::net::UnixStream;

use crate::channel;
use crate::compiled;
use crate::environment;
use crate::gate;
use crate::home::Home;
use crate::http::RouteListener;
use crate::protocol::{HookDeadlines, HostMessage, Load, LoadedPlugin, VERSION};
use crate::settings::{Deadlines, ProvidedPackage, Settings};

/// Everything that is ready before the jail exists.
pub(crate) struct Prepared {
    pub(crate) spec: JailSpec,
    pub(crate) home: Home,
    /// Absent when none of the plugin's own code runs.
    pub(crate) code: Option<Code>,
    /// What it may reach.
    pub(crate) policy: Policy,
}

/// The way to the process that runs the plugin's code.
pub(crate) struct Code {
    pub(crate) channel: UnixStream,
    /// What the process gets.
    pub(crate) descriptors: Vec<(OwnedFd, RawFd)>,
}

/// Lays out a worker: its folder, its sockets with the first message written, its jail.
pub(crate) fn prepare(
    settings: &Settings,
    routes: &RouteListener,
    package: &Package,
    compiled: Option<&OwnedFd>,
    worker: WorkerId,
) -> io::Result<Prepared> {
    let home = Home::make(&settings.scratch, worker)?;
    let runtime = &settings.runtime;
    // A jail without a network of its own reaches the gate by a socket in its folder.
    let gate = (!has_own_network(settings)).then(|| gate::socket(home.path()));
    let code = match &package.descriptor.runtime {
        plugin::Runtime::Node { entry } | plugin::Runtime::Isolate { entry, .. } => {
            let listener = routes.bind(home.path())?;
            let mut load = load(&settings.deadlines, package, entry, worker, gate.as_deref())?;
            load.compiled = compiled.map(|_| compiled::DESCRIPTOR);
            let (channel, worker_end) = channel::pair(&HostMessage::Load(load))?;
            let mut descriptors = vec![(worker_end, 3), (listener, 4)];
            if let Some(compiled) = compiled {
                descriptors.push((compiled.try_clone()?, compiled::DESCRIPTOR));
            }
            Some(Code { channel, descriptors })
        }
        plugin::Runtime::Servers => None,
    };
    let mut paths = vec![package.root.clone(), runtime.runner.clone()];
    paths.extend(Some(gate::preload(&runtime.runner)).filter(|preload| preload.exists()));
    paths.extend(runtime.packages.iter().map(|package| package.path.clone()));
    // What runs isolates is an install of its own beside the runner, which only their workers need.
    if matches!(package.descriptor.runtime, plugin::Runtime::Isolate { .. }) {
        let installed = runtime.runner.with_file_name("node_modules");
        paths.extend(Some(installed).filter(|installed| installed.exists()));
    }
    // It is no more than faster, so what is gone is not missed.
    paths.extend(package.start.compiled.clone().filter(|compiled| compiled.exists()));
    let policy = settings.network.policy_of(&package.descriptor);
    let spec = JailSpec {
        label: format!("a worker of `{}`", package.descriptor.id),
        name: worker.to_string(),
        paths,
        // Node looks for packages in all folders above the plugin's, and this is above all of them.
        links: runtime.packages.iter().map(link).collect(),
        home: home.path().to_owned(),
        ports: policy.ports().into_iter().collect(),
        limits: settings.resources_of(&package.descriptor).of_jail(),
        temporary: Temporary::Data,
    };
    Ok(Prepared { spec, home, code, policy })
}

fn link(package: &ProvidedPackage) -> (PathBuf, PathBuf) {
    (Path::new("/node_modules").join(&package.name), package.path.clone())
}

/// The worker's process.
pub(crate) fn runner(
    settings: &Settings,
    package: &Package,
    jail: &Jail,
    descriptors: Vec<(OwnedFd, RawFd)>,
) -> Command {
    let node = &settings.runtime.node;
    let resources = settings.resources_of(&package.descriptor);
    let mut environment = environment::base(node, jail.home());
    environment.push(("NODE_ENV".into(), "production".into()));
    environment.push(("HAY_PLUGIN_ID".into(), package.descriptor.id.as_str().into()));
    let collects = descriptors.iter().any(|(_, number)| *number == compiled::DESCRIPTOR);
    // Node makes the folder, and says nothing when it cannot.
    let compiled = match &package.start.compiled {
        Some(compiled) if !collects => Some(compiled.clone()),
        _ => collects.then(|| jail.home().join(compiled::FOLDER)),
    };
    environment.extend(compiled.map(|folder| (compiled::VARIABLE.into(), folder.into_os_string())));
    Command {
        program: node.clone(),
        arguments: vec![
            format!("--max-old-space-size={}", resources.old_space_mib).into(),
            settings.runtime.runner.clone().into_os_string(),
        ],
        working_directory: package.root.clone(),
        environment,
        descriptors,
        stdin: Stdio::Null,
        stdout: Stdio::Piped,
        stderr: Stdio::Piped,
        label: format!("a worker of `{}`", package.descriptor.id),
    }
}

/// Whether a jail has a network of its own.
pub(crate) fn has_own_network(settings: &Settings) -> bool {
    matches!(settings.sandbox.isolation().tier, Tier::A | Tier::B)
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn load(
    deadlines: &Deadlines,
    package: &Package,
    entry: &Path,
    worker: WorkerId,
    gate: Option<&Path>,
) -> io::Result<Load> {
    let descriptor = &package.descriptor;
    let bundle = package.start.bundle.as_deref();
    Ok(Load {
        protocol: VERSION,
        worker_id: worker.to_string(),
        plugin: LoadedPlugin {
            id: descriptor.id.to_string(),
            root: text(package.root.clone())?,
            entry: text(bundle.unwrap_or(entry).to_owned())?,
            bundled: bundle.is_some(),
            format: descriptor.format.to_string(),
            env: descriptor.env.clone(),
            capabilities: descriptor.capabilities.iter().map(ToString::to_string).collect(),
        },
        deadlines: HookDeadlines {
            on_initialize: milliseconds(deadlines.on_initialize),
            on_start: milliseconds(deadlines.on_start),
            on_validate_auth: milliseconds(deadlines.on_validate_auth),
            on_config_update: milliseconds(deadlines.on_config_update),
            on_disable: milliseconds(deadlines.on_disable),
        },
        gate: gate.map(|gate| text(gate.to_owned())).transpose()?,
        compiled: None,
    })
}

fn text(path: PathBuf) -> io::Result<String> {
    let unreadable = |path: OsString| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("the path `{}` is not UTF-8", path.display()))
    };
    path.into_os_string().into_string().map_err(unreadable)
}
