//! A process in a jail: its streams, its signals, its end.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::jail::Tenancy;

/// A process that a jail runs. Dropping it kills it and its group; what left its group ends with the jail.
#[derive(Debug)]
pub struct Process {
    pub(crate) id: u64,
    pub(crate) pid: Option<u32>,
    pub(crate) handle: OwnedFd,
    pub(crate) exit: watch::Receiver<Option<Exit>>,
    pub(crate) stdin: Option<pipe::Sender>,
    pub(crate) stdout: Option<pipe::Receiver>,
    pub(crate) stderr: Option<pipe::Receiver>,
    /// Its jail lives at least as long as it does.
    pub(crate) jail: Tenancy,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Killed since its jail used more memory than it may.
    OutOfMemory,
}

impl Exit {
    /// Whether it ended by itself and said that all is well.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(libc::SIGKILL) => f.write_str("signal 9 (SIGKILL)"),
            Self::Signal(libc::SIGTERM) => f.write_str("signal 15 (SIGTERM)"),
            Self::Signal(libc::SIGSEGV) => f.write_str("signal 11 (SIGSEGV)"),
            Self::Signal(libc::SIGABRT) => f.write_str("signal 6 (SIGABRT)"),
            Self::Signal(number) => write!(f, "signal {number}"),
            Self::OutOfMemory => f.write_str("out of memory: it used more than its limit"),
        }
    }
}

/// The signals that a supervisor sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Please end.
    Terminate,
    /// End now.
    Kill,
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
}

impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Terminate => Self::TERM,
            Signal::Kill => Self::KILL,
            Signal::Stop => Self::STOP,
            Signal::Continue => Self::CONT,
        }
    }
}

impl Process {
    /// Its process id as the host sees it. `None` when it ended at once.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The end that writes to its standard input, once, if it was to be piped.
    pub fn take_stdin(&mut self) -> Option<pipe::Sender> {
        self.stdin.take()
    }

    /// The end that reads its standard output, once, if it was to be piped.
    pub fn take_stdout(&mut self) -> Option<pipe::Receiver> {
        self.stdout.take()
    }

    /// The end that reads its standard error, once, if it was to be piped.
    pub fn take_stderr(&mut self) -> Option<pipe::Receiver> {
        self.stderr.take()
    }

    /// Waits until the process has ended. May be called again and from several places.
    pub async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        // The jail's attendant tells every end before it goes.
        let told = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        told.unwrap_or(Exit::Signal(libc::SIGKILL))
    }

    /// Kills it and its group, and returns when it has ended.
    pub async fn kill(&self) -> Exit {
        self.kill_now();
        self.wait().await
    }

    fn kill_now(&self) {
        if self.jail.kill(self.id).is_err() {
            // The first process does not hear; the process itself always does.
            let _ = self.signal(Signal::Kill);
        }
    }

    /// Sends a signal to the process alone.
    ///
    /// # Errors
    /// When it has already ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(&self.handle, signal.into())?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit.borrow().is_none() {
            self.kill_now();
        }
    }
}
