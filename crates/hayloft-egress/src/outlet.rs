//! Connections that the host itself makes on behalf of somebody: vetted like those of a jail, with TLS where that
//! belongs, and under limits of their own.
//!
//! It must not know what is said over them, nor on whose behalf: whoever asks brings the [`Policy`], and whoever watches
//! is told what was refused.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hayloft_model::HostName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, timeout};
use tokio_rustls::client::TlsStream;

use crate::jail::forward::Open;
use crate::jail::pace::Pace;
use crate::jail::refusals::{Refusals, WINDOW};
use crate::jail::{JailLimits, Reason, Watch};
use crate::{ConnectError, Denial, Egress, HostNameError, Permit, Policy, Tls};

/// How long a host may take to agree on TLS.
const AGREE: Duration = Duration::from_secs(10);

/// Where somebody wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name, which is what is compared, looked up and named in TLS.
    pub host: HostName,
    /// The port.
    pub port: u16,
    /// How it is spoken to.
    pub security: Security,
}

/// How a place is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Over TLS.
    Tls,
    /// In the clear, which is allowed for granted private addresses only.
    Clear,
}

/// Why there is no connection. The text is for people and holds nothing but the host and the port.
#[derive(Debug, thiserror::Error)]
pub enum OutletError {
    /// What stands where a name belongs is none.
    #[error("its host `{text}` {error}")]
    Host {
        /// What stands there, made harmless.
        text: String,
        /// What is wrong with it.
        error: HostNameError,
    },
    /// The policy says no.
    #[error(
        "`{host}`, port {port}, may not be reached: {denial}; the plugin's `network` list names what it speaks to, and \
         an operator can grant more"
    )]
    Denied {
        /// Which host.
        host: HostName,
        /// At which port.
        port: u16,
        /// Why not.
        denial: Denial,
    },
    /// It would be sent in the clear.
    #[error("`{host}` is not spoken to without TLS, as no operator granted its address; use `https`")]
    Clear {
        /// Which host.
        host: HostName,
    },
    /// Nobody was reached.
    #[error("failed to reach `{host}`, port {port}: {error}")]
    Connect {
        /// Which host.
        host: HostName,
        /// At which port.
        port: u16,
        /// Why.
        error: ConnectError,
    },
    /// The host is not who it should be, or speaks no TLS.
    #[error("failed to agree on TLS with `{host}`: {error}")]
    Tls {
        /// Which host.
        host: HostName,
        /// Why.
        error: io::Error,
    },
    /// The host took too long to agree on TLS.
    #[error("`{host}` did not agree on TLS within {} s", AGREE.as_secs())]
    TlsTooSlow {
        /// Which host.
        host: HostName,
    },
}

impl OutletError {
    /// Whether it was refused here: nobody outside but perhaps a name server heard of it, and asking again helps only
    /// once something here has changed.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Host { .. } | Self::Denied { .. } | Self::Clear { .. } => true,
            Self::Connect { error, .. } => error.is_refusal(),
            Self::Tls { .. } | Self::TlsTooSlow { .. } => false,
        }
    }

    const fn as_str(&self) -> &'static str {
        match self {
            Self::Host { .. } | Self::Denied { .. } | Self::Clear { .. } => "refused",
            Self::Connect { error, .. } => error.as_str(),
            Self::Tls { .. } | Self::TlsTooSlow { .. } => "no_tls",
        }
    }
}

impl Place {
    /// Reads the host of an address, as it stands there.
    ///
    /// # Errors
    /// When it is no name: an address of a machine, in whichever spelling, is none.
    pub fn parse(host: &str, port: u16, security: Security) -> Result<Self, OutletError> {
        let host = HostName::parse(host)
            .map_err(|error| OutletError::Host { text: host.escape_debug().to_string(), error })?;
        Ok(Self { host, port, security })
    }
}

/// Makes connections on behalf of one somebody, who shares the limits over all of them. Whoever keeps it tells of
/// repeated refusals from time to time, with [`Outlet::tell`]; those that are left are told at its end.
pub struct Outlet {
    shared: Arc<Shared>,
    watch: Arc<dyn Watch>,
}

/// What all who share the limits have in common.
struct Shared {
    egress: Egress,
    tls: Tls,
    slots: Arc<Semaphore>,
    connecting: Pace,
    bytes: Arc<Pace>,
    refusals: Refusals,
}

impl Outlet {
    /// How long repetitions of a refusal are counted before their number is told.
    pub const TELL_EVERY: Duration = WINDOW;

