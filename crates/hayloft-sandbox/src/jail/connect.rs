//! The way to what listens inside a jail.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use hayloft_stage::lifeline::{self, Order};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Jail, died, refusal};

/// How long a connection may take. Inside one machine it comes at once or not at all, but for a listener that lets
/// connections pile up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a process of the jail may listen for others of the same jail. Many programs take the one, and some the other.
const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

impl Jail {
    /// Connects to what listens on a port of the jail's own network. The socket is made by the jail's first process and
    /// never leaves that network, so this leads into the jail or nowhere.
    ///
    /// # Errors
    /// `ConnectionRefused` when nothing listens there, `Unsupported` where jails have no network of their own,
    /// `TimedOut` when what listens takes no connections, anything else when the jail is ending.
    #[expect(clippy::disallowed_methods, reason = "the socket is the jail's, so this leads nowhere else")]
    pub async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        if !self.tenancy.tier.has_namespaces() {
            let message = format!("jails of tier {} have no network of their own", self.tenancy.tier);
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        let connected = async {
            let mut refused = io::Error::from(io::ErrorKind::ConnectionRefused);
            for address in LOOPBACKS {
                let connected = match self.socket(address.is_ipv6()).await {
                    Ok(socket) => socket.connect((address, port).into()).await,
                    Err(error) => Err(error),
                };
                match connected {
                    Ok(stream) => return Ok(stream),
                    // A machine without IPv6 says that there is no such address.
                    Err(_) if address.is_ipv6() => {}
                    Err(error) => refused = error,
                }
            }
            Err(refused)
        };
        timeout(PATIENCE, connected).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// A socket in the jail's network, connected to nothing.
    async fn socket(&self, ipv6: bool) -> io::Result<TcpSocket> {
        const LABEL: &str = "a connection into the jail";
        let ended = || io::Error::other(died(LABEL, self.tenancy.first.pid));
        let (made, answer) = oneshot::channel::<Result<OwnedFd, _>>();
        let id = {
            let mut registry = self.tenancy.registry();
            if registry.has_ended() {
                drop(registry);
                return Err(ended());
            }
            registry.next += 1;
            let id = registry.next;
            registry.starting.insert(id, made);
            id
        };
        let sent = lifeline::send(&self.tenancy.lifeline, &Order::Socket { id, ipv6 }, &[]);
        if let Err(error) = sent {
            self.tenancy.registry().starting.remove(&id);
            return Err(error);
        }
        let socket = answer.await.map_err(|_| ended())?;
        let socket = socket.map_err(|failure| io::Error::other(refusal(LABEL, failure)))?;
        Ok(TcpSocket::from_std_stream(socket.into()))
    }
}
