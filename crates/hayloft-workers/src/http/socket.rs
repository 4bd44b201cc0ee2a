//! The socket of a worker's routes, which has no name, and connections to it.

use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustix::fs::{Mode, OFlags};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

/// Where connections to a worker's routes come from: known once its socket exists.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteListener {
    /// A handle on the socket's inode. It is the only way to connect, since the name is gone.
    socket: Arc<OnceCell<OwnedFd>>,
}

impl RouteListener {
    /// Makes the listening socket for the worker. Its name exists only in this call, in a folder that only the host's
    /// user can enter.
    pub(crate) fn bind(&self, folder: &Path) -> io::Result<OwnedFd> {
        // A socket's name is limited to some hundred bytes, so it is spelled through a descriptor of its folder.
        let folder =
            rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let name = by_descriptor(&folder).join("routes");
        let listener = std::os::unix::net::UnixListener::bind(&name)?;
        let socket =
            rustix::fs::open(&name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        std::fs::remove_file(&name)?;
        self.socket
            .set(socket?)
            .map_err(|_| io::Error::new(io::ErrorKind::AlreadyExists, "the worker has its socket already"))?;
        Ok(listener.into())
    }

    async fn connect(self) -> io::Result<RouteStream> {
        let socket = self.socket.get().ok_or(io::ErrorKind::NotConnected)?;
        let stream = UnixStream::connect(by_descriptor(socket)).await?;
        Ok(RouteStream(TokioIo::new(stream)))
    }
}

pub(crate) fn by_descriptor(descriptor: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

/// Makes the connections of a client.
#[derive(Clone)]
pub(super) struct Connector(pub(super) RouteListener);

impl tower::Service<Uri> for Connector {
    type Response = RouteStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<RouteStream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.0.clone().connect())
    }
}

/// A connection to a worker's routes.
pub(super) struct RouteStream(TokioIo<UnixStream>);

impl Connection for RouteStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for RouteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for RouteStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_without_a_name_takes_connections() {
        let deep = tempfile::tempdir().unwrap();
        let folder = deep.path().join("a".repeat(150));
        std::fs::create_dir(&folder).unwrap();
        let routes = RouteListener::default();
        let listener = routes.bind(&folder).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        routes.clone().connect().await.unwrap();
        routes.clone().connect().await.unwrap();
        drop(listener);
        assert!(routes.connect().await.is_err());
    }
}
