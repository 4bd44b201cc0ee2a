//! From nothing to a jail, and in it a process that is the runner, with its sockets, where the plugin has code of its
//! own.

use std::io;
use std::sync::Arc;

use hayloft_sandbox::{Jail, JailError};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::codec::FramedRead;

use super::ending::end;
use super::{Birth, Origin};
use crate::channel::{self, ChannelWriter, FrameDecoder};
use crate::gate::{self, FolderListener, GateCaller, GateListener, OpenGate};
use crate::home::Home;
use crate::launch::{self, Code, Prepared};
use crate::logs::LogStream;
use crate::network::{NetworkSockets, OpenNetwork, Watcher};
use crate::sampler::{Sample, Subject};
use crate::{StartFailure, StartStage};

/// A process that runs, with everything that belongs to it.
pub(super) struct Process {
    pub(super) jail: Arc<Jail>,
    pub(super) home: Home,
    pub(super) gate: OpenGate,
    pub(super) _network: OpenNetwork,
    /// Absent when none of the plugin's own code runs.
    pub(super) runner: Option<Runner>,
}

/// The process that runs the plugin's code, and the way to speak with it.
pub(super) struct Runner {
    pub(super) process: Arc<hayloft_sandbox::Process>,
    pub(super) reader: FramedRead<OwnedReadHalf, FrameDecoder>,
    pub(super) writer: ChannelWriter,
    pub(super) logs: Vec<JoinHandle<()>>,
}

/// Makes the jail and starts the runner in it.
pub(super) async fn start(birth: &Birth) -> Result<Process, StartFailure> {
    let settings = &birth.shared.settings;
    let failure = |message: String, hint| StartFailure {
        stage: StartStage::Spawn,
        message,
        problems: Vec::new(),
        hint,
    };
    let refused = |error: JailError| failure(format!("{error}: {}", error.source), error.hint.clone());
    let prepared =
        launch::prepare(settings, &birth.routes, &birth.package, birth.compiled.as_ref(), birth.worker)
            .map_err(|error| failure(format!("prepare its folder and sockets: {error}"), None))?;
    let Prepared { spec, home, code, policy } = prepared;
    // In its folder before the folder is given away to the worker's user.
    let folder = (!launch::has_own_network(settings)).then(|| {
        let make = |name| FolderListener::make(home.path(), name);
        Ok::<_, io::Error>((make(gate::SOCKET)?, make(gate::NETWORK_SOCKET)?))
    });
    let mut jail = settings.sandbox.enter(spec).await.map_err(refused)?;
    let opened = async {
        let sockets = match (jail.take_gate().zip(jail.take_network()), folder) {
            (Some((gate, network)), _) => {
                GateListener::jail(gate).map(|gate| (gate, NetworkSockets::Jail(network)))
            }
            (None, Some(folder)) => folder.map(|(gate, network)| {
                let (gate, network) = (gate.of_jail(jail.pid()), network.of_jail(jail.pid()));
                (GateListener::Folder(gate), NetworkSockets::Folder(network))
            }),
            (None, None) => Err(io::Error::other("the jail has none")),
        };
        let (gate, network) = sockets.map_err(|error| failure(format!("open its gate: {error}"), None))?;
        let caller = GateCaller::new(birth.worker, birth.package.descriptor.id.clone(), &*settings.entropy);
        let watcher =
            Watcher { shared: Arc::clone(&birth.shared), log: birth.log.clone(), caller: caller.clone() };
        let network = OpenNetwork::new(network, policy, watcher);
        let activity = Some(Arc::clone(&birth.activity));
        let gate = OpenGate::new(gate, Arc::clone(&settings.gate), caller, settings.gates, activity);
        let Some(Code { channel, descriptors }) = code else { return Ok((gate, network, None)) };
        let command = launch::runner(settings, &birth.package, &jail, descriptors);
        Ok((gate, network, Some((jail.spawn(command).await.map_err(refused)?, channel))))
    };
    let (gate, network, code) = match opened.await {
        Ok(opened) => opened,
        Err(failure) => {
            end(birth.worker, &jail).await;
            return Err(failure);
        }
    };
    let pid = match &code {
        Some((process, _)) => process.pid(),
        None => Some(jail.pid()),
    };
    let (sample, sampled) = watch::channel(Sample::default());
    birth.facts.send_modify(|facts| {
        facts.pid = pid;
        facts.sample = Some(sampled);
    });
    let plugin = birth.package.descriptor.id.clone();
    let soft_memory = settings
        .sampling
        .soft_memory_of(&plugin)
        .filter(|_| birth.instance.is_some() || birth.origin == Origin::Pool);
    let (worker, meter, log) = (birth.worker, jail.meter(), birth.log.clone());
    // Without a sampler the host is about to end.
    let _ = birth.subjects.send(Subject { worker, plugin, meter, log, soft_memory, sample });
    let runner = code.map(|(process, channel)| follow(birth, process, channel));
    Ok(Process { jail: Arc::new(jail), home, gate, _network: network, runner })
}

/// Begins to read what the process writes and says.
fn follow(birth: &Birth, mut runner: hayloft_sandbox::Process, channel: UnixStream) -> Runner {
    let mut logs = Vec::new();
    if let Some(stdout) = runner.take_stdout() {
        logs.push(tokio::spawn(birth.log.clone().follow(LogStream::Stdout, stdout)));
    }
    if let Some(stderr) = runner.take_stderr() {
        logs.push(tokio::spawn(birth.log.clone().follow(LogStream::Stderr, stderr)));
    }
    let (reader, writer) = channel::open(channel);
    Runner { process: Arc::new(runner), reader, writer, logs }
}
