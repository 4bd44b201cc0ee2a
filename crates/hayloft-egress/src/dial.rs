//! The way out: look a name up once, vet what it means, and dial exactly that.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::policy::{Denial, Permit, Policy};
use crate::resolve::{Resolve, ResolveError};
use crate::vet::{Special, vet};
use hayloft_model::HostName;

/// How long names may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(5);

/// How long it may take until a connection stands, its look-up included.
const CONNECT: Duration = Duration::from_secs(10);

/// How long one address has before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How many addresses of one name are tried.
const MOST_ATTEMPTS: usize = 6;

/// The only way out. Clones are the same way.
#[derive(Clone)]
pub struct Egress(Arc<Parts>);

struct Parts {
    resolver: Arc<dyn Resolve>,
    dialer: Arc<dyn Dial>,
}

/// Makes connections to addresses that were vetted.
pub trait Dial: Send + Sync + 'static {
    /// Connects.
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>>;
}

/// This machine's own network.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDialer;

impl Dial for SystemDialer {
    #[expect(clippy::disallowed_methods, reason = "this is the way out")]
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> {
        TcpStream::connect(address).boxed()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The policy says no.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The name means no address of the public internet.
    #[error("its address {address} is not one of the public internet ({special})")]
    NotPublic {
        /// One that it means.
        address: IpAddr,
        /// What that is.
        special: Special,
    },
    /// The name has no address.
    #[error("failed to look it up: {0}")]
    Resolve(#[from] ResolveError),
    /// Nobody answers there.
    #[error("failed to connect: {0}")]
    Connect(io::Error),
    /// It took too long.
    #[error("failed to connect in time")]
    TooSlow,
}

impl ConnectError {
    /// Whether it was refused here, so that nothing was sent to anybody but a name server.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::NotPublic { .. })
    }

    /// A short name for figures.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::NotPublic { .. } => "not_public",
            Self::Resolve(_) => "unknown_host",
            Self::Connect(_) => "unreachable",
            Self::TooSlow => "timeout",
        }
    }
}

impl Egress {
    /// Through this machine's own name servers and network.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Arc::new(crate::resolve::SystemResolver::new()), Arc::new(SystemDialer))
    }

    /// Through others, for tests.
    #[must_use]
    pub fn new(resolver: Arc<dyn Resolve>, dialer: Arc<dyn Dial>) -> Self {
        Self(Arc::new(Parts { resolver, dialer }))
    }

    /// Connects to a host that a policy allows.
    ///
    /// # Errors
    /// When it does not, the name has no public address, or nobody answers.
    pub async fn connect(
        &self,
        policy: &Policy,
        host: &HostName,
        port: u16,
    ) -> Result<TcpStream, ConnectError> {
        self.dial(&policy.permit(host, port)?).await
    }

    /// Connects as permitted. The name is looked up once, and what was vetted is what is dialled.
    ///
    /// # Errors
    /// When the name has no public address, or nobody answers.
    pub async fn dial(&self, permit: &Permit) -> Result<TcpStream, ConnectError> {
        let until = Instant::now() + CONNECT;
        let addresses = self.addresses(permit).await?;
        let stream =
            timeout_at(until, self.first_of(&addresses)).await.map_err(|_| ConnectError::TooSlow)??;
        // Small messages shall not wait for one another; where this fails they do, and nothing else changes.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    async fn addresses(&self, permit: &Permit) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Some(address) = permit.granted {
            return Ok(vec![address]);
        }
        let found = timeout(LOOK_UP, self.0.resolver.resolve(&permit.host)).await;
        let found = found.map_err(|_| ConnectError::TooSlow)??;
        let mut good = Vec::new();
        let mut bad = None;
        for address in found {
            match vet(address) {
                Ok(address) => good.push(SocketAddr::new(address, permit.port)),
                Err(special) => bad = Some(ConnectError::NotPublic { address, special }),
            }
        }
        if good.is_empty() {
            return Err(bad.unwrap_or(ConnectError::Resolve(ResolveError::Unknown)));
        }
        Ok(interleaved(good))
    }

    /// The first connection that stands. Each address gets a head start before the next one.
    async fn first_of(&self, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
        let mut waiting = addresses.iter().take(MOST_ATTEMPTS);
        let mut attempts = FuturesUnordered::new();
        let mut last = None;
        loop {
            let more = match waiting.next() {
                Some(address) => {
                    attempts.push(self.0.dialer.dial(*address));
                    true
                }
                None => false,
            };
            let next = Instant::now() + HEAD_START;
            tokio::select! {
                attempt = attempts.next() => match attempt {
                    Some(Ok(stream)) => return Ok(stream),
                    Some(Err(error)) => last = Some(error),
                    None => return Err(ConnectError::Connect(last.unwrap_or_else(|| io::ErrorKind::NotFound.into()))),
                },
                () = sleep_until(next), if more => {}
            }
        }
    }
}

/// Both families in turn, beginning with that of the first (RFC 8305, section 4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let mut sorted = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return sorted;
        }
        sorted.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests;
