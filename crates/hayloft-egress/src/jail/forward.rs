//! One connection of a jail, forwarded to the host that it is permitted.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::hello::{self, Opening};
use super::pace::Pace;
use super::refusals::{Reason, Refusals};
use crate::{ConnectError, Egress, Permit};

/// Where clients speak TLS from their first byte on.
const TLS_PORT: u16 = 443;

/// How long a client may take for its first words, once they must come or have begun.
const FIRST_WORDS: Duration = Duration::from_secs(10);

/// How much is read at once in one direction, in bytes. A worker may hold as many of these as it has connections.
const PIECE: usize = 32 << 10;

/// A connection of a jail.
pub trait JailStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Makes its end look like a failure on the other side, as far as it can.
    fn cut(&mut self);
}

impl JailStream for TcpStream {
    fn cut(&mut self) {
        // Without it the other side sees an orderly end, which is as final.
        let _ = self.set_zero_linger();
    }
}

impl JailStream for UnixStream {
    fn cut(&mut self) {}
}

/// What it takes to forward a connection.
pub(super) struct Forwarding<'f> {
    pub(super) egress: &'f Egress,
    pub(super) permit: &'f Permit,
    pub(super) bytes: &'f Pace,
    pub(super) refusals: &'f Refusals,
}

/// Why a connection ended other than by both sides being done.
enum Broken {
    /// One side is gone.
    Gone,
    /// It is refused.
    Refused(Reason),
    /// The other side cannot be reached.
    Unreachable(ConnectError),
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl Forwarding<'_> {
    /// Forwards until both sides are done or one is gone.
    pub(super) async fn run(&self, mut client: impl JailStream) {
        let _open = Open::new();
        let outcome = match self.carry(&mut client).await {
            Ok(()) => "done",
            Err(Broken::Gone) => {
                client.cut();
                "broken"
            }
            Err(Broken::Refused(reason)) => {
                self.refuse(reason);
                client.cut();
                "refused"
            }
            Err(Broken::Unreachable(error)) => {
                if let ConnectError::NotPublic { special, .. } = &error {
                    self.refuse(Reason::NotPublic(*special));
                }
                tracing::debug!(host = %self.permit.host(), port = self.permit.port(), %error, "failed to forward");
                client.cut();
                error.as_str()
            }
        };
        metrics::counter!("hayloft_egress_connections_total", "outcome" => outcome).increment(1);
    }

    fn refuse(&self, reason: Reason) {
        self.refusals.note(Some(self.permit.host().to_string()), Some(self.permit.port()), reason);
    }

    async fn carry(&self, client: &mut impl JailStream) -> Result<(), Broken> {
        let begun = Instant::now();
        let mut first = Vec::new();
        let checked = self.permit.port() == TLS_PORT;
        if checked {
            // Before anybody outside hears of it.
            match timeout(FIRST_WORDS, self.opening(client, &mut first)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Err(Broken::Refused(Reason::NoTls)),
                Ok(Err(broken)) => return Err(broken),
                Err(_) => return Err(Broken::Gone),
            }
        }
        let waited = begun.elapsed();
        let mut server = self.egress.dial(self.permit).await.map_err(Broken::Unreachable)?;
        metrics::histogram!("hayloft_egress_connect_seconds")
            .record((begun.elapsed() - waited).as_secs_f64());
        server.write_all(&first).await?;
        drop(first);
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_server, mut to_server) = server.split();
        let out = async {
            if !checked {
                let mut first = Vec::new();
                // Where the server speaks first, there is no telling when the client does.
                first.push(match from_client.read_u8().await {
                    Ok(byte) => byte,
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        to_server.shutdown().await?;
                        return Ok(());
                    }
                    Err(_) => return Err(Broken::Gone),
                });
                let until = Instant::now() + FIRST_WORDS;
                timeout_at(until, self.opening(&mut from_client, &mut first))
                    .await
                    .map_err(|_| Broken::Gone)??;
                to_server.write_all(&first).await?;
            }
            self.copy(&mut from_client, &mut to_server, "out").await
        };
        let back = self.copy(&mut from_server, &mut to_client, "in");
        tokio::try_join!(out, back).map(|_| ())
    }

    /// Reads until it is clear how the client begins: whether with TLS, and if so, for the right host.
    async fn opening(
        &self,
        client: &mut (impl AsyncRead + Unpin),
        first: &mut Vec<u8>,
    ) -> Result<bool, Broken> {
        loop {
            match hello::inspect(first, self.permit.host()) {
                Opening::Right => return Ok(true),
                Opening::Other => return Ok(false),
                Opening::Wrong(fault) => return Err(Broken::Refused(fault.into())),
                Opening::Unfinished => {
                    if client.read_buf(first).await? == 0 {
                        return Err(Broken::Gone);
                    }
                }
            }
        }
    }

    /// One direction. The next piece is read when the last one is written, so that whoever is slow slows the other.
    async fn copy(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        direction: &'static str,
    ) -> Result<(), Broken> {
        let counter = metrics::counter!("hayloft_egress_bytes_total", "direction" => direction);
        let mut piece = vec![0; PIECE];
        loop {
            let length = from.read(&mut piece).await?;
            if length == 0 {
                to.shutdown().await?;
                return Ok(());
            }
            self.bytes.take(length).await;
            to.write_all(piece.get(..length).unwrap_or_default()).await?;
            counter.increment(length as u64);
        }
    }
}

/// One more connection in the figures, for as long as this lives.
pub(crate) struct Open(metrics::Gauge);

impl Open {
    pub(crate) fn new() -> Self {
        let gauge = metrics::gauge!("hayloft_egress_connections");
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
