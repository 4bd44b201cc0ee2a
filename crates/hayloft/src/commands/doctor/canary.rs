//! The attack on oneself: a canary in a jail like a plugin's tries what a hostile plugin would try.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as StdUnixListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hayloft_model::Entropy;
use hayloft_sandbox::{Command, Exit, Jail, JailSpec, Limits, Sandbox, Stdio, Temporary};
use hayloft_workers::base_environment;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::chain;

/// The canary's program.
const SCRIPT: &str = include_str!("canary.cjs");

/// What it must be able to do: a canary that can do nothing proves nothing.
const CONTROLS: [&str; 3] = ["read its own folder", "write a temporary file", "start a program"];

const SIGNAL: &str = "signal a process of the host";

/// What it must not be able to do.
const ACTS: [&str; 12] = [
    "read a file of the host",
    "list a folder of the host",
    "write a file on the host",
    "change its own code",
    "run a program that it wrote",
    "read the environment of a process of the host",
    SIGNAL,
    "connect to a service of the host",
    "connect to an abstract socket of the host",
    "find a way to the internet",
    "find a way to a cloud's metadata service",
    "become root",
];

/// How long Node may take to say its version.
const VERSION_WITHIN: Duration = Duration::from_secs(10);

/// How long all acts together may take.
const ACTS_WITHIN: Duration = Duration::from_secs(60);

/// How long a signal that was sent may take to arrive.
const SIGNAL_WITHIN: Duration = Duration::from_millis(200);

/// What was found out from inside.
#[derive(Debug, Serialize)]
pub(super) struct Attack {
    /// What must work, and whether it did.
    pub(super) controls: Vec<Act>,
    /// What must fail, and whether it did.
    pub(super) acts: Vec<Act>,
}

/// Something that the canary tried.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Act {
    /// What.
    pub(super) name: String,
    /// Whether it had the effect.
    pub(super) succeeded: bool,
    /// What kept it from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

/// What a jail showed.
pub(super) struct Findings {
    /// What Node says of itself.
    pub(super) node: Result<String, String>,
    /// What came of the attack; a fragment that says why there was none.
    pub(super) attack: Result<Attack, String>,
    /// The control groups of the jail, as the kernel names them.
    pub(super) groups: Vec<String>,
}

impl Attack {
    /// Whether everything that must work works, and nothing that must fail.
    pub(super) fn is_held(&self) -> bool {
        self.proves() && self.acts.iter().all(|act| !act.succeeded)
    }

    /// Whether refusals mean anything.
    pub(super) fn proves(&self) -> bool {
        self.controls.iter().all(|control| control.succeeded)
    }
}

/// Makes a jail, asks Node for its version in it, and lets the canary out.
pub(super) async fn examine(
    sandbox: &Sandbox,
    node: &Path,
    limits: Limits,
    entropy: &dyn Entropy,
) -> Findings {
    let failed = |why: String| Findings { node: Err(why.clone()), attack: Err(why), groups: Vec::new() };
    let bait = match Bait::lay_out(entropy) {
        Ok(bait) => bait,
        Err(error) => return failed(format!("failed to lay out the bait: {error}")),
    };
    let spec = JailSpec {
        label: String::from("the doctor's canary"),
        name: String::from("canary"),
        paths: vec![bait.path("plugin")],
        links: Vec::new(),
        home: bait.path("home"),
        ports: Vec::new(),
        limits,
        temporary: Temporary::Data,
    };
    let jail = match sandbox.enter(spec).await {
        Ok(jail) => jail,
        Err(error) => return failed(format!("failed to {}", chain(&error))),
    };
    let version = node_version(&jail, node).await;
    let attack = match &version {
        Ok(_) => bait.attack(&jail, node).await,
        Err(_) => Err(String::from("Node does not run")),
    };
    let groups = groups_of(jail.pid());
    if let Err(error) = jail.end().await {
        tracing::warn!(error = chain(&error), "failed to end the canary");
    }
    Findings { node: version, attack, groups }
}

