//! The MCP servers that a worker asks the host to connect.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use hayloft_model::{ServerId, WorkerState};
use hayloft_sandbox::{Exit, JailError, Process};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{ANSWERING, LAST_WORDS, ON, Step, Unit};
use crate::logs::{Level, LogStream};
use crate::protocol::{FailureReason, HostMessage, OpenServer, RegisterServer};
use crate::stdio::{self, Wish};
use crate::{McpTransport, Refusal, ServerHealth};

/// Messages of an in-process server that wait for its client, and the other way round.
const WAITING_MESSAGES: usize = 256;

/// An open server, or one that is being opened.
pub(super) struct Server {
    /// Tells a server from an earlier one of the same id.
    serial: u64,
    kind: Kind,
}

enum Kind {
    /// Inside the worker; its messages go here.
    InProcess(mpsc::Sender<Bytes>),
    /// A process, once it runs.
    Process(Option<Arc<Process>>),
}

/// What was waited for beside the unit's own work.
pub(super) enum ServerTask {
    /// A server's process was started.
    Spawned {
        request: u64,
        server: ServerId,
        serial: u64,
        within: Duration,
        result: Result<Process, JailError>,
    },
    /// The host connected a server, or could not.
    Opened { request: u64, server: ServerId, serial: u64, result: Result<(), OpenFailure> },
    /// A server's process ended.
    Exited { server: ServerId, serial: u64, exit: Exit },
    /// The host did what the worker asked for, or did not.
    Answered { request: u64, result: Result<Value, Refusal> },
    /// Something that was to end has ended.
    Done,
}

/// Why a server was not connected.
pub(super) struct OpenFailure {
    reason: FailureReason,
    message: String,
}

impl Unit {
    pub(super) fn open_server(&mut self, request: u64, wanted: OpenServer) -> Step {
        if self.life.state() != WorkerState::Bound {
            return self.refuse(
                request,
                FailureReason::Refused,
                "an MCP server can be started once `onStart` runs",
            );
        }
        let server: ServerId = match wanted.id().parse() {
            Ok(server) => server,
            Err(error) => return self.refuse(request, FailureReason::Configuration, format!("{error}")),
        };
        if self.servers.contains_key(&server) || self.kept.contains_key(&server) {
            let message = format!("the MCP server `{server}` is open already");
            return self.refuse(request, FailureReason::Refused, message);
        }
        let limit = self.shared.settings.resources.mcp_servers;
        if self.servers.len() + self.kept.len() + self.elsewhere.len() >= limit {
            let message = format!("a plugin can have at most {limit} MCP servers open");
            return self.refuse(request, FailureReason::Refused, message);
        }
        if self.answering >= ANSWERING {
            return self.failed("it has too many requests open");
        }
        let within = self.shared.settings.deadlines.open_mcp;
        match wanted {
            OpenServer::InProcess { .. } => {
                let serial = self.add_server(&server);
                self.open_in_process(request, server, serial, within);
                ON
            }
            OpenServer::Stdio { command, args, cwd, env, timeout_ms, .. } => {
                let within = timeout_ms.map_or(within, Duration::from_millis);
                let wish = Wish { command, arguments: args, folder: cwd, environment: env };
                self.open_process(request, server, within, wish)
            }
            // The host reaches it by itself, whether or not this worker runs, so there is nothing to keep here but that it
            // was said.
            OpenServer::External { id, url, headers } => {
                self.elsewhere.entry(server).or_insert(Some(request));
                let (transports, auth, tools) = (Vec::new(), None, Vec::new());
                let wanted = RegisterServer::Remote { id, url, transports, headers, auth, tools };
                self.register_server(request, wanted)
            }
        }
    }

    fn add_server(&mut self, server: &ServerId) -> u64 {
        self.next_serial += 1;
        self.servers.insert(server.clone(), Server { serial: self.next_serial, kind: Kind::Process(None) });
        self.show_servers();
        self.next_serial
    }

