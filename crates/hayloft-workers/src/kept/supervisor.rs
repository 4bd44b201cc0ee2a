//! Keeps one server up: a task that owns its process and its health.
//!
//! A server is reached by the first of its transports that leads to an answer. Over its standard streams and over a port
//! it is a process of its own each time, since what it writes to standard output is messages in one case and lines for
//! the log in the other.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hayloft_model::plugin::McpTransport as Kind;
use hayloft_model::{ServerId, WorkerId};
use hayloft_sandbox::{Exit, Jail, Process, Signal};
use tokio::io::AsyncRead;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{JailConnector, KeptServer, ServerHealth};
use crate::McpTransport;
use crate::backoff::Backoff;
use crate::dispatcher::Shared;
use crate::logs::{Level, LogStream, WorkerLog};
use crate::notices::Inlet;
use crate::stdio::{self, Wish};

/// The variables that tell a server its port.
const PORT_VARIABLES: [&str; 2] = ["PORT", "MCP_PORT"];

/// Between two looks at whether a server listens: the first pause and the longest. Nothing tells from outside when a
/// process begins to listen, and a refused connection inside one machine costs some microseconds.
const LOOKS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// A server that listens on its port and still says nothing on its standard output does not speak there.
const SILENCE: Duration = Duration::from_secs(2);

/// That a process ended explains more than that its pipe did, so the news of it is waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A server as its unit knows it.
pub(crate) struct Kept {
    /// Tells a server from an earlier one of the same id.
    pub(crate) serial: u64,
    pub(crate) port: u16,
    pub(crate) health: ServerHealth,
    /// Whether its environment holds what the organization gave.
    pub(crate) has_secrets: bool,
    /// Its session is over although its process runs.
    pub(crate) revive: Arc<Notify>,
    /// Ends it in order.
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

/// What a supervisor tells its unit.
pub(crate) struct News {
    pub(crate) server: ServerId,
    pub(crate) serial: u64,
    /// Absent when it has ended as it was told to.
    pub(crate) health: Option<ServerHealth>,
}

/// Looks after one server.
pub(crate) struct Supervisor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: WorkerId,
    pub(crate) notices: Inlet,
    pub(crate) jail: Arc<Jail>,
    pub(crate) root: PathBuf,
    /// The worker's folder, on the host.
    pub(crate) home: PathBuf,
    pub(crate) log: WorkerLog,
    pub(crate) server: KeptServer,
    pub(crate) serial: u64,
    pub(crate) port: u16,
    pub(crate) news: mpsc::UnboundedSender<News>,
}

/// What came of one process.
enum Attempt {
    /// It was told to end.
    Stopped,
    /// It never answered.
    Unreached(String),
    /// It answered, and then ended.
    Ended(String),
}

/// One way to reach a server.
#[derive(Clone, PartialEq, Eq)]
enum Way {
    Streams,
    Port(Vec<Kind>),
}

impl Supervisor {
    /// Begins to keep the server up.
    pub(crate) fn start(self) -> Kept {
        let (revive, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        Kept {
            serial: self.serial,
            port: self.port,
            health: ServerHealth::Starting,
            has_secrets: !self.server.environment.is_empty(),
            task: tokio::spawn(self.run(Arc::clone(&revive), stop.clone())),
            revive,
            stop,
        }
    }

    /// The port that the server listens on if it listens at all: the one that its own command names, or the given one.
    pub(crate) fn port_of(server: &KeptServer, allotted: u16) -> u16 {
        let named = |name: &&str| server.command.environment.get(*name)?.parse().ok();
        PORT_VARIABLES.iter().find_map(named).unwrap_or(allotted)
    }

    async fn run(self, revive: Arc<Notify>, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        let mut ways = ways(&self.server.transports);
        loop {
            self.tell(Some(ServerHealth::Starting));
            let begun = Instant::now();
            let error = match self.serve(&mut ways, &revive, &stop).await {
                Attempt::Stopped => break,
                Attempt::Unreached(error) | Attempt::Ended(error) => self.log.masked(&error),
            };
            let pause = backoff.crashed(begun.elapsed(), &*self.shared.settings.entropy);
            let id = &self.server.id;
            metrics::counter!("hayloft_mcp_server_failures_total").increment(1);
            let message =
                format!("the MCP server `{id}` is down: {error}; next start in {:.1} s", pause.as_secs_f64());
            self.log.host(Level::Warn, message);
            if pause.is_zero() {
                continue;
            }
            self.tell(Some(ServerHealth::Down { error, until: Instant::now() + pause }));
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => break,
            }
        }
        self.tell(None);
    }

