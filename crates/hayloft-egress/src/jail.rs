//! The network of one jail, answered from the host's side.
//!
//! A jail has sockets of its own network and nothing behind them: a name server, and listeners at which every address
//! that stands for a name arrives. They are handed to the host by descriptor, and [`JailNetwork`] answers them: names
//! that the policy allows get an address that means them in this jail, connections to it are forwarded to the host of
//! that name, and everything else ends here and is told to a [`Watch`].
//!
//! Everything of one jail runs in the caller's one task, with limits, so that a worker which floods it has that one turn
//! among everybody's.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::try_join3;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use hayloft_model::HostName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{Instant, interval_at, timeout};

mod answer;
pub(crate) mod forward;
mod hello;
mod names;
pub(crate) mod pace;
pub(crate) mod refusals;

pub use forward::JailStream;
pub use names::{HOST_ADDRESS, HOST_NAME};
pub use refusals::{Reason, Refusal, Watch};

use crate::{Denial, Egress, Policy};
use answer::Name;
use forward::Forwarding;
use names::Names;
use pace::Pace;
use refusals::Refusals;

/// How long to wait when the system has no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest question by datagram that is read, in bytes; longer ones are cut and get no answer.
const LONGEST_QUESTION: usize = 1500;

/// How many questions one connection to the name server may ask.
const QUESTIONS: usize = 64;

/// How long a connection to the name server may be silent, and how long a request for a connection may take.
const SILENCE: Duration = Duration::from_secs(10);

/// Longest request for a connection, in bytes: a name, a port and what stands around them.
const LONGEST_REQUEST: u64 = 512;

/// The sockets that were made inside a jail.
#[derive(Debug)]
pub struct Sockets {
    /// The name server's, for datagrams.
    pub names: std::net::UdpSocket,
    /// The name server's, for connections.
    pub names_by_stream: std::net::TcpListener,
    /// One for each port, at every address of the jail.
    pub listeners: Vec<std::net::TcpListener>,
}

/// What one jail may ask of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JailLimits {
    /// Connections at once. Further ones wait in the system's queue.
    pub connections: usize,
    /// New connections per second.
    pub connections_per_second: u64,
    /// Bytes per second, in both directions and over all connections together.
    pub bytes_per_second: u64,
    /// Names looked up per second.
    pub lookups_per_second: u64,
}

impl Default for JailLimits {
    fn default() -> Self {
        Self {
            connections: 128,
            connections_per_second: 50,
            bytes_per_second: 64 << 20,
            lookups_per_second: 100,
        }
    }
}

/// Answers the network of one jail.
pub struct JailNetwork {
    egress: Egress,
    policy: Arc<Policy>,
    names: Names,
    connections: usize,
    connecting: Pace,
    bytes: Pace,
    lookups: Pace,
    refusals: Refusals,
}

impl JailNetwork {
    /// A network with nobody in it yet.
    #[must_use]
    pub fn new(egress: Egress, policy: Arc<Policy>, limits: &JailLimits, watch: Arc<dyn Watch>) -> Self {
        Self {
            names: Names::new(policy.named()),
            egress,
            policy,
            connections: limits.connections.max(1),
            connecting: Pace::new(limits.connections_per_second, 2.0),
            bytes: Pace::new(limits.bytes_per_second, 0.25),
            lookups: Pace::new(limits.lookups_per_second, 2.0),
            refusals: Refusals::new(watch),
        }
    }

    /// Answers everything that arrives at a jail's sockets, for as long as this is polled. Dropping it cuts all
    /// connections.
    ///
    /// # Errors
    /// When the sockets cannot be used at all.
    pub async fn serve(&self, sockets: Sockets) -> io::Result<Infallible> {
        sockets.names.set_nonblocking(true)?;
        let datagrams = UdpSocket::from_std(sockets.names)?;
        let mut listeners = Vec::with_capacity(sockets.listeners.len() + 1);
        for listener in std::iter::once(sockets.names_by_stream).chain(sockets.listeners) {
            listener.set_nonblocking(true)?;
            listeners.push(TcpListener::from_std(listener)?);
        }
        let streams = self.streams(&listeners).map(Ok::<Infallible, io::Error>);
        let datagrams = self.datagrams(&datagrams).map(Ok::<Infallible, io::Error>);
        try_join3(streams, datagrams, self.count().map(Ok)).await.map(|(never, _, _)| never)
    }