/// The groups that hold a process's memory, tasks and processor time.
fn groups_of(pid: u32) -> Vec<String> {
    let memberships = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let of_ours = |line: &&str| {
        let controllers = line.split(':').nth(1).unwrap_or_default();
        controllers.is_empty() || controllers.split(',').any(|name| matches!(name, "memory" | "pids" | "cpu"))
    };
    memberships.lines().filter(of_ours).map(str::to_owned).collect()
}

/// What Node says of itself, like every process started in a jail.
async fn node_version(jail: &Jail, node: &Path) -> Result<String, String> {
    let mut command = command(jail, node, "/".into());
    command.arguments.push("--version".into());
    // A version is short; anything longer is not Node.
    let (said, _) = run(jail, command, 100, VERSION_WITHIN).await?;
    Ok(said.trim().to_owned())
}

fn command(jail: &Jail, node: &Path, working_directory: PathBuf) -> Command {
    Command {
        program: node.to_owned(),
        arguments: Vec::new(),
        working_directory,
        environment: base_environment(node, jail.home()),
        descriptors: Vec::new(),
        stdin: Stdio::Null,
        stdout: Stdio::Piped,
        stderr: Stdio::Piped,
        label: String::from("the doctor's canary"),
    }
}

/// Runs a program and gives what it said. One that fails gives what it complained about.
async fn run(jail: &Jail, command: Command, most: u64, within: Duration) -> Result<(String, Exit), String> {
    let mut process = jail.spawn(command).await.map_err(|error| format!("failed to {}", chain(&error)))?;
    let (stdout, stderr) = (process.take_stdout(), process.take_stderr());
    let all = async { tokio::join!(read(stdout, most), read(stderr, most), process.wait()) };
    let (said, complained, exit) = tokio::time::timeout(within, all)
        .await
        .map_err(|_| format!("no end within {} s", within.as_secs()))?;
    if exit.is_success() {
        return Ok((said, exit));
    }
    let last = complained.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{exit}: {last}"))
}

