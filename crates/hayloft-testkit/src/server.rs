//! The real `hayloft` binary on throw-away folders.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::client::{Address, Api, Organization};
use crate::http_client::HttpClient;
use crate::process::{Offspring, Process, pid, wait_readable};
use crate::raw_socket::RawSocket;
use crate::{mcp_probe::McpProbe, workspace};

/// How long a start or an end may take before the test fails, unless it says otherwise. Both are waited for as events.
const PATIENCE: Duration = Duration::from_secs(60);

/// The administrator's token of a test server, unless the test leaves it to the server to make one.
pub const ADMIN_TOKEN: &str = "test-administrator-token-0123456789abcdef";

/// A running server. When it is dropped it is stopped, and the test fails if a process or a temporary file of it is
/// left behind.
#[derive(Debug)]
pub struct TestServer {
    builder: TestServerBuilder,
    folder: Arc<TempDir>,
    running: Option<Running>,
    offspring: Offspring,
    address: Address,
    http: HttpClient,
    admin_token: String,
}

/// How to start a server.
#[derive(Clone, Debug)]
pub struct TestServerBuilder {
    binary: PathBuf,
    plugins: Vec<PathBuf>,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    isolation: Option<String>,
    user: Option<u32>,
    own_admin_token: bool,
    leftovers_expected: bool,
    patience: Duration,
}

/// A server that ended before it served.
#[derive(Debug)]
pub struct StartFailure {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl TestServerBuilder {
    /// Another binary than the one of this build.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = path.into();
        self
    }

    /// Adds a folder of plugins.
    #[must_use]
    pub fn plugins(mut self, folder: impl Into<PathBuf>) -> Self {
        self.plugins.push(folder.into());
        self
    }

    /// Adds arguments behind `serve`.
    #[must_use]
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Has workers ready before somebody needs them, within so much memory; a test server has none otherwise.
    #[must_use]
    pub fn warm_pool(self, memory: &str) -> Self {
        self.environment("HAYLOFT_LIMITS_WARM_POOL", memory)
    }

    /// Sets a variable of the server's environment, which otherwise holds only what programs need to run.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The weakest isolation that the server accepts, if not its own default.
    #[must_use]
    pub fn isolation(mut self, weakest: &str) -> Self {
        self.isolation = Some(weakest.to_owned());
        self
    }

    /// Runs the server as another user, who then owns its folder. Only root can do that.
    #[must_use]
    pub const fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Lets the server make its administrator's token and write it into its data folder.
    #[must_use]
    pub const fn generated_admin_token(mut self) -> Self {
        self.own_admin_token = true;
        self
    }

    /// Says that this test expects leftovers and looks for them itself.
    #[must_use]
    pub const fn leftovers_expected(mut self) -> Self {
        self.leftovers_expected = true;
        self
    }

    /// How long a start, an end, or the end of all its processes may take before the test fails.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts the server and waits until it serves.
    ///
    /// # Panics
    /// If it ends before, showing what it wrote.
    pub async fn start(self) -> TestServer {
        match self.try_start().await {
            Ok(server) => server,
            Err(failure) => {
                panic!("the server ended before it served, {}:\n{}", failure.status, failure.stderr)
            }
        }
    }

    /// Starts the server on a new data folder.
    ///
    /// # Errors
    /// If it ends before it serves.
    pub async fn try_start(self) -> Result<TestServer, StartFailure> {
        let folder = tempfile::Builder::new().prefix("hayloft-test-").tempdir().expect("a temporary folder");
        self.try_start_in(Arc::new(folder)).await
    }

    async fn try_start_in(self, folder: Arc<TempDir>) -> Result<TestServer, StartFailure> {
        fs::create_dir_all(folder.path().join(TEMPORARY)).expect("a folder for temporary files");
        // Workers of a server that is root are other users, and must be able to pass through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .expect("a folder to pass through");
        for own in self.user.iter().flat_map(|user| ["", TEMPORARY].map(|name| (name, *user))) {
            chown(folder.path().join(own.0), Some(own.1), Some(own.1)).expect("a folder of another user");
        }
        let (running, address) = Running::start(&self, folder.path()).await?;
        let admin_token = if self.own_admin_token {
            let file = folder.path().join(DATA).join("admin-token");
            fs::read_to_string(file).expect("the server wrote its administrator's token").trim().to_owned()
        } else {
            ADMIN_TOKEN.to_owned()
        };
        Ok(TestServer {
            builder: self,
            folder,
            running: Some(running),
            offspring: Offspring::default(),
            address: Address::new(address),
            http: HttpClient::new(),
            admin_token,
        })
    }
}