    fn tell(&self, health: Option<ServerHealth>) {
        // A unit that is gone has no use for news.
        let _ = self.news.send(News { server: self.server.id.clone(), serial: self.serial, health });
    }

    /// Runs the server until it is down. The way that led to it is the first one the next time.
    async fn serve(&self, ways: &mut [Way], revive: &Notify, stop: &CancellationToken) -> Attempt {
        let mut failures = Vec::new();
        for index in 0..ways.len() {
            let Some(way) = ways.get(index) else { break };
            let attempt = match way {
                Way::Streams => self.over_streams(ways.len() > 1, revive, stop).await,
                Way::Port(kinds) => self.over_port(kinds, revive, stop).await,
            };
            match attempt {
                Attempt::Stopped => return Attempt::Stopped,
                Attempt::Ended(why) => {
                    ways.swap(0, index);
                    return Attempt::Ended(why);
                }
                Attempt::Unreached(why) => failures.push(why),
            }
        }
        Attempt::Unreached(failures.join("; "))
    }

    async fn over_streams(&self, others: bool, revive: &Notify, stop: &CancellationToken) -> Attempt {
        let mut process = match self.spawn().await {
            Ok(process) => process,
            Err(error) => return Attempt::Unreached(error),
        };
        self.follow(process.take_stderr());
        let (Some(stdin), Some(stdout)) = (process.take_stdin(), process.take_stdout()) else {
            return Attempt::Unreached(String::from("it has no standard streams"));
        };
        let transport = McpTransport::Stdio { stdin: Box::new(stdin), stdout: Box::new(stdout) };
        let silent = async {
            match self.listens().await {
                Ok(()) if others => sleep(SILENCE).await,
                Ok(()) | Err(_) => futures::future::pending().await,
            }
        };
        let session = tokio::select! {
            opened = self.open(&process, transport) => opened,
            () = silent, if others => Err(String::from("it listens on a port and says nothing on its standard output")),
            () = stop.cancelled() => return Attempt::Stopped,
        };
        match session {
            Ok(session) => self.hold(process, session, revive, stop).await,
            Err(error) => {
                process.kill().await;
                Attempt::Unreached(format!("over stdio: {error}"))
            }
        }
    }

