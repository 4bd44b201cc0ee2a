//! A running process: its end, its signals, its whole tree.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::thread;

use rustix::process::{Pid, WaitId, WaitIdOptions};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

use crate::spawner::Streams;
use crate::tree::{self, Tree};
use crate::{Spawner, TreeError};

/// A process that the spawner started. Dropping it kills its whole tree.
#[derive(Debug)]
pub struct Jailed {
    handle: AsyncFd<Arc<OwnedFd>>,
    process: Arc<Process>,
    stdin: Option<pipe::Sender>,
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
    /// The thread that started the process must outlive it.
    _spawner: Spawner,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
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

impl Jailed {
    pub(crate) fn new(started: Started, spawner: Spawner) -> io::Result<Self> {
        let Started { process, streams } = started;
        let process = Arc::new(process);
        let pidfd = Arc::clone(&process.pidfd);
        // SAFETY: a shared `OwnedFd` gives the same open descriptor for as long as any owner lives, and the wrapper is one.
        let handle = unsafe { AsyncFd::register_with_interest(pidfd, tokio::io::Interest::READABLE) }?;
        Ok(Self {
            handle,
            process,
            stdin: streams.stdin.map(pipe::Sender::from_owned_fd).transpose()?,
            stdout: streams.stdout.map(pipe::Receiver::from_owned_fd).transpose()?,
            stderr: streams.stderr.map(pipe::Receiver::from_owned_fd).transpose()?,
            _spawner: spawner,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// When it started, in clock ticks since the machine did. With the id it names one process for ever.
    #[must_use]
    pub fn start_time(&self) -> u64 {
        self.process.start_time
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

    /// Waits until the process has ended. May be called again and from several places. The process stays a zombie,
    /// and its number its own, until its tree is ended too.
    ///
    /// # Errors
    /// When the kernel does not say how it ended.
    pub async fn wait(&self) -> io::Result<Exit> {
        if let Some(exit) = self.process.exit.get() {
            return Ok(*exit);
        }
        // The handle becomes readable once and stays so; the readiness is never cleared.
        let _ended = self.handle.readable().await?;
        self.process.status()
    }

    /// Sends a signal to the process alone.
    ///
    /// # Errors
    /// When it has already ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(&self.process.pidfd, signal.into())?)
    }

    /// Kills the process and everything that it started, and returns when all of them are gone.
    ///
    /// # Errors
    /// When the processes cannot be listed, or the kernel does not let go of one.
    pub async fn kill_tree(&self) -> Result<Exit, TreeError> {
        let process = Arc::clone(&self.process);
        tokio::task::spawn_blocking(move || process.end()).await.map_err(|_| TreeError::Interrupted)?
    }
}

/// What the spawner hands over: a process that is killed when nobody wants it.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) streams: Streams,
}

/// The kernel's side of a process.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    pidfd: Arc<OwnedFd>,
    start_time: u64,
    marker: String,
    exit: OnceLock<Exit>,
    reaped: OnceLock<()>,
}

impl Process {
    pub(crate) fn new(pid: Pid, pidfd: OwnedFd, marker: String) -> Self {
        let start_time = tree::start_time(pid.as_raw_nonzero().get()).unwrap_or_default();
        Self {
            pid,
            pidfd: Arc::new(pidfd),
            start_time,
            marker,
            exit: OnceLock::new(),
            reaped: OnceLock::new(),
        }
    }

    /// How it ended, without reaping it: as a zombie its number cannot become another process's.
    fn status(&self) -> io::Result<Exit> {
        if let Some(exit) = self.exit.get() {
            return Ok(*exit);
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options)?
            .ok_or_else(|| io::Error::other("the process has not ended"))?;
        let exit = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => return Err(io::Error::other("the process ended in an unknown way")),
        };
        Ok(*self.exit.get_or_init(|| exit))
    }

    /// Kills the tree and reaps the process.
    fn end(&self) -> Result<Exit, TreeError> {
        if self.reaped.get().is_none() {
            let tree = Tree { root: self.pid.as_raw_nonzero().get(), marker: &self.marker };
            tree.kill()?;
        }
        let exit = self.status().map_err(TreeError::List)?;
        if self.reaped.set(()).is_ok() {
            rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)
                .map_err(|errno| TreeError::List(errno.into()))?;
        }
        Ok(exit)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped.get().is_some() {
            return;
        }
        // At once, so that it does nothing more; the search for the rest of its tree takes a moment and has a thread.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
        let rest = Self {
            pid: self.pid,
            pidfd: Arc::clone(&self.pidfd),
            start_time: self.start_time,
            marker: std::mem::take(&mut self.marker),
            exit: OnceLock::new(),
            reaped: OnceLock::new(),
        };
        let cleaner = thread::Builder::new().name("hayloft-reaper".into()).spawn(move || {
            let rest = std::mem::ManuallyDrop::new(rest);
            if let Err(error) = rest.end() {
                tracing::error!(pid = rest.pid(), %error, "failed to end a process that nobody owns any more");
            }
        });
        if let Err(error) = cleaner {
            tracing::error!(%error, "failed to start the thread that ends abandoned processes");
        }
    }
}

impl Process {
    const fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }
}

/// How much memory of a process is in use, shared pages included, in bytes. `None` once it is gone.
#[must_use]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let fields = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = fields.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096))
}
