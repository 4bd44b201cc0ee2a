//! From a plugin's descriptor to a process: what is passed, what is said first.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hayloft_model::WorkerId;
use hayloft_model::plugin::{self, Package};
use hayloft_sandbox::{Limits, Spec, Stdio};
use tokio::net::UnixStream;

use crate::channel;
use crate::environment;
use crate::http::RouteListener;
use crate::protocol::{HookDeadlines, HostMessage, Load, LoadedPlugin, VERSION};
use crate::settings::{Deadlines, Resources, Settings};

/// Everything that is ready before the process exists.
pub(crate) struct Prepared {
    pub(crate) spec: Spec,
    pub(crate) channel: UnixStream,
    pub(crate) home: Home,
}

/// A worker's own folder. It goes with the worker.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
}

impl Home {
    fn make(scratch: &Path, worker: WorkerId) -> io::Result<Self> {
        let path = scratch.join(worker.to_string());
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes the folder, which is large when the worker wrote much.
    pub(crate) async fn remove(self) {
        // Dropping it does the work, off the threads that others wait for.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "failed to remove a worker's folder");
        }
    }
}

/// Empties the folder of all homes: what is in it belongs to workers of an earlier host.
pub(crate) fn clear(scratch: &Path) -> io::Result<()> {
    for entry in fs::read_dir(scratch)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Lays out a worker: its folder, its sockets with the first message written, its specification.
pub(crate) fn prepare(
    settings: &Settings,
    routes: &RouteListener,
    package: &Package,
    worker: WorkerId,
) -> io::Result<Prepared> {
    let home = Home::make(&settings.scratch, worker)?;
    let listener = routes.bind(home.path())?;
    let load = HostMessage::Load(load(&settings.deadlines, package, worker)?);
    let (channel, worker_end) = channel::pair(&load)?;
    let node = &settings.runtime.node;
    let mut environment = environment::base(node, home.path());
    environment.push(("NODE_ENV".into(), "production".into()));
    environment.push(("HAY_PLUGIN_ID".into(), package.descriptor.id.as_str().into()));
    let spec = Spec {
        program: node.clone(),
        arguments: vec![
            format!("--max-old-space-size={}", settings.resources.old_space_mib).into(),
            settings.runtime.runner.clone().into_os_string(),
        ],
        working_directory: package.root.clone(),
        environment,
        marker: marker(settings, worker),
        descriptors: vec![(worker_end, 3), (listener, 4)],
        stdin: Stdio::Null,
        stdout: Stdio::Piped,
        stderr: Stdio::Piped,
        limits: limits(&settings.resources),
        label: format!("a worker of `{}`", package.descriptor.id),
    };
    Ok(Prepared { spec, channel, home })
}

/// The marker of a worker and, continued, of what it starts.
pub(crate) fn marker(settings: &Settings, worker: WorkerId) -> String {
    format!("{}/{worker}", settings.instance_marker)
}

pub(crate) fn limits(resources: &Resources) -> Limits {
    Limits {
        open_files: Some(resources.open_files),
        file_size: Some(resources.file_size),
        data_segment: Some(resources.data_segment),
        // Without a user of its own a worker would be counted together with everything of the host's user.
        tasks: None,
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn load(deadlines: &Deadlines, package: &Package, worker: WorkerId) -> io::Result<Load> {
    let descriptor = &package.descriptor;
    let entry = match &descriptor.runtime {
        plugin::Runtime::Node { entry } | plugin::Runtime::Isolate { entry, .. } => entry,
        plugin::Runtime::Servers => {
            let message = "this version cannot start plugins that are only MCP servers";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
    };
    Ok(Load {
        protocol: VERSION,
        worker_id: worker.to_string(),
        plugin: LoadedPlugin {
            id: descriptor.id.to_string(),
            root: text(package.root.clone())?,
            entry: text(entry.clone())?,
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
    })
}

fn text(path: PathBuf) -> io::Result<String> {
    let unreadable = |path: OsString| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("the path `{}` is not UTF-8", path.display()))
    };
    path.into_os_string().into_string().map_err(unreadable)
}