    /// Nothing is connected yet.
    #[must_use]
    pub fn new(egress: Egress, tls: Tls, limits: &JailLimits, watch: Arc<dyn Watch>) -> Self {
        let shared = Shared {
            egress,
            tls,
            slots: Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS))),
            connecting: Pace::new(limits.connections_per_second, 2.0),
            bytes: Arc::new(Pace::new(limits.bytes_per_second, 0.25)),
            refusals: Refusals::new(Arc::clone(&watch)),
        };
        Self { shared: Arc::new(shared), watch }
    }

    /// The same outlet, with the same limits and the same count of refusals, for a part of that somebody: of what is
    /// refused first to this part, another one is told.
    #[must_use]
    pub fn telling(&self, watch: Arc<dyn Watch>) -> Self {
        Self { shared: Arc::clone(&self.shared), watch }
    }

    /// Whether nobody else has a part of it.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    /// Whether a place may be reached, before anything is looked up.
    ///
    /// # Errors
    /// When it may not, which is told to whoever watches.
    pub fn permit(&self, policy: &Policy, place: &Place) -> Result<Permit, OutletError> {
        let Place { host, port, security } = place;
        let permit = policy.permit(host, *port).map_err(|denial| {
            let reason = match denial {
                Denial::Host => Reason::Host,
                Denial::Port => Reason::Port,
            };
            self.refuse(host, *port, reason);
            OutletError::Denied { host: host.clone(), port: *port, denial }
        })?;
        if *security == Security::Clear && !permit.is_granted() {
            self.refuse(host, *port, Reason::NoTls);
            return Err(OutletError::Clear { host: host.clone() });
        }
        Ok(permit)
    }

    /// Connects. The name is looked up once, and what was vetted is what is dialled and named. Whoever has all the
    /// connections that are allowed waits for one to end.
    ///
    /// # Errors
    /// See [`OutletError`].
    pub async fn connect(&self, policy: &Policy, place: &Place) -> Result<OutletStream, OutletError> {
        let connected = self.try_connect(policy, place).await;
        let outcome = connected.as_ref().map_or_else(OutletError::as_str, |_| "done");
        metrics::counter!("hayloft_egress_connections_total", "outcome" => outcome).increment(1);
        connected
    }

    async fn try_connect(&self, policy: &Policy, place: &Place) -> Result<OutletStream, OutletError> {
        let Place { host, port, security } = place;
        let permit = self.permit(policy, place)?;
        let slot = Arc::clone(&self.shared.slots).acquire_owned().await;
        self.shared.connecting.take(1).await;
        let begun = Instant::now();
        let stream = self.shared.egress.dial(&permit).await.map_err(|error| {
            if let ConnectError::NotPublic { special, .. } = &error {
                self.refuse(host, *port, Reason::NotPublic(*special));
            }
            OutletError::Connect { host: host.clone(), port: *port, error }
        })?;
        metrics::histogram!("hayloft_egress_connect_seconds").record(begun.elapsed().as_secs_f64());
        let stream = match security {
            Security::Clear => Wire::Clear(stream),
            Security::Tls => match timeout(AGREE, self.shared.tls.connect(host, stream)).await {
                Ok(Ok(stream)) => Wire::Tls(Box::new(stream)),
                Ok(Err(error)) => return Err(OutletError::Tls { host: host.clone(), error }),
                Err(_) => return Err(OutletError::TlsTooSlow { host: host.clone() }),
            },
        };
        Ok(OutletStream {
            wire: stream,
            bytes: Arc::clone(&self.shared.bytes),
            owed: Box::pin(tokio::time::sleep(Duration::ZERO)),
            counters: ["in", "out"]
                .map(|direction| metrics::counter!("hayloft_egress_bytes_total", "direction" => direction)),
            _open: Open::new(),
            _slot: slot.ok(),
        })
    }

    /// Tells how often was refused again what was refused before.
    pub fn tell(&self) {
        self.shared.refusals.tell();
    }

    fn refuse(&self, host: &HostName, port: u16, reason: Reason) {
        self.shared.refusals.note_for(&self.watch, Some(host.to_string()), Some(port), reason);
    }
}

/// A connection. What goes over it is counted, and waits its turn.
pub struct OutletStream {
    wire: Wire,
    bytes: Arc<Pace>,
    /// Until then nothing more is moved.
    owed: Pin<Box<Sleep>>,
    counters: [metrics::Counter; 2],
    _open: Open,
    _slot: Option<OwnedSemaphorePermit>,
}

enum Wire {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl OutletStream {
    /// Waits until what was moved before is no longer owed.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.owed.as_mut().poll(context)
    }

    fn moved(&mut self, direction: usize, length: usize) {
        if let Some(counter) = self.counters.get(direction) {
            counter.increment(length as u64);
        }
        if let Some(wait) = self.bytes.owe(length) {
            self.owed.as_mut().reset(Instant::now() + wait);
        }
    }
}

impl AsyncRead for OutletStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_turn(context));
        let before = buffer.filled().len();
        let read = match &mut self.wire {
            Wire::Clear(stream) => Pin::new(stream).poll_read(context, buffer),
            Wire::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        ready!(read)?;
        let length = buffer.filled().len() - before;
        self.moved(0, length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for OutletStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context));
        let written = match &mut self.wire {
            Wire::Clear(stream) => Pin::new(stream).poll_write(context, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        let length = ready!(written)?;
        self.moved(1, length);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Clear(stream) => Pin::new(stream).poll_flush(context),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests;
