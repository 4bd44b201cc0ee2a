//! A jail from the host's side: what runs in it, and its end.

use std::fs;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use hayloft_cgroup::Group;
use hayloft_stage::lifeline::{self, Failure, Landlock, Order};
use hayloft_stage::tree::{self, TreeError};
use hayloft_stage::{MARKER_VARIABLE, Step, Tier};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{WaitId, WaitIdOptions};
use tokio::net::UnixDatagram;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::isolation::remedy;
use crate::sandbox::{Id, Sandbox};
use crate::{Command, Exit, JailError, Process};

mod attendant;
mod connect;
mod meter;
mod request;

pub use meter::Meter;

use attendant::{Registry, attend};
use request::Prepared;

/// How long a jail may take to come to life, and one of its processes to start; what hangs is given up.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a jail may take to end itself. Only the kernel itself can delay it where namespaces do the work.
const VANISH: Duration = Duration::from_secs(10);

/// A jail with its processes. It ends, and everything in it, when this and all its [`Process`]es are dropped.
#[derive(Debug)]
pub struct Jail {
    tenancy: Tenancy,
    gate: Option<TcpListener>,
    network: Option<Network>,
}

/// The sockets of a jail's own network, but for the gate. Whoever has them answers what its processes send elsewhere.
#[derive(Debug)]
pub struct Network {
    /// The name server's, for datagrams.
    pub names: UdpSocket,
    /// The name server's, for connections.
    pub names_by_stream: TcpListener,
    /// One for each of [`crate::JailSpec::ports`], in that order, at all other addresses.
    pub listeners: Vec<TcpListener>,
}

/// Whether a process, by its number as the host sees it, runs in the jail whose first process has this number.
#[must_use]
pub fn runs_in(first: u32, process: u32) -> bool {
    tree::descends(process.cast_signed(), first.cast_signed())
}

/// What keeps a jail alive: the last one to go ends it.
pub(crate) type Tenancy = Arc<Residence>;

/// A jail that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Residence(Arc<Core>);

/// A jail's facts and belongings.
#[derive(Debug)]
pub(crate) struct Core {
    marker: String,
    tier: Tier,
    home: PathBuf,
    first: First,
    lifeline: Arc<UnixDatagram>,
    registry: Arc<Mutex<Registry>>,
    group: Mutex<Option<Arc<Group>>>,
    /// All of it was seen to be gone.
    gone: OnceLock<()>,
    /// Its own as long as any of its processes can live.
    _id: Option<Id>,
    /// The thread that started it must outlive it.
    _sandbox: Sandbox,
}

/// A jail that was just born.
#[derive(Debug)]
pub(crate) struct Newborn {
    pub(crate) lifeline: OwnedFd,
    pub(crate) first: First,
}

/// The first process of a jail. Dropping it kills it and leaves no zombie.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) pid: i32,
    handle: OwnedFd,
    reaped: OnceLock<()>,
}

impl First {
    pub(crate) const fn new(pid: i32, handle: OwnedFd) -> Self {
        Self { pid, handle, reaped: OnceLock::new() }
    }

    fn kill(&self) {
        // It may have ended already, which is as good.
        let _ = rustix::process::pidfd_send_signal(&self.handle, rustix::process::Signal::KILL);
    }

    /// Waits for its end; gives whether that was in order.
    fn reap(&self) -> bool {
        let options = WaitIdOptions::EXITED;
        let status = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(WaitId::PidFd(self.handle.as_fd()), options)
        });
        let _ = self.reaped.set(());
        matches!(status, Ok(Some(status)) if status.exit_status() == Some(0))
    }
}

impl Drop for First {
    fn drop(&mut self) {
        if self.reaped.get().is_none() {
            self.kill();
            self.reap();
        }
    }
}