    fn open_in_process(&mut self, request: u64, server: ServerId, serial: u64, within: Duration) {
        let (to_server, messages) = mpsc::channel(WAITING_MESSAGES);
        let (to_client, from_server) = mpsc::channel(WAITING_MESSAGES);
        if let Some(runner) = &self.process.runner {
            runner.writer.add_server(&server, messages);
        }
        if let Some(entry) = self.servers.get_mut(&server) {
            entry.kind = Kind::InProcess(to_client);
        }
        let transport = McpTransport::Channel { to_server, from_server };
        self.connect(request, server, serial, within, transport, None);
    }

    fn open_process(&mut self, request: u64, server: ServerId, within: Duration, wish: Wish) -> Step {
        let (root, jail) = (&self.package.root, Arc::clone(&self.process.jail));
        let home = (jail.home(), self.process.home.path());
        let command = match stdio::command(&self.shared.settings, root, home, wish) {
            Ok(command) => command,
            Err(error) => {
                let message = format!("failed to start the MCP server `{server}`: {error}");
                return self.refuse(request, FailureReason::Configuration, message);
            }
        };
        let serial = self.add_server(&server);
        self.answering += 1;
        self.tasks.push(
            async move {
                let result = jail.spawn(command).await;
                ServerTask::Spawned { request, server, serial, within, result }
            }
            .boxed(),
        );
        ON
    }

    fn connect(
        &mut self,
        request: u64,
        server: ServerId,
        serial: u64,
        within: Duration,
        transport: McpTransport,
        process: Option<Arc<Process>>,
    ) {
        let Some((_, notices)) = &self.instance else { return };
        let answer = notices.open(self.worker, server.clone(), transport);
        self.answering += 1;
        self.tasks.push(
            async move {
                let result = connected(answer, within, process).await;
                ServerTask::Opened { request, server, serial, result }
            }
            .boxed(),
        );
    }

    pub(super) fn after_task(&mut self, task: ServerTask) -> Step {
        match task {
            ServerTask::Spawned { request, server, serial, within, result } => {
                self.answering -= 1;
                match result {
                    Ok(process) => self.on_spawned(request, server, serial, within, process),
                    Err(error) => {
                        self.close_server(&server, serial);
                        let message =
                            format!("failed to start the MCP server `{server}`: {error}: {}", error.source);
                        self.refuse(request, FailureReason::Configuration, message)
                    }
                }
            }
            ServerTask::Opened { request, server, serial, result } => {
                self.answering -= 1;
                match result {
                    Ok(()) => self.send(&HostMessage::Result { id: request, value: json!({}) }),
                    Err(OpenFailure { reason, message }) => {
                        self.close_server(&server, serial);
                        let message = format!("failed to connect the MCP server `{server}`: {message}");
                        self.refuse(request, reason, message)
                    }
                }
            }
            ServerTask::Exited { server, serial, exit } => {
                if self.close_server(&server, serial) {
                    self.log.host(Level::Warn, format!("the MCP server `{server}` ended with {exit}"));
                }
                ON
            }
            ServerTask::Answered { request, result } => self.answered(request, result),
            ServerTask::Done => ON,
        }
    }

    fn on_spawned(
        &mut self,
        request: u64,
        server: ServerId,
        serial: u64,
        within: Duration,
        mut process: Process,
    ) -> Step {
        let streams = (process.take_stdin(), process.take_stdout(), process.take_stderr());
        let (Some(entry), (Some(stdin), Some(stdout), Some(stderr))) =
            (self.servers.get_mut(&server), streams)
        else {
            // It was closed while it started; dropping the process ends it.
            return self.refuse(
                request,
                FailureReason::Refused,
                format!("the MCP server `{server}` was closed"),
            );
        };
        if entry.serial != serial {
            return self.refuse(
                request,
                FailureReason::Refused,
                format!("the MCP server `{server}` was replaced"),
            );
        }
        let process = Arc::new(process);
        entry.kind = Kind::Process(Some(Arc::clone(&process)));
        tokio::spawn(self.log.clone().follow(LogStream::Server, stderr));
        self.tasks.push({
            let (server, process) = (server.clone(), Arc::clone(&process));
            async move {
                let exit = process.wait().await;
                ServerTask::Exited { server, serial, exit }
            }
            .boxed()
        });
        let transport = McpTransport::Stdio { stdin: Box::new(stdin), stdout: Box::new(stdout) };
        self.connect(request, server, serial, within, transport, Some(process));
        ON
    }