    async fn over_port(&self, kinds: &[Kind], revive: &Notify, stop: &CancellationToken) -> Attempt {
        if !self.jail.tier().has_namespaces() {
            let names: Vec<_> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
            return Attempt::Unreached(format!(
                "over {}: a server can only be reached on a port where jails have a network of their own, and those of \
                 tier {} have none; only `stdio` works on this machine",
                names.join(", "),
                self.jail.tier()
            ));
        }
        let mut process = match self.spawn().await {
            Ok(process) => process,
            Err(error) => return Attempt::Unreached(error),
        };
        self.follow(process.take_stdout());
        self.follow(process.take_stderr());
        let within = self.shared.settings.deadlines.open_mcp;
        let mut failures = Vec::new();
        let listens = tokio::select! {
            listens = timeout(within, self.listens()) => match listens {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("it did not listen within {:.1} s", within.as_secs_f64())),
            },
            exit = process.wait() => Err(ended(exit)),
            () = stop.cancelled() => return Attempt::Stopped,
        };
        if let Err(error) = listens {
            process.kill().await;
            return Attempt::Unreached(format!("on port {}: {error}", self.port));
        }
        for &kind in kinds {
            let connector = JailConnector::new(Arc::downgrade(&self.jail), self.port);
            let session = tokio::select! {
                opened = self.open(&process, McpTransport::Network { kind, connector }) => opened,
                () = stop.cancelled() => return Attempt::Stopped,
            };
            match session {
                Ok(session) => return self.hold(process, session, revive, stop).await,
                Err(error) => failures.push(format!("over {kind}: {error}")),
            }
        }
        process.kill().await;
        Attempt::Unreached(failures.join("; "))
    }

    /// A process of the server.
    async fn spawn(&self) -> Result<Process, String> {
        let KeptServer { command, transports, environment, .. } = &self.server;
        let mut variables: indexmap::IndexMap<String, String> =
            environment.iter().map(|(name, value)| (name.clone(), value.expose().clone())).collect();
        variables.extend(command.environment.clone());
        if transports.iter().any(|kind| *kind != Kind::Stdio) {
            let port = self.port.to_string();
            variables.extend(PORT_VARIABLES.map(|name| (name.to_owned(), port.clone())));
        }
        let folder = command.folder.to_str().ok_or("its folder's name is not UTF-8")?;
        let wish = Wish {
            command: command.program.clone(),
            arguments: command.arguments.clone(),
            folder: folder.to_owned(),
            environment: variables,
        };
        let home = (self.jail.home(), self.home.as_path());
        let command = stdio::command(&self.shared.settings, &self.root, home, wish)
            .map_err(|refused| refused.to_string())?;
        self.jail.spawn(command).await.map_err(|error| {
            let hint = error.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("failed to {error}: {}{hint}", error.source)
        })
    }

    fn follow(&self, stream: Option<impl AsyncRead + Unpin + Send + 'static>) {
        if let Some(stream) = stream {
            tokio::spawn(self.log.clone().follow(LogStream::Server, stream));
        }
    }

    /// Waits until something listens on the server's port.
    async fn listens(&self) -> io::Result<()> {
        let mut pause = LOOKS.0;
        loop {
            match self.jail.connect(self.port).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOKS.1);
        }
    }

    /// Has the host open a session. Dropping what it gives closes it.
    async fn open(&self, process: &Process, transport: McpTransport) -> Result<Session, String> {
        let within = self.shared.settings.deadlines.open_mcp;
        let (session, answer) = Session::open(self, transport);
        let message = tokio::select! {
            answer = timeout(within, answer) => match answer {
                Ok(Ok(Ok(()))) => return Ok(session),
                Ok(Ok(Err(message))) => message,
                Ok(Err(_)) => String::from("it was closed"),
                Err(_) => return Err(format!("it did not answer within {:.1} s", within.as_secs_f64())),
            },
            exit = process.wait() => return Err(ended(exit)),
        };
        Err(timeout(LAST_WORDS, process.wait()).await.map_or(message, ended))
    }

    /// Waits while the server answers.
    async fn hold(
        &self,
        process: Process,
        session: Session,
        revive: &Notify,
        stop: &CancellationToken,
    ) -> Attempt {
        // What was said of an earlier session is not about this one.
        let _ = revive.notified().now_or_never();
        self.tell(Some(ServerHealth::Ready));
        let why = tokio::select! {
            exit = process.wait() => ended(exit),
            () = revive.notified() => String::from("its session ended although its process ran"),
            () = stop.cancelled() => {
                // The end of its input is how a server is told to end; a signal is for those that do not read.
                drop(session);
                // One that has just ended needs none.
                let _ = process.signal(Signal::Terminate);
                process.wait().await;
                return Attempt::Stopped;
            }
        };
        drop(session);
        process.kill().await;
        Attempt::Ended(why)
    }
}

/// A session that the host has with the server.
struct Session {
    notices: Inlet,
    worker: WorkerId,
    server: ServerId,
}

impl Session {
    fn open(
        supervisor: &Supervisor,
        transport: McpTransport,
    ) -> (Self, oneshot::Receiver<Result<(), String>>) {
        let Supervisor { notices, worker, server, .. } = supervisor;
        let answer = notices.open(*worker, server.id.clone(), transport);
        (Self { notices: notices.clone(), worker: *worker, server: server.id.clone() }, answer)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.notices.close(self.worker, self.server.clone());
    }
}

fn ended(exit: Exit) -> String {
    format!("its process ended with {exit}; the plugin's log has what it wrote")
}

/// The ways to reach a server that speaks over these, in the order in which they are tried.
fn ways(transports: &[Kind]) -> Vec<Way> {
    let ports: Vec<Kind> = transports.iter().copied().filter(|kind| *kind != Kind::Stdio).collect();
    let mut ways = Vec::new();
    if ports.len() < transports.len() {
        ways.push(Way::Streams);
    }
    if !ports.is_empty() {
        ways.push(Way::Port(ports));
    }
    ways
}