impl Jail {
    pub(crate) async fn open(
        newborn: Newborn,
        label: String,
        marker: String,
        (tier, expected, home): (Tier, Landlock, PathBuf),
        (group, id, sandbox): (Option<Group>, Option<Id>, Sandbox),
    ) -> Result<Self, JailError> {
        let Newborn { lifeline, first } = newborn;
        let group = group.map(Arc::new);
        // Its messages have bounds, like those of a datagram, and that is all that matters here.
        let lifeline = std::os::unix::net::UnixDatagram::from(lifeline);
        let lifeline = lifeline.set_nonblocking(true).and_then(|()| UnixDatagram::from_std(lifeline));
        let lifeline = Arc::new(lifeline.map_err(|source| error(Step::Prepare, &label, source))?);
        let (ready, sealed) = oneshot::channel();
        let registry = Arc::new(Mutex::new(Registry { ready: Some(ready), ..Registry::default() }));
        tokio::spawn(attend(
            Arc::clone(&lifeline),
            Arc::clone(&registry),
            group.as_ref().map(Arc::downgrade),
        ));
        let core = Core {
            marker,
            tier,
            home,
            first,
            lifeline,
            registry,
            group: Mutex::new(group),
            gone: OnceLock::new(),
            _id: id,
            _sandbox: sandbox,
        };
        let mut jail = Self { tenancy: Arc::new(Residence(Arc::new(core))), gate: None, network: None };
        let failed = match timeout(PATIENCE, sealed).await {
            // What the trials found is what there must be: a jail is never weaker than was said.
            Ok(Ok(Ok((landlock, _)))) if landlock != expected => {
                error(Step::Landlock, &label, io::Error::other("the kernel enforces less than it did before"))
            }
            Ok(Ok(Ok((_, sockets)))) => {
                let mut sockets = sockets.into_iter();
                jail.gate = sockets.next().map(TcpListener::from);
                jail.network = network(sockets);
                return Ok(jail);
            }
            Ok(Ok(Err(failure))) => refusal(&label, failure),
            Ok(Err(_)) => died(&label, jail.tenancy.first.pid),
            Err(_) => stuck(&label, jail.tenancy.first.pid),
        };
        // Nothing of it is left when the caller hears of it.
        if let Err(error) = jail.end().await {
            tracing::error!(%error, "failed to end a jail that did not come to life");
        }
        Err(failed)
    }

    /// How strongly it holds.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tenancy.tier
    }

    /// The only folder that its processes can write to, as they see it.
    #[must_use]
    pub fn home(&self) -> &Path {
        if self.tenancy.tier.has_namespaces() { Path::new("/tmp") } else { &self.tenancy.home }
    }

    /// The socket that its processes reach as [`crate::GATE_NAME`], port 80, once, where it has a network of its own.
    pub fn take_gate(&mut self) -> Option<TcpListener> {
        self.gate.take()
    }

    /// The other sockets of its network, once, where it has one of its own.
    pub fn take_network(&mut self) -> Option<Network> {
        self.network.take()
    }

    /// The process id of its first process as the host sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.tenancy.first.pid.unsigned_abs()
    }

    /// Tells what all its processes use, and decides who goes first. It does not keep the jail alive.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter::new(self.tenancy.group().as_ref().map(Arc::downgrade), self.tenancy.first.pid)
    }

    /// Starts a process. It runs its program when this returns.
    ///
    /// # Errors
    /// When a step fails; nothing of the process is left then.
    pub async fn spawn(&self, command: Command) -> Result<Process, JailError> {
        let label = command.label.clone();
        let tenancy = &self.tenancy;
        let unprepared = |source| error(Step::Prepare, &label, source);
        let Prepared { mut spawn, descriptors, stdin, stdout, stderr } =
            request::prepare(command).map_err(unprepared)?;
        if !tenancy.tier.has_namespaces() {
            spawn.environment.push((MARKER_VARIABLE.to_owned(), tenancy.marker.clone()));
        }
        let (started, start) = oneshot::channel();
        let (ended, exit) = watch::channel(None);
        {
            let mut registry = tenancy.registry();
            if registry.has_ended() {
                return Err(over(&label, tenancy.first.pid, registry.over_memory));
            }
            registry.next += 1;
            spawn.id = registry.next;
            registry.starting.insert(spawn.id, started);
            registry.running.insert(spawn.id, ended);
        }
        let id = spawn.id;
        let passed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let sent = lifeline::send(&tenancy.lifeline, &Order::Spawn(spawn), &passed);
        drop(descriptors);
        let outcome = match sent {
            Ok(()) => match timeout(PATIENCE, start).await {
                Ok(told) => told.map_err(|_| {
                    let over_memory = tenancy.registry().over_memory;
                    over(&label, tenancy.first.pid, over_memory)
                }),
                Err(_) => {
                    // The first process gives it up by itself; this is for one that does not answer.
                    let _ = tenancy.kill(id);
                    Err(error(Step::Execute, &label, io::ErrorKind::TimedOut.into()))
                }
            },
            Err(source) => Err(unprepared(source)),
        };
        let outcome = outcome.and_then(|outcome| outcome.map_err(|failure| refusal(&label, failure)));
        let handle = outcome.inspect_err(|_| {
            let mut registry = tenancy.registry();
            registry.starting.remove(&id);
            registry.running.remove(&id);
        })?;
        Ok(Process {
            id,
            pid: pid_of(&handle),
            handle,
            exit,
            stdin,
            stdout,
            stderr,
            jail: Arc::clone(tenancy),
        })
    }

    /// Waits until nothing can run in it any more: it was ended, or its first process ended by itself or was killed, for
    /// memory too. May be called again and from several places.
    pub async fn wait(&self) -> Exit {
        let mut end = self.tenancy.registry().end.subscribe();
        // The attendant says it before it goes.
        let told = end.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        told.unwrap_or(Exit::Signal(libc::SIGKILL))
    }

    /// Ends everything in it, and returns when all of it is gone.
    ///
    /// # Errors
    /// When the processes cannot be listed, or the kernel does not let go of one.
    pub async fn end(&self) -> Result<(), TreeError> {
        let core = Arc::clone(&self.tenancy.0);
        tokio::task::spawn_blocking(move || core.end()).await.map_err(|_| TreeError::Interrupted)?
    }
}

