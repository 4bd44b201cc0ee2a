//! Hears what a jail's first process says, and tells those who wait for it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hayloft_cgroup::Group;
use hayloft_stage::lifeline::{self, Failure, Landlock, News};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::{oneshot, watch};

use crate::process::Exit;

/// How much of Landlock holds a jail, and the sockets of its network.
pub(super) type Sealed = (Landlock, VecDeque<OwnedFd>);

/// What is known of a jail's processes, and who waits for what.
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) next: u64,
    pub(super) ready: Option<oneshot::Sender<Result<Sealed, Failure>>>,
    pub(super) starting: HashMap<u64, oneshot::Sender<Result<OwnedFd, Failure>>>,
    pub(super) running: HashMap<u64, watch::Sender<Option<Exit>>>,
    pub(super) over_memory: bool,
    /// How it ended, once nothing can run here any more.
    pub(super) end: watch::Sender<Option<Exit>>,
}

impl Registry {
    pub(super) fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }
}

/// Attends to a jail until its end.
pub(super) async fn attend(
    lifeline: Arc<UnixDatagram>,
    registry: Arc<Mutex<Registry>>,
    group: Option<Weak<Group>>,
) {
    let mut kills = 0;
    // Whether the kernel has killed for memory since the last time. Without the group nobody is left who could ask.
    let mut out_of_memory = || {
        let now = group.as_ref().and_then(Weak::upgrade).map_or(kills, |group| group.memory_kills());
        std::mem::replace(&mut kills, now) < now
    };
    loop {
        let received = match lifeline.readable().await {
            Ok(()) => lifeline.try_io(Interest::READABLE, || lifeline::receive(&lifeline)),
            Err(error) => Err(error),
        };
        let (news, mut descriptors) = match received {
            Ok(Some(news)) => news,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            // The end, or something that only a broken first process says.
            Ok(None) | Err(_) => break,
        };
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        match news {
            News::Born { .. } => {}
            News::Ready { landlock } => {
                let sockets = std::mem::take(&mut descriptors);
                registry.ready.take().map(|ready| ready.send(Ok((landlock, sockets))));
            }
            News::Failed(failure) => {
                registry.ready.take().map(|ready| ready.send(Err(failure)));
            }
            News::Started { id } => {
                if let (Some(start), Some(handle)) = (registry.starting.remove(&id), descriptors.pop_front())
                {
                    // Nobody waits any more: the process is the jail's all the same.
                    let _ = start.send(Ok(handle));
                }
            }
            News::Refused { id, failure } => {
                registry.running.remove(&id);
                registry.starting.remove(&id).map(|start| start.send(Err(failure)));
            }
            News::Exited { id, code, signal } => {
                let exit = match (code, signal) {
                    (_, Some(libc::SIGKILL)) if registry.over_memory || out_of_memory() => Exit::OutOfMemory,
                    (Some(code), _) => Exit::Code(code),
                    (None, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
                };
                registry.running.remove(&id).map(|running| running.send_replace(Some(exit)));
            }
            News::OverMemory => registry.over_memory = true,
        }
    }
    let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
    registry.ready = None;
    registry.starting.clear();
    let exit =
        if registry.over_memory || out_of_memory() { Exit::OutOfMemory } else { Exit::Signal(libc::SIGKILL) };
    for (_, running) in registry.running.drain() {
        running.send_replace(Some(exit));
    }
    registry.end.send_replace(Some(exit));
}
