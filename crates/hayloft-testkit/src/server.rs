//! The real `hayloft` binary on throw-away folders.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::timeout;

use self::leftovers::leftovers;
use self::running::Running;
use crate::client::Address;
use crate::http_client::HttpClient;
use crate::process::{Offspring, Process, wait_readable};

mod builder;
mod clients;
mod leftovers;
mod running;

pub use self::builder::{StartFailure, TestServerBuilder};
pub use self::running::as_user;

/// How long a start or an end may take before the test fails, unless it says otherwise. Both are waited for as events.
const PATIENCE: Duration = Duration::from_secs(60);

/// The administrator's token of a test server, unless the test leaves it to the server to make one.
pub const ADMIN_TOKEN: &str = "test-administrator-token-0123456789abcdef";

/// The data folder within a server's own folder.
const DATA: &str = "data";

/// Where the server is told to put temporary files.
const TEMPORARY: &str = "tmp";

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

impl TestServer {
    /// How to start a server without plugins.
    #[must_use]
    pub fn builder() -> TestServerBuilder {
        TestServerBuilder::new()
    }

    /// Starts a server with the plugins of one folder.
    pub async fn start(plugins: impl Into<PathBuf>) -> Self {
        Self::builder().plugins(plugins).start().await
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
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