impl Core {
    /// Kills a process and its group.
    pub(crate) fn kill(&self, id: u64) -> io::Result<()> {
        lifeline::send(&self.lifeline, &Order::Kill { id }, &[])
    }

    fn group(&self) -> MutexGuard<'_, Option<Arc<Group>>> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until nothing is left. May be called again.
    fn end(&self) -> Result<(), TreeError> {
        if self.gone.get().is_some() {
            return Ok(());
        }
        if self.tier.has_namespaces() {
            // With the first process of its namespace the kernel ends all others, and lets go of it after them.
            self.first.kill();
        } else {
            // The first process knows best what belongs to it. If it is gone, its end was told.
            let _ = lifeline::send(&self.lifeline, &Order::End, &[]);
        }
        let mut ended = [PollFd::new(&self.first.handle, PollFlags::IN)];
        let vanish = Timespec::try_from(VANISH).ok();
        let seen = rustix::io::retry_on_intr(|| rustix::event::poll(&mut ended, vanish.as_ref()));
        if !matches!(seen, Ok(1)) {
            self.first.kill();
            if self.tier.has_namespaces() {
                return Err(TreeError::StillThere { pids: vec![self.first.pid], seconds: VANISH.as_secs() });
            }
        }
        if self.first.reaped.get().is_none() && !self.first.reap() && !self.tier.has_namespaces() {
            tree::sweep(&self.marker)?;
        }
        if let Some(group) = self.group().take() {
            group.kill().map_err(TreeError::List)?;
            // Whoever else holds it only looks at it; the last one removes it.
        }
        let _ = self.gone.set(());
        Ok(())
    }
}

impl std::ops::Deref for Residence {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.0
    }
}

impl Drop for Residence {
    fn drop(&mut self) {
        if self.gone.get().is_some() {
            return;
        }
        let core = Arc::clone(&self.0);
        let cleaner = thread::Builder::new().name("hayloft-reaper".into()).spawn(move || {
            if let Err(error) = core.end() {
                tracing::error!(pid = core.first.pid, %error, "failed to end a jail that nobody owns any more");
                // Something of it lives, so its id must not become another's.
                std::mem::forget(core);
            }
        });
        if let Err(error) = cleaner {
            tracing::error!(%error, "failed to start the thread that ends abandoned jails");
        }
    }
}

/// The sockets behind the gate's, in the order in which they come.
fn network(mut sockets: impl Iterator<Item = OwnedFd>) -> Option<Network> {
    let (names, names_by_stream) = (sockets.next()?.into(), sockets.next()?.into());
    Some(Network { names, names_by_stream, listeners: sockets.map(TcpListener::from).collect() })
}

/// The number of a process as this process sees it, unless it is gone.
fn pid_of(handle: &OwnedFd) -> Option<u32> {
    let facts = fs::read_to_string(format!("/proc/self/fdinfo/{}", handle.as_raw_fd())).ok()?;
    facts.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
}

pub(crate) fn error(step: Step, label: &str, source: io::Error) -> JailError {
    JailError { step, label: label.to_owned(), path: None, hint: remedy(step, &source), source }
}

pub(crate) fn refusal(label: &str, failure: Failure) -> JailError {
    let source = io::Error::from_raw_os_error(failure.errno);
    JailError { path: failure.path, ..error(failure.step, label, source) }
}

/// The jail ended before the process could start: by itself, or because what ran in it took more memory than it may.
fn over(label: &str, pid: i32, over_memory: bool) -> JailError {
    match over_memory {
        true => error(Step::Execute, label, io::ErrorKind::OutOfMemory.into()),
        false => died(label, pid),
    }
}

/// The first process says nothing and does not end.
fn stuck(label: &str, pid: i32) -> JailError {
    JailError { source: io::ErrorKind::TimedOut.into(), ..died(label, pid) }
}

/// The first process ended without a word. Its name still says in which step.
pub(crate) fn died(label: &str, pid: i32) -> JailError {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let step = Step::of_process(&name).unwrap_or(Step::Stage);
    error(step, label, io::Error::other("the process ended in this step"))
}
