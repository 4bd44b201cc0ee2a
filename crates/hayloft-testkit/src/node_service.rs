//! A Node program that a test needs beside the server, such as a provider's API.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::workspace;

/// How long a program may take until it says where it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Node program that has said, as one line of JSON on its standard output, that it is there. It is killed
/// when this is dropped.
#[derive(Debug)]
pub struct NodeService {
    child: Child,
    announcement: Value,
}

impl NodeService {
    /// Starts a script and waits for its line.
    ///
    /// # Panics
    /// If it does not start, ends before, or writes something else.
    #[must_use]
    pub fn start<A: AsRef<OsStr>>(script: &Path, arguments: &[A], environment: &[(&str, &str)]) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test's own service, not a worker")]
        let mut child = Command::new(workspace::node())
            .arg(script)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {}: {error}", script.display()));
        let output = child.stdout.take().expect("a pipe was asked for");
        let (sender, receiver) = mpsc::channel();
        // The pipe is read to its end, so that the program never blocks on it.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _only_the_first_is_awaited = sender.send(line);
            }
        });
        let line = receiver.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("{} did not say that it is there", script.display()));
        let announcement = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{} said `{line}`: {error}", script.display()));
        Self { child, announcement }
    }

    /// What it said when it was there.
    #[must_use]
    pub const fn announcement(&self) -> &Value {
        &self.announcement
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once.
    pub fn stop(&mut self) {
        let _already_ended = self.child.kill();
        let _already_reaped = self.child.wait();
    }
}

impl Drop for NodeService {
    fn drop(&mut self) {
        self.stop();
    }
}
