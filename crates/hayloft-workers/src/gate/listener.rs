//! Where connections of one worker arrive, and who is let in.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::{Instant, sleep_until};

use super::{GateCaller, GateStream};
use crate::http::by_descriptor;
use crate::pace::GatePace;

/// How long to wait when the system has no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a worker's connections arrive. There is one for each worker, so that it tells who calls.
#[derive(Debug)]
pub(crate) enum GateListener {
    /// Made inside the jail's own network.
    Jail(TcpListener),
    /// In the worker's folder, where it has no network of its own.
    Folder(FolderListener),
}

/// A socket in a worker's folder. Other workers may be the same user and can spell the folder's name, so who connects
/// is looked at.
#[derive(Debug)]
pub(crate) struct FolderListener {
    listener: UnixListener,
    /// The first process of its jail, once that is known.
    first: Option<u32>,
}

impl FolderListener {
    /// Makes the socket. It goes with the folder.
    pub(crate) fn make(folder: &Path, name: &str) -> io::Result<Self> {
        // A socket's name is limited to some hundred bytes, so it is spelled through a descriptor of its folder.
        let folder =
            rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let name = by_descriptor(&folder).join(name);
        let listener = UnixListener::bind(&name)?;
        // The folder decides who comes this far, and the worker may be another user than the host.
        fs::set_permissions(&name, fs::Permissions::from_mode(0o666))?;
        Ok(Self { listener, first: None })
    }

    /// Only what runs in the jail with this first process is let in.
    pub(crate) fn of_jail(self, first: u32) -> Self {
        Self { first: Some(first), ..self }
    }

    /// The next connection; `None` for one of somebody else.
    async fn accept(&self) -> io::Result<Option<UnixStream>> {
        let (stream, _) = self.listener.accept().await?;
        let peer = stream.peer_cred().ok().and_then(|peer| u32::try_from(peer.pid()?).ok());
        let own = self.first.zip(peer).is_some_and(|(first, peer)| hayloft_sandbox::runs_in(first, peer));
        Ok(own.then_some(stream))
    }

    /// The next connection, whatever happens to others.
    pub(crate) async fn next(&self, caller: &GateCaller) -> UnixStream {
        loop {
            if let Some(stream) = taken(self.accept().await, caller).await {
                return stream;
            }
        }
    }
}

impl GateListener {
    /// Takes over a socket that was made inside a jail.
    pub(crate) fn jail(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self::Jail)
    }

    /// The next connection; `None` for one of somebody else, or one that is already gone.
    async fn accept(&self) -> io::Result<Option<GateStream>> {
        match self {
            Self::Jail(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(stream.set_nodelay(true).ok().map(|()| Box::new(stream) as GateStream))
            }
            Self::Folder(listener) => {
                Ok(listener.accept().await?.map(|stream| Box::new(stream) as GateStream))
            }
        }
    }

    /// The next connection, whatever happens to others, and not before `due`. Each that is taken moves that on, also one
    /// that is hung up on.
    pub(super) async fn next(&self, caller: &GateCaller, pace: &GatePace, due: &mut Instant) -> GateStream {
        loop {
            sleep_until(*due).await;
            let accepted = self.accept().await;
            *due = pace.took_one();
            if let Some(stream) = taken(accepted, caller).await {
                return stream;
            }
        }
    }
}

/// What was accepted, if it is a connection of the worker.
async fn taken<S>(accepted: io::Result<Option<S>>, caller: &GateCaller) -> Option<S> {
    match accepted {
        Ok(Some(stream)) => return Some(stream),
        // A plugin can make as many of these as it likes, so nothing waits and the log stays quiet.
        Ok(None) => {
            tracing::debug!(worker = %caller.worker(), "hung up on a process that is not the worker's, or is gone");
        }
        Err(error) => {
            tracing::warn!(%error, worker = %caller.worker(), "failed to accept a worker's connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
    None
}
