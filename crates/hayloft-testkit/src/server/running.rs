//! A server's process: how it is started, what it writes, and how it ends.

use std::io::{BufRead as _, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::{ADMIN_TOKEN, DATA, StartFailure, TEMPORARY, TestServerBuilder};
use crate::process::{pid, wait_readable};
use crate::workspace;

/// A server's process.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) handle: Arc<OwnedFd>,
    pub(super) stderr: watch::Receiver<String>,
    patience: Duration,
}

impl Running {
    pub(super) async fn start(
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

    pub(super) fn signal(&self, signal: Signal) {
        let _already_ended = kill_process(pid(self.child.id()), signal);
    }

    pub(super) async fn ended(mut self) -> (ExitStatus, String) {
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

    pub(super) fn reap(mut self) {
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
