//! From a socket to the router and back: accept, bound, drain.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::App;
use crate::address::Peer;
use crate::limits::ServerLimits;
use crate::linger::{Lingering, Unread};

/// The largest head of a request, in bytes. It may have 100 fields, which is what hyper holds without an allocation.
const HEAD_BYTES: usize = 64 << 10;

/// How long to wait when the system has no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the memory of abandoned MCP sessions is given back.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How the server is told to stop, in two steps. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
}

impl Shutdown {
    /// A server that is not told to stop yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Take no new work and end what there is.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    pub(crate) fn draining(&self) -> CancellationToken {
        self.drain.clone()
    }
}

/// An address that is ours already, though nothing is answered yet: connections wait in the system's queue.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Why an address could not be had.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on `{address}`")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

impl BindError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                Some("another program listens there: stop it, or choose another `--listen`")
            }
            io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need privileges: choose another `--listen`")
            }
            io::ErrorKind::AddrNotAvailable => {
                Some("this machine does not have that address: choose another `--listen`")
            }
            _ => None,
        }
    }
}

impl Listener {
    /// Takes an address. Port 0 takes any free one.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address })
    }

    /// The address that was taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until the shutdown says drain, then ends what is in flight within the time that the limits
    /// give. Connections that are not done by then are cut.
    pub async fn serve(self, app: App, shutdown: Shutdown) {
        let App { router, state } = app;
        let limits = state.limits;
        let caps = Caps::new(&limits);
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                // The set keeps what ended until it is asked.
                Some(_) = connections.join_next() => continue,
                _ = sweep.tick() => {
                    state.mcp.sweep();
                    continue;
                }
                () = shutdown.drain.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Over its share a peer is hung up on at once: waiting for a place would hold up everybody else.
                    if let Some(place) = caps.take(peer.ip()) {
                        let connection = serve_connection(stream, peer, &router, &limits, &graceful);
                        connections.spawn(async move {
                            let _place = place;
                            if let Err(error) = connection.await {
                                tracing::debug!(%error, %peer, "a connection ended early");
                            }
                        });
                    } else {
                        metrics::counter!("hayloft_connections_refused_total").increment(1);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.socket);
        // Streams of the MCP endpoint never end by themselves.
        state.mcp.close();
        if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
            while connections.try_join_next().is_some() {}
            tracing::warn!(
                connections = connections.len(),
                seconds = limits.drain.as_secs(),
                "connections were cut that did not end in time"
            );
            connections.shutdown().await;
        }
    }
}

/// The work of one connection, which ends by itself when told to drain and it is not in the middle of a request.
fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: &axum::Router,
    limits: &ServerLimits,
    graceful: &GracefulShutdown,
) -> impl Future<Output = hyper::Result<()>> + Send + use<> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to switch off Nagle's algorithm");
    }
    let router = router.clone();
    let unread = Unread::default();
    let stream = TokioIo::new(Lingering::new(stream, unread.clone()));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request.map(|body| Body::new(unread.watch(body))))
    });
    let connection = http1(limits.request_head_time, HEAD_BYTES).serve_connection(stream, service);
    graceful.watch(connection)
}

/// HTTP/1.1 with bounds on the head of a request: its size in bytes, and its time, which is also how long an idle
/// connection is kept. Nothing is upgraded.
pub(crate) fn http1(head_time: Duration, head_bytes: usize) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_time).max_header_size(head_bytes);
    builder
}