    /// Answers a connection by its first line: `lookup HOST` with the address that stands for the name, or an empty line
    /// for none; `connect HOST PORT` by forwarding it, where such an address may stand for its name. It is for jails
    /// without a network of their own, where programs are led to a socket of the host.
    pub async fn requested(&self, stream: impl JailStream) {
        self.connecting.take(1).await;
        let mut stream = BufReader::with_capacity(LONGEST_REQUEST as usize, stream);
        let mut line = Vec::new();
        let mut head = (&mut stream).take(LONGEST_REQUEST);
        let read = timeout(SILENCE, head.read_until(b'\n', &mut line)).await;
        if !matches!(read, Ok(Ok(1..))) {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        match *text.trim_end().split(' ').collect::<Vec<_>>() {
            ["lookup", name] => {
                self.lookups.take(1).await;
                let address = self.look_up(name).map(|address| address.to_string()).unwrap_or_default();
                // Whoever does not hear it asks again.
                let _ = stream.write_all(format!("{address}\n").as_bytes()).await;
            }
            ["connect", name, port] => {
                let Ok(port) = port.parse() else { return };
                let held = name.parse().ok().and_then(|address| self.names.name_of(address));
                match held.as_ref().map(|held| held.host().clone()).map_or_else(|| HostName::parse(name), Ok)
                {
                    Ok(host) => self.forward(stream, &host, port).await,
                    Err(_) => {
                        self.refusals.note(Some(name.escape_debug().to_string()), Some(port), Reason::Host);
                    }
                }
            }
            _ => {}
        }
    }

    /// The address that stands for a name, as the name server would tell it.
    fn look_up(&self, name: &str) -> Option<Ipv4Addr> {
        let known = HostName::parse(name).map_or(Name::Refused, |host| self.name(&host));
        let (address, reason) = match known {
            Name::Known(address) => (Some(address), None),
            Name::Refused => (None, Some(Reason::Host)),
            Name::Full => (None, Some(Reason::TooManyNames)),
        };
        self.looked_up(reason.map(|reason| (name.escape_debug().to_string(), reason)));
        address
    }

    /// What is said about a name.
    fn name(&self, host: &HostName) -> Name {
        if host.as_str() == HOST_NAME {
            return Name::Known(HOST_ADDRESS);
        }
        match self.policy.knows(host) {
            true => self.names.address_of(host).map_or(Name::Full, Name::Known),
            false => Name::Refused,
        }
    }

    fn looked_up(&self, refused: Option<(String, Reason)>) {
        let outcome = if refused.is_some() { "refused" } else { "answered" };
        metrics::counter!("hayloft_egress_lookups_total", "outcome" => outcome).increment(1);
        if let Some((name, reason)) = refused {
            self.refusals.note(Some(name), None, reason);
        }
    }

    /// Tells the numbers of refusals from time to time.
    async fn count(&self) -> Infallible {
        // Nothing was counted before the first one is over.
        let mut window = interval_at(Instant::now() + refusals::WINDOW, refusals::WINDOW);
        loop {
            window.tick().await;
            self.refusals.tell();
        }
    }

    async fn datagrams(&self, socket: &UdpSocket) -> Infallible {
        let mut question = vec![0; LONGEST_QUESTION];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut question).await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            self.lookups.take(1).await;
            if let Some(answer) = self.answer(question.get(..length).unwrap_or_default()) {
                // Whoever does not hear it asks again.
                let _ = socket.send_to(&answer, from).await;
            }
        }
    }

    /// The listener for questions comes first.
    async fn streams(&self, listeners: &[TcpListener]) -> Infallible {
        let mut open = FuturesUnordered::new();
        let mut turn = 0;
        loop {
            tokio::select! {
                (index, accepted) = accept(listeners, &mut turn), if open.len() < self.connections => match accepted {
                    Ok(stream) => {
                        let connection = async move {
                            if index == 0 { self.questions(stream).await } else { self.connection(stream).await }
                        };
                        open.push(AssertUnwindSafe(connection).catch_unwind());
                    }
                    // A worker can make as many of these as it likes, so the log stays quiet.
                    Err(error) => {
                        tracing::debug!(%error, "failed to accept a connection of a jail");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = open.next() => {
                    if ended.is_err() {
                        tracing::error!("failed to forward a connection of a jail: it panicked");
                    }
                }
            }
        }
    }

    /// Questions over a connection, each behind its length (RFC 7766).
    async fn questions(&self, mut stream: TcpStream) {
        let exchange = async {
            for _ in 0..QUESTIONS {
                let mut question = vec![0; usize::from(stream.read_u16().await?)];
                stream.read_exact(&mut question).await?;
                self.lookups.take(1).await;
                let answer = self.answer(&question).ok_or(io::ErrorKind::InvalidData)?;
                let length = u16::try_from(answer.len()).map_err(|_| io::ErrorKind::InvalidData)?;
                // In one piece, or the answer waits until its length was acknowledged (RFC 7766, section 8).
                stream.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat()).await?;
            }
            Ok::<_, io::Error>(())
        };
        // However it ends, it was the worker's own affair.
        let _ = timeout(SILENCE, exchange).await;
    }

    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let answer = answer::answer(question, |host| self.name(host))?;
        self.looked_up(answer.refused);
        Some(answer.bytes)
    }

    async fn connection(&self, stream: TcpStream) {
        self.connecting.take(1).await;
        let Ok(SocketAddr::V4(address)) = stream.local_addr() else { return };
        let Some(name) = self.names.name_of(*address.ip()) else {
            // On its own loopback a jail may try what it likes; that is no way out.
            if !IpAddr::V4(*address.ip()).is_loopback() {
                self.refusals.note(Some(address.ip().to_string()), Some(address.port()), Reason::NoName);
            }
            let mut stream = stream;
            stream.cut();
            return;
        };
        let _ = stream.set_nodelay(true);
        self.forward(stream, name.host(), address.port()).await;
    }

    async fn forward<S: JailStream>(&self, stream: S, host: &HostName, port: u16) {
        let permit = match self.policy.permit(host, port) {
            Ok(permit) => permit,
            Err(denial) => {
                let reason = match denial {
                    Denial::Host => Reason::Host,
                    Denial::Port => Reason::Port,
                };
                self.refusals.note(Some(host.to_string()), Some(port), reason);
                let mut stream = stream;
                stream.cut();
                return;
            }
        };
        let forwarding = Forwarding {
            egress: &self.egress,
            permit: &permit,
            bytes: &self.bytes,
            refusals: &self.refusals,
        };
        forwarding.run(stream).await;
    }
}

/// The next connection of any listener, each having its turn.
async fn accept(listeners: &[TcpListener], turn: &mut usize) -> (usize, io::Result<TcpStream>) {
    poll_fn(|context| {
        for offset in 0..listeners.len() {
            let index = (*turn + offset) % listeners.len();
            if let Some(Poll::Ready(accepted)) =
                listeners.get(index).map(|listener| listener.poll_accept(context))
            {
                *turn = index + 1;
                return Poll::Ready((index, accepted.map(|(stream, _)| stream)));
            }
        }
        Poll::Pending
    })
    .await
}

impl<S: JailStream> JailStream for BufReader<S> {
    fn cut(&mut self) {
        self.get_mut().cut();
    }
}

#[cfg(test)]
mod tests;