impl TestServer {
    /// How to start a server without plugins.
    #[must_use]
    pub fn builder() -> TestServerBuilder {
        TestServerBuilder {
            binary: workspace::hayloft_binary(),
            plugins: Vec::new(),
            arguments: Vec::new(),
            // What is started for nobody would be in the way of whoever counts workers and processes.
            environment: vec![("HAYLOFT_LIMITS_WARM_POOL".to_owned(), "0".to_owned())],
            isolation: None,
            user: None,
            own_admin_token: false,
            leftovers_expected: false,
            patience: PATIENCE,
        }
    }

    /// Starts a server with the plugins of one folder.
    pub async fn start(plugins: impl Into<PathBuf>) -> Self {
        Self::builder().plugins(plugins).start().await
    }

    /// Its base address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address.get())
    }

    /// The administrator's token.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// Its data folder.
    #[must_use]
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join(DATA)
    }

    /// The folder that it has for itself: the data folder and the one for temporary files are in it.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Its process number.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running().child.id()
    }

    /// What it wrote to standard error since its last start.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.running.as_ref().map(|running| running.stderr.borrow().clone()).unwrap_or_default()
    }

    /// Waits until it has written a text to standard error.
    pub async fn logged(&self, text: &str) {
        let mut stderr = self.running().stderr.clone();
        let wait = stderr.wait_for(|log| log.contains(text));
        let found = matches!(timeout(self.builder.patience, wait).await, Ok(Ok(_)));
        assert!(found, "the server did not write `{text}`:\n{}", self.stderr());
    }

    /// The server as its administrator sees it.
    #[must_use]
    pub fn admin(&self) -> Api {
        self.api(Some(&self.admin_token))
    }

    /// The server as the bearer of a token sees it, or a caller without one.
    #[must_use]
    pub fn api(&self, token: Option<&str>) -> Api {
        Api::new(self.address.clone(), self.http.clone(), token.map(str::to_owned))
    }

    /// Makes an organization with a token.
    pub async fn organization(&self, name: &str) -> Organization {
        Organization::create(&self.admin(), name).await
    }

    /// An MCP client with a token.
    #[must_use]
    pub fn mcp(&self, token: &str) -> McpProbe {
        self.api(Some(token)).mcp()
    }

    /// A bare connection.
    pub async fn raw_socket(&self) -> RawSocket {
        RawSocket::connect(self.address.get()).await
    }

    /// The processes that descend from it.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        Process::descendants(self.pid())
    }

    /// Kills the server as a power cut would, and only it.
    pub async fn kill_9(&mut self) -> ExitStatus {
        self.end(Signal::KILL).await
    }

    /// Asks the server to stop, and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.end(Signal::TERM).await
    }

    /// Starts the server again on the same data folder, after stopping it if it runs. Those who hold a client of it
    /// reach the new one.
    pub async fn restart(&mut self) {
        if let Err(failure) = self.try_restart().await {
            panic!("the server ended before it served again, {}:\n{}", failure.status, failure.stderr);
        }
    }

    /// Starts the server again on the same data folder, after stopping it if it runs.
    ///
    /// # Errors
    /// If it ends before it serves.
    pub async fn try_restart(&mut self) -> Result<(), StartFailure> {
        if self.running.is_some() {
            self.terminate().await;
        }
        let (running, address) = Running::start(&self.builder, self.folder.path()).await?;
        self.address.set(address);
        self.running = Some(running);
        Ok(())
    }

    /// Changes how the next [`Self::restart`] starts the server.
    pub fn configure(&mut self, change: impl FnOnce(TestServerBuilder) -> TestServerBuilder) {
        self.builder = change(self.builder.clone());
    }

    /// Waits until no process of the server is left, after it ended.
    ///
    /// # Panics
    /// If one still runs, or a temporary file or a socket is left, naming them.
    pub async fn assert_nothing_left(&mut self) {
        let offspring = std::mem::take(&mut self.offspring);
        let folder = Arc::clone(&self.folder);
        let patience = self.builder.patience;
        let (offspring, leftovers) = tokio::task::spawn_blocking(move || {
            let leftovers = leftovers(&offspring, folder.path(), patience);
            (offspring, leftovers)
        })
        .await
        .expect("a look at what is left");
        self.offspring = offspring;
        assert!(leftovers.is_empty(), "the server left behind:\n{}", leftovers.join("\n"));
    }

    async fn end(&mut self, signal: Signal) -> ExitStatus {
        let running = self.running.take().expect("a server that runs");
        self.offspring.note(running.child.id());
        running.signal(signal);
        let (status, _stderr) = running.ended().await;
        status
    }

    const fn running(&self) -> &Running {
        self.running.as_ref().expect("a server that runs")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let patience = self.builder.patience;
        if let Some(running) = self.running.take() {
            self.offspring.note(running.child.id());
            if thread::panicking() {
                eprintln!("the server wrote:\n{}", *running.stderr.borrow());
            }
            running.signal(Signal::TERM);
            if !wait_readable(&running.handle, patience) {
                running.signal(Signal::KILL);
                assert!(thread::panicking(), "the server did not stop within {patience:?} of being asked to");
            }
            running.reap();
        }
        let leftovers = if self.builder.leftovers_expected {
            Vec::new()
        } else {
            leftovers(&self.offspring, self.folder.path(), patience)
        };
        for process in self.offspring.alive(&[]) {
            process.signal(Signal::KILL);
        }
        // A second panic would hide the first.
        if !thread::panicking() {
            assert!(leftovers.is_empty(), "the server left behind:\n{}", leftovers.join("\n"));
        }
    }
}

