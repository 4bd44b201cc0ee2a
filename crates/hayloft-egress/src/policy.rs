//! What one plugin may reach: values that say yes or no to a name and a port.
//!
//! Nothing here looks anything up. A permit says how the address is found: looked up and vetted, or as the operator
//! granted it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use hayloft_model::HostName;
use hayloft_model::plugin::network::{NetworkTarget, NetworkTargetError, WEB_PORTS};

/// Domains that are nobody's on the public internet (RFC 6761, RFC 6762, RFC 7686, RFC 8375, and the names that
/// routers and companies give away).
const NOT_PUBLIC: [&str; 12] = [
    "alt",
    "corp",
    "home",
    "home.arpa",
    "internal",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "test",
];

/// What a plugin may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    reach: Reach,
    private: Vec<PrivateGrant>,
}

/// Hosts of the public internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// These alone, which may be none.
    Listed(Vec<NetworkTarget>),
    /// All of them, at the web's ports, and these at theirs.
    Public(Vec<NetworkTarget>),
    /// None.
    #[default]
    Nothing,
}

/// An operator's word that a name at a port means this address, whatever network it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateGrant {
    /// The name.
    pub host: HostName,
    /// The port under which the plugin knows it.
    pub port: u16,
    /// Where it is.
    pub address: SocketAddr,
}

/// A yes: the name and port, and how their address is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    pub(crate) host: HostName,
    pub(crate) port: u16,
    pub(crate) granted: Option<SocketAddr>,
}

/// A no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denial {
    /// The name is not among what may be reached.
    #[error("the host is not among those that the plugin may reach")]
    Host,
    /// The name is, but not at this port.
    #[error("the host may be reached, but not at this port")]
    Port,
}

impl Policy {
    /// A policy.
    #[must_use]
    pub const fn new(reach: Reach, private: Vec<PrivateGrant>) -> Self {
        Self { reach, private }
    }

    /// These hosts alone, at their web ports.
    #[must_use]
    pub fn hosts(hosts: impl IntoIterator<Item = HostName>) -> Self {
        let targets = hosts.into_iter().map(|host| NetworkTarget { host, ports: WEB_PORTS.into() });
        Self::new(Reach::Listed(targets.collect()), Vec::new())
    }

    /// Whether a name may be reached at any port.
    #[must_use]
    pub fn knows(&self, host: &HostName) -> bool {
        self.private.iter().any(|grant| grant.host == *host)
            || self.targets().iter().any(|target| target.host == *host)
            || (matches!(self.reach, Reach::Public(_)) && is_public(host))
    }

    /// Whether a name may be reached at a port, and how.
    ///
    /// # Errors
    /// When it may not.
    pub fn permit(&self, host: &HostName, port: u16) -> Result<Permit, Denial> {
        let permit = |granted| Permit { host: host.clone(), port, granted };
        if let Some(grant) = self.private.iter().find(|grant| grant.host == *host && grant.port == port) {
            return Ok(permit(Some(grant.address)));
        }
        let listed = self.targets().iter().any(|target| target.host == *host && target.ports.contains(&port));
        let public = matches!(self.reach, Reach::Public(_)) && is_public(host) && WEB_PORTS.contains(&port);
        match self.knows(host) {
            _ if listed || public => Ok(permit(None)),
            true => Err(Denial::Port),
            false => Err(Denial::Host),
        }
    }

    /// All names that are known one by one.
    pub fn named(&self) -> impl Iterator<Item = &HostName> {
        let private = self.private.iter().map(|grant| &grant.host);
        self.targets().iter().map(|target| &target.host).chain(private)
    }

    /// All ports that may be reached at some host; those of the web even if none may, so that refusing is told.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<u16> {
        let listed = self.targets().iter().flat_map(|target| target.ports.iter().copied());
        let private = self.private.iter().map(|grant| grant.port);
        WEB_PORTS.into_iter().chain(listed).chain(private).collect()
    }

    fn targets(&self) -> &[NetworkTarget] {
        match &self.reach {
            Reach::Listed(targets) | Reach::Public(targets) => targets,
            Reach::Nothing => &[],
        }
    }
}

impl Permit {
    /// The name.
    #[must_use]
    pub const fn host(&self) -> &HostName {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether an operator granted the address itself.
    #[must_use]
    pub const fn is_granted(&self) -> bool {
        self.granted.is_some()
    }
}

/// Whether a name can be one of the public internet.
fn is_public(host: &HostName) -> bool {
    host.as_str().contains('.') && !NOT_PUBLIC.into_iter().any(|domain| host.is_within(domain))
}

/// Why a text is no private grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivateGrantError {
    /// It has not the form.
    #[error("must be `HOST:PORT=ADDRESS` or `HOST:PORT=ADDRESS:PORT`")]
    Form,
    /// What stands before `=` is no host at one port.
    #[error("names `{text}`, which {error}")]
    Target {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        error: NetworkTargetError,
    },
    /// Nobody can be reached there.
    #[error("names `{0}`, which is not the address of one machine")]
    Address(IpAddr),
}

