//! How bytes reach a server: the caller's to know.

use std::future::Future;
use std::io;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// What bytes travel over in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Duplex for S {}

/// A connection of any make.
pub type ByteStream = Box<dyn Duplex>;

/// Makes connections to one server, ready for plain HTTP: TLS and the vetting of addresses happen in here.
///
/// The text of an error reaches people, so it says what they can act upon and holds no secret. A connection over TCP
/// should have `TCP_NODELAY`, as messages are small and their answers awaited. Closures that give such a future are
/// connectors.
pub trait Connector: Send + Sync + 'static {
    /// A new connection. Given up by dropping the future.
    fn connect(&self) -> BoxFuture<'_, io::Result<ByteStream>>;
}

impl<F, R, S> Connector for F
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = io::Result<S>> + Send + 'static,
    S: Duplex,
{
    fn connect(&self) -> BoxFuture<'_, io::Result<ByteStream>> {
        self().map(|connected| connected.map(|stream| Box::new(stream) as ByteStream)).boxed()
    }
}