    pub(super) fn close_on_request(&mut self, request: u64, server: &str) -> Step {
        let named = server.parse::<ServerId>().ok();
        if let Some(server) = named.clone().filter(|named| self.elsewhere.remove(named).is_some()) {
            return self.withdraw_server(request, server);
        }
        let known = named.and_then(|id| Some((self.servers.get(&id)?.serial, id)));
        match known {
            Some((serial, server)) => {
                self.close_server(&server, serial);
                self.send(&HostMessage::Result { id: request, value: json!({}) })
            }
            None => {
                let shown: String = server.chars().take(80).collect();
                self.refuse(request, FailureReason::Refused, format!("there is no MCP server `{shown}`"))
            }
        }
    }

    /// Ends a server. Gives whether it was there.
    fn close_server(&mut self, server: &ServerId, serial: u64) -> bool {
        if self.servers.get(server).is_none_or(|open| open.serial != serial) {
            return false;
        }
        let Some(Server { kind, .. }) = self.servers.remove(server) else { return false };
        if let Kind::Process(Some(process)) = kind {
            self.tasks.push(
                async move {
                    process.kill().await;
                    ServerTask::Done
                }
                .boxed(),
            );
        }
        if let Some((_, notices)) = &self.instance {
            notices.close(self.worker, server.clone());
        }
        self.show_servers();
        true
    }

    /// Closes all servers at the end of the worker. Their processes end with the jail.
    pub(super) fn take_servers(&mut self) {
        for (server, _) in std::mem::take(&mut self.servers) {
            if let Some((_, notices)) = &self.instance {
                notices.close(self.worker, server);
            }
        }
        self.show_servers();
    }

    /// Hands a message to its server's client. One of a server that is closed has nobody to go to.
    pub(super) fn deliver(&mut self, server: &str, message: Bytes) {
        let open = server.parse::<ServerId>().ok().and_then(|server| self.servers.get(&server));
        let Some(Server { kind: Kind::InProcess(client), .. }) = open else {
            self.charge();
            return;
        };
        match client.try_send(message) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(message)) => {
                self.blocked = Some((client.clone(), message));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => self.charge(),
        }
    }

    pub(super) fn deliver_blocked(&mut self) {
        if let Some((client, message)) = self.blocked.take()
            && let Err(mpsc::error::TrySendError::Full(message)) = client.try_send(message)
        {
            self.blocked = Some((client, message));
        }
    }

    pub(super) fn show_servers(&self) {
        let kept: BTreeMap<_, _> =
            self.kept.iter().map(|(id, kept)| (id.clone(), kept.health.clone())).collect();
        let ready = kept.iter().filter(|(_, health)| **health == ServerHealth::Ready).map(|(id, _)| id);
        let mut servers: Vec<_> = self.servers.keys().chain(ready).cloned().collect();
        servers.sort();
        let secrets_in_environment = self.kept.values().any(|kept| kept.has_secrets);
        self.facts.send_modify(|facts| {
            facts.servers = servers;
            facts.kept = kept;
            facts.secrets_in_environment = secrets_in_environment;
        });
    }
}

/// The host's answer, or what happened instead.
async fn connected(
    answer: oneshot::Receiver<Result<(), String>>,
    within: Duration,
    process: Option<Arc<Process>>,
) -> Result<(), OpenFailure> {
    let thrown = |message: String| OpenFailure { reason: FailureReason::Thrown, message };
    let message = match timeout(within, answer).await {
        Ok(Ok(Ok(()))) => return Ok(()),
        Ok(Ok(Err(message))) => message,
        Ok(Err(_)) => String::from("it was closed"),
        Err(_) => {
            let message = format!("it did not answer within {:.1} s", within.as_secs_f64());
            return Err(OpenFailure { reason: FailureReason::Timeout, message });
        }
    };
    // That a process ended explains more than that its pipe did.
    if let Some(process) = process
        && let Ok(exit) = timeout(LAST_WORDS, process.wait()).await
    {
        return Err(thrown(format!("its process ended with {exit}; the plugin's log has what it wrote")));
    }
    Err(thrown(message))
}