impl FromStr for PrivateGrant {
    type Err = PrivateGrantError;

    /// Reads `HOST:PORT=ADDRESS`, with another port behind the address where the service has another.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (target, address) = text.split_once('=').ok_or(PrivateGrantError::Form)?;
        let (target, address) = (target.trim(), address.trim());
        if !target.contains(':') {
            return Err(PrivateGrantError::Form);
        }
        let read: NetworkTarget =
            target.parse().map_err(|error| PrivateGrantError::Target { text: target.to_owned(), error })?;
        let port = read.ports.first().copied().ok_or(PrivateGrantError::Form)?;
        let address = address
            .parse()
            .or_else(|_| address.parse().map(|ip: IpAddr| SocketAddr::new(ip, port)))
            .map_err(|_| PrivateGrantError::Form)?;
        let ip = address.ip().to_canonical();
        let broadcast = matches!(ip, IpAddr::V4(four) if four.is_broadcast());
        if ip.is_unspecified() || ip.is_multicast() || broadcast || address.port() == 0 {
            return Err(PrivateGrantError::Address(ip));
        }
        Ok(Self { host: read.host, port, address: SocketAddr::new(ip, address.port()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    fn targets(texts: &[&str]) -> Vec<NetworkTarget> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_list_is_exact() {
        let policy = Policy::new(Reach::Listed(targets(&["api.example.com", "db.example.com:5432"])), vec![]);
        for (name, port, answer) in [
            ("api.example.com", 443, None),
            ("api.example.com", 80, None),
            ("api.example.com", 5432, Some(Denial::Port)),
            ("db.example.com", 5432, None),
            ("db.example.com", 443, Some(Denial::Port)),
            ("example.com", 443, Some(Denial::Host)),
            ("x.api.example.com", 443, Some(Denial::Host)),
            ("api.example.com.evil.net", 443, Some(Denial::Host)),
        ] {
            assert_eq!(policy.permit(&host(name), port).err(), answer, "{name}:{port}");
        }
        assert_eq!(policy.ports(), [80, 443, 5432].into());
    }

    #[test]
    fn the_public_internet_is_not_every_name() {
        let policy = Policy::new(Reach::Public(targets(&["mail.example.com:587"])), vec![]);
        for (name, port, answer) in [
            ("api.example.com", 443, None),
            ("api.example.com", 22, Some(Denial::Port)),
            ("mail.example.com", 587, None),
            ("mail.example.com", 443, None),
            ("printer", 80, Some(Denial::Host)),
            ("metadata.google.internal", 80, Some(Denial::Host)),
            ("nas.local", 443, Some(Denial::Host)),
            ("router.home.arpa", 443, Some(Denial::Host)),
            ("internal.example.com", 443, None),
        ] {
            assert_eq!(policy.permit(&host(name), port).err(), answer, "{name}:{port}");
        }
    }

    #[test]
    fn a_private_grant_is_for_one_name_and_port() {
        let grant: PrivateGrant = "db.internal:5432=10.0.0.5".parse().unwrap();
        let policy = Policy::new(Reach::Nothing, vec![grant]);
        let permit = policy.permit(&host("db.internal"), 5432).unwrap();
        assert_eq!(permit.granted, Some("10.0.0.5:5432".parse().unwrap()));
        assert_eq!(policy.permit(&host("db.internal"), 5433), Err(Denial::Port));
        assert_eq!(policy.permit(&host("other.internal"), 5432), Err(Denial::Host));
        assert!(policy.knows(&host("db.internal")) && !policy.knows(&host("internal")));
        assert_eq!(Policy::default().permit(&host("example.com"), 443), Err(Denial::Host));
    }

    #[test]
    fn grants_are_read() {
        for (text, address) in [
            ("a.test:443=127.0.0.1", "127.0.0.1:443"),
            ("a.test:443 = 127.0.0.1:8443", "127.0.0.1:8443"),
            ("a.test:443=::1", "[::1]:443"),
            ("a.test:443=[::1]:8443", "[::1]:8443"),
            ("a.test:443=::ffff:10.0.0.1", "10.0.0.1:443"),
        ] {
            let grant: PrivateGrant = text.parse().unwrap();
            assert_eq!(grant.address, address.parse().unwrap(), "{text}");
        }
        for text in [
            "a.test=127.0.0.1",
            "a.test:443",
            "a.test:443=",
            "a.test:443=b.test",
            "a.test:0=127.0.0.1",
            "*.test:443=127.0.0.1",
            "10.0.0.1:443=127.0.0.1",
            "a.test:443=0.0.0.0",
            "a.test:443=224.0.0.1",
            "a.test:443=::",
            "a.test:443=127.0.0.1:0",
            "localhost:80=127.0.0.1",
        ] {
            assert!(text.parse::<PrivateGrant>().is_err(), "{text}");
        }
    }
}