/// The data folder within a server's own folder.
const DATA: &str = "data";
/// Where the server is told to put temporary files.
const TEMPORARY: &str = "tmp";

/// A server's process.
#[derive(Debug)]
struct Running {
    child: Child,
    handle: Arc<OwnedFd>,
    stderr: watch::Receiver<String>,
    patience: Duration,
}

impl Running {
    async fn start(
        builder: &TestServerBuilder,
        folder: &Path,
    ) -> Result<(Self, std::net::SocketAddr), StartFailure> {
        let mut command = as_user(builder.user, &builder.binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.join(DATA));
        if let Some(weakest) = &builder.isolation {
            command.args(["--isolation", weakest]);
        }
        for plugins in &builder.plugins {
            command.arg("--plugins-dir").arg(plugins);
        }
        command.args(&builder.arguments).env_clear().env("TMPDIR", folder.join(TEMPORARY));
        for name in ["PATH", "HOME", "LLVM_PROFILE_FILE", "RUST_LOG"] {
            if let Some(value) = workspace::environment(name) {
                command.env(name, value);
            }
        }
        if builder.user.is_some() {
            command.env("HOME", folder.join(TEMPORARY));
        }
        if !builder.own_admin_token {
            command.env("HAYLOFT_ADMIN_TOKEN", ADMIN_TOKEN);
        }
        command.envs(builder.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "failed to start `{}`: {error} (`cargo build -p hayloft` makes it)",
                builder.binary.display()
            )
        });
        let handle = pidfd_open(pid(child.id()), PidfdFlags::empty()).expect("a handle of the process");
        let ready = read_ready_line(child.stdout.take().expect("a pipe was asked for"));
        let stderr = collect(child.stderr.take().expect("a pipe was asked for"));
        let running = Self { child, handle: Arc::new(handle), stderr, patience: builder.patience };
        match timeout(builder.patience, ready).await {
            Ok(Ok(address)) => Ok((running, address)),
            // Standard output was closed without the line.
            Ok(Err(_)) => {
                let (status, stderr) = running.ended().await;
                Err(StartFailure { status, stderr })
            }
            Err(_) => {
                running.signal(Signal::KILL);
                let (_, stderr) = running.ended().await;
                panic!("the server did not serve within {:?}:\n{stderr}", builder.patience);
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let _already_ended = kill_process(pid(self.child.id()), signal);
    }

    async fn ended(mut self) -> (ExitStatus, String) {
        let handle = Arc::clone(&self.handle);
        let patience = self.patience;
        let ended = tokio::task::spawn_blocking(move || wait_readable(&handle, patience)).await;
        assert!(ended.expect("a wait for the server"), "the server did not end:\n{}", *self.stderr.borrow());
        let status = self.child.wait().expect("the status of an ended process");
        // The pipe's end may reach us a little later than the process's.
        let all = async { while self.stderr.changed().await.is_ok() {} };
        let _held_open_by_a_child = timeout(Duration::from_secs(5), all).await;
        let stderr = self.stderr.borrow().clone();
        (status, stderr)
    }

    fn reap(mut self) {
        let _status = self.child.wait();
    }
}

/// A command that runs a program as the own user or as another one.
#[expect(clippy::disallowed_methods, reason = "the server is what is tested")]
#[must_use]
pub fn as_user(user: Option<u32>, program: &Path) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={user}"))
        .arg(format!("--regid={user}"))
        .arg("--clear-groups")
        .arg("--")
        .arg(program);
    command
}