/// What can be read of a stream; the rest of a longer one is thrown away, so that its writer does not wait.
async fn read(stream: Option<impl AsyncRead + Unpin>, most: u64) -> String {
    let Some(stream) = stream else { return String::new() };
    let mut text = Vec::new();
    let mut stream = stream.take(most);
    // What was read before an error is kept.
    let _ = stream.read_to_end(&mut text).await;
    let _ = tokio::io::copy(&mut stream.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// What the canary goes for, all of it laid out for it.
struct Bait {
    folder: TempDir,
    word: String,
    tcp: TcpListener,
    abstract_socket: (String, UnixListener),
    signals: Signal,
}

impl Bait {
    /// Everything in it may be read by everybody, so that nothing but the jail refuses the canary.
    fn lay_out(entropy: &dyn Entropy) -> io::Result<Self> {
        let mut word = [0; 16];
        entropy.fill(&mut word);
        let word = hex::encode(word);
        let folder = tempfile::Builder::new().prefix("hayloft-doctor-").tempdir()?;
        let at = |path: &str| folder.path().join(path);
        let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        open(folder.path(), 0o755)?;
        for (path, mode) in [("plugin", 0o755), ("home", 0o700), ("host", 0o755), ("host/anybody", 0o777)] {
            fs::create_dir(at(path))?;
            open(&at(path), mode)?;
        }
        for (path, text) in
            [("plugin/canary.cjs", SCRIPT), ("plugin/own.txt", &word), ("host/secret.txt", &word)]
        {
            fs::write(at(path), text)?;
            open(&at(path), 0o644)?;
        }
        let tcp = std::net::TcpListener::bind("127.0.0.1:0")?;
        tcp.set_nonblocking(true)?;
        let name = format!("hayloft-doctor-{word}");
        let unix = StdUnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        unix.set_nonblocking(true)?;
        Ok(Self {
            folder,
            word,
            tcp: TcpListener::from_std(tcp)?,
            abstract_socket: (name, UnixListener::from_std(unix)?),
            // One that nobody sends by accident, and that is ignored by default.
            signals: signal(SignalKind::from_raw(URGENT))?,
        })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    async fn attack(mut self, jail: &Jail, node: &Path) -> Result<Attack, String> {
        let bait = json!({
            "word": self.word,
            "folder": self.path("host"),
            "home": jail.home(),
            "pid": std::process::id(),
            "startedAt": started_at(),
            "port": self.tcp.local_addr().map_err(|error| error.to_string())?.port(),
            "socket": self.abstract_socket.0,
        });
        let mut command = command(jail, node, self.path("plugin"));
        command.arguments =
            vec![self.path("plugin/canary.cjs").into_os_string(), OsString::from(bait.to_string())];
        let (said, _) = tokio::select! {
            ended = run(jail, command, 64 << 10, ACTS_WITHIN) => ended?,
            () = self.answer() => return Err(String::from("the bait is gone")),
        };
        let mut told = understand(&said)?;
        if let Some(signal) = told.get_mut(SIGNAL).filter(|signal| signal.succeeded) {
            let arrived = tokio::time::timeout(SIGNAL_WITHIN, self.signals.recv()).await;
            if arrived.is_err() {
                // The number was that of another process, inside.
                (signal.succeeded, signal.why) = (false, Some(String::from("without effect")));
            }
        }
        let mut take = |names: &[&str]| -> Result<Vec<Act>, String> {
            names
                .iter()
                .map(|name| {
                    told.remove(*name).ok_or_else(|| format!("the canary says nothing about `{name}`"))
                })
                .collect()
        };
        Ok(Attack { controls: take(&CONTROLS)?, acts: take(&ACTS)? })
    }

    /// Tells everybody who connects the word, so that the canary knows whom it reached.
    async fn answer(&self) {
        loop {
            // Who goes away before hearing it was not the canary's success.
            let _ = tokio::select! {
                Ok((mut stream, _)) = self.tcp.accept() => stream.write_all(self.word.as_bytes()).await,
                Ok((mut stream, _)) = self.abstract_socket.1.accept() => stream.write_all(self.word.as_bytes()).await,
                else => return,
            };
        }
    }
}

/// `SIGURG`
const URGENT: i32 = 23;

/// When this process was started, in the kernel's ticks: what tells it from others of the same number.
fn started_at() -> Option<String> {
    let facts = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may have spaces of its own.
    facts.rsplit_once(") ")?.1.split(' ').nth(19).map(str::to_owned)
}

/// The canary's words, by act.
fn understand(said: &str) -> Result<HashMap<String, Act>, String> {
    let read = |line: &str| -> Result<Act, String> {
        serde_json::from_str(line).map_err(|error| format!("the canary speaks nonsense: {error}"))
    };
    said.lines().map(|line| read(line).map(|act| (act.name.clone(), act))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canary_has_every_act_and_no_other() {
        let written = |name: &&&str| SCRIPT.contains(&format!("\"{name}\":"));
        assert_eq!(CONTROLS.iter().filter(written).count(), CONTROLS.len());
        assert_eq!(ACTS.iter().filter(written).count(), ACTS.len());
        assert_eq!(SCRIPT.matches("\": () =>").count(), CONTROLS.len() + ACTS.len());
    }

    #[test]
    fn one_success_or_a_canary_that_can_do_nothing_is_no_proof() {
        let act = |succeeded| Act { name: String::from("x"), succeeded, why: None };
        for (controls, acts, held) in [
            ([true, true], [false, false], true),
            ([true, true], [false, true], false),
            ([true, false], [false, false], false),
        ] {
            let attack = Attack { controls: controls.map(act).into(), acts: acts.map(act).into() };
            assert_eq!(attack.is_held(), held, "{attack:?}");
        }
        assert!(understand("{\"name\":\"x\"}").is_err());
    }
}