/// How many connections there may be, and from one address.
struct Caps {
    all: Arc<Semaphore>,
    per_address: usize,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection's share; given back when dropped.
struct Place {
    address: IpAddr,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Caps {
    fn new(limits: &ServerLimits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.connections)),
            per_address: limits.connections_per_address,
            held: Arc::default(),
        }
    }

    fn take(&self, address: IpAddr) -> Option<Place> {
        let place = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Place { address, held: Arc::clone(&self.held), _place: place })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests are the peers")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tests::fixture::Fixture;

    #[test]
    fn nobody_holds_more_than_its_share() {
        let caps =
            Caps::new(&ServerLimits { connections: 3, connections_per_address: 2, ..Default::default() });
        let [one, two]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        let first = caps.take(one).unwrap();
        let _second = caps.take(one).unwrap();
        assert!(caps.take(one).is_none());
        let third = caps.take(two).unwrap();
        assert!(caps.take(two).is_none());
        drop(third);
        drop(first);
        assert!(caps.take(one).is_some());
        assert_eq!(caps.held.lock().unwrap().get(&two), None);
    }

    #[tokio::test]
    async fn an_address_is_taken_once() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = Listener::bind(listener.address()).await.err().unwrap();
        assert!(error.hint().unwrap().contains("--listen"));
    }

    /// A server over the fixture, what ends it, and the fixture's memory, which must outlive it.
    async fn serve(
        limits: ServerLimits,
    ) -> (SocketAddr, Shutdown, tokio::task::JoinHandle<()>, tempfile::TempDir) {
        let Fixture { app, shutdown, folder, .. } = Fixture::with_limits(limits).await;
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.address();
        (address, shutdown.clone(), tokio::spawn(listener.serve(app, shutdown)), folder)
    }

    /// What the server says before it hangs up.
    async fn talk(address: SocketAddr, sent: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        // A reset says the same as an end: nothing more comes. One that never comes fails the test.
        let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await.unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }

    #[tokio::test]
    async fn a_head_that_does_not_end_is_hung_up_on() {
        let limits = ServerLimits { request_head_time: Duration::from_millis(50), ..Default::default() };
        let (address, _shutdown, _serving, _folder) = serve(limits).await;
        assert!(!talk(address, "GET /health HTTP/1.1\r\nhost: x\r\nx-slow").await.contains("200 OK"));
        // The control, whose idle connection is ended after its answer too.
        assert!(
            talk(address, "GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 200 OK")
        );
    }

    #[tokio::test]
    async fn what_is_no_clear_request_is_refused() {
        let limits = ServerLimits { request_head_time: Duration::from_secs(2), ..Default::default() };
        let (address, _shutdown, _serving, _folder) = serve(limits).await;
        let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
        let cases = [
            "GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n".to_owned(),
            "GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: +5\r\n\r\n".to_owned(),
            "GET /health HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n".to_owned(),
            "GET /health HTTP/1.1\r\nhost : x\r\n\r\n".to_owned(),
            format!("GET /health HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
            format!("GET /health HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(HEAD_BYTES)),
        ];
        for case in cases {
            let said = talk(address, &case).await;
            assert!(said.starts_with("HTTP/1.1 4"), "{:.200}: {said:.200}", case.escape_debug().to_string());
        }
    }

    #[tokio::test]
    async fn a_drain_ends_idle_connections_and_the_server() {
        let (address, shutdown, serving, _folder) = serve(ServerLimits::default()).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        idle.read_exact(&mut first).await.unwrap();
        shutdown.drain();
        serving.await.unwrap();
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_drain_cuts_what_does_not_end() {
        let limits = ServerLimits { drain: Duration::from_millis(50), ..Default::default() };
        let (address, shutdown, serving, _folder) = serve(limits).await;
        // A request whose body never comes: it needs a token to be waited for.
        let mut stuck = TcpStream::connect(address).await.unwrap();
        let head = "POST /v1/orgs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer the-administrator-of-this-test\r\n\
                    expect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n";
        stuck.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        // The server asks for the body, so the request is in flight.
        stuck.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 100");
        shutdown.drain();
        serving.await.unwrap();
        // Well before the server would give up on the body by itself.
        let mut rest = String::new();
        let end = tokio::time::timeout(Duration::from_secs(10), stuck.read_to_string(&mut rest)).await;
        end.expect("the connection is cut").unwrap();
        assert_eq!(rest, " Continue\r\n\r\n");
    }
}