/// Reads standard output to its end, so that nobody blocks on it, and tells when the server says that it serves.
fn read_ready_line(output: impl Read + Send + 'static) -> oneshot::Receiver<std::net::SocketAddr> {
    let (sender, receiver) = oneshot::channel();
    let mut sender = Some(sender);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let address = line
                .strip_prefix("ready http://")
                .and_then(|address| address.trim_end_matches('/').parse().ok());
            if let Some((address, sender)) = address.and_then(|address| Some((address, sender.take()?))) {
                let _nobody_waits = sender.send(address);
            }
        }
    });
    receiver
}

/// Reads standard error to its end into a text that others can watch grow.
fn collect(output: impl Read + Send + 'static) -> watch::Receiver<String> {
    let (sender, receiver) = watch::channel(String::new());
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            sender.send_modify(|text| text.push_str(&String::from_utf8_lossy(&line)));
            line.clear();
        }
    });
    receiver
}

/// What a stopped server left behind, one line each.
fn leftovers(offspring: &Offspring, folder: &Path, patience: Duration) -> Vec<String> {
    let processes = offspring.wait_gone(&[folder], patience);
    let mut found: Vec<_> =
        processes.iter().map(|process| format!("process {}: {}", process.pid, process.command)).collect();
    files(&folder.join(TEMPORARY), &mut |file, _| found.push(format!("temporary file {}", file.display())));
    files(&folder.join(DATA), &mut |file, kind| {
        if kind.is_socket() || kind.is_fifo() {
            found.push(format!("socket {}", file.display()));
        }
    });
    found
}

fn files(folder: &Path, visit: &mut dyn FnMut(&Path, fs::FileType)) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let Ok(kind) = entry.file_type() else { continue };
        visit(&entry.path(), kind);
        if kind.is_dir() {
            files(&entry.path(), visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// A server that does nothing but what a shell script says after it claimed to be ready.
    struct Pretender(TempDir);

    impl Pretender {
        fn new(script: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("server");
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            Self(folder)
        }

        fn builder(&self) -> TestServerBuilder {
            TestServer::builder().binary(self.0.path().join("server")).patience(Duration::from_millis(300))
        }
    }

    /// Ends when it is asked to, having started a worker that does not.
    const LEAVES_A_WORKER: &str = "\
        mkfifo \"$TMPDIR/never\"
        HAYLOFT_WORKER=some-server/some-worker setsid sh -c 'read x <\"$TMPDIR/never\"' &
        trap 'exit 0' TERM
        echo ready http://127.0.0.1:1/
        while :; do wait; done";

    const LEAVES_NOTHING: &str = "\
        trap 'exit 0' TERM
        mkfifo \"$TMPDIR/never\"; exec 9<>\"$TMPDIR/never\"; rm \"$TMPDIR/never\"
        echo ready http://127.0.0.1:1/
        read x <&9";

    fn message(panic: &(dyn std::any::Any + Send)) -> &str {
        panic.downcast_ref::<String>().unwrap()
    }

    #[tokio::test]
    async fn what_a_server_leaves_behind_fails_the_test() {
        let pretender = Pretender::new(LEAVES_A_WORKER);
        let server = pretender.builder().start().await;
        let workers = server.processes();
        let panic = catch_unwind(AssertUnwindSafe(|| drop(server))).unwrap_err();
        assert!(message(&*panic).contains("never"), "{}", message(&*panic));
        assert!(workers.iter().any(|worker| message(&*panic).contains(&format!("process {}:", worker.pid))));
        // Whatever the test says about it, nothing outlives it.
        assert!(workers.iter().all(|worker| worker.wait_gone(PATIENCE)));
    }

    #[tokio::test]
    async fn a_server_that_cleans_up_passes() {
        let pretender = Pretender::new(LEAVES_NOTHING);
        let mut server = pretender.builder().start().await;
        assert_eq!(server.url(), "http://127.0.0.1:1");
        server.terminate().await;
        server.assert_nothing_left().await;
        server.restart().await;
        assert!(!server.kill_9().await.success());
    }

    #[tokio::test]
    async fn a_server_that_never_serves_is_reported() {
        let pretender = Pretender::new("echo no master key >&2; exit 3");
        let failure = pretender.builder().try_start().await.unwrap_err();
        assert_eq!((failure.status.code(), failure.stderr.as_str()), (Some(3), "no master key\n"));
    }
}
