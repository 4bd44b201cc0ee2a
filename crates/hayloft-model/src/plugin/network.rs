//! Which hosts a plugin says it speaks to.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::host_name::{HostName, HostNameError};

/// The ports of a host that is named without any: the web's.
pub const WEB_PORTS: [u16; 2] = [80, 443];

/// How many different ports one list may name. A socket stands in each jail for every one.
pub const MOST_PORTS: usize = 16;

/// Names that are always the worker's own or the host's, and never in a list.
const OWN: [&str; 2] = ["localhost", "hayloft.internal"];

/// One host, and the ports of it that are spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkTarget {
    /// Its name.
    pub host: HostName,
    /// Its ports, never empty.
    pub ports: BTreeSet<u16>,
}

/// Why a text or an entry names no host and port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkTargetError {
    /// The host is none. Completes "the host …".
    #[error("{0}")]
    Host(#[from] HostNameError),
    /// The port is none.
    #[error("has no port between 1 and 65535 behind its colon")]
    Port,
    /// It is a name that means the worker itself, or the host.
    #[error("is the worker's own name for itself or for its host, which needs no entry")]
    Own,
}

impl NetworkTarget {
    /// A host at certain ports; without any, at those of the web.
    ///
    /// # Errors
    /// When a port is 0, or the name means the worker itself.
    pub fn new(host: HostName, ports: impl IntoIterator<Item = u16>) -> Result<Self, NetworkTargetError> {
        if OWN.into_iter().any(|own| host.is_within(own)) {
            return Err(NetworkTargetError::Own);
        }
        let mut ports: BTreeSet<u16> = ports.into_iter().collect();
        if ports.contains(&0) {
            return Err(NetworkTargetError::Port);
        }
        if ports.is_empty() {
            ports.extend(WEB_PORTS);
        }
        Ok(Self { host, ports })
    }
}

impl FromStr for NetworkTarget {
    type Err = NetworkTargetError;

    /// Reads `host` or `host:port`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('[') {
            return Err(HostNameError::Address.into());
        }
        match text.rsplit_once(':') {
            // With more than one colon it is an address of the sixth version, or a link; the host says which.
            Some((host, port)) if !host.contains(':') && !text.contains('/') => {
                let host = HostName::parse(host)?;
                let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                let port = digits.then(|| port.parse().ok()).flatten().ok_or(NetworkTargetError::Port)?;
                Self::new(host, [port])
            }
            _ => Self::new(HostName::parse(text)?, []),
        }
    }
}

impl fmt::Display for NetworkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ports.iter().eq(&WEB_PORTS) {
            return self.host.fmt(f);
        }
        for (index, port) in self.ports.iter().enumerate() {
            write!(f, "{}{}:{port}", if index > 0 { ", " } else { "" }, self.host)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_and_shown() {
        for (text, ports, shown) in [
            ("API.example.com", &[80, 443][..], "api.example.com"),
            ("db.example.com:5432", &[5432], "db.example.com:5432"),
            ("db:65535", &[65535], "db:65535"),
        ] {
            let target: NetworkTarget = text.parse().unwrap();
            assert!(target.ports.iter().eq(ports), "{text}");
            assert_eq!(target.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_target_says_why() {
        use NetworkTargetError::{Host, Own, Port};
        for (text, why) in [
            ("a.example:0", Port),
            ("a.example:65536", Port),
            ("a.example:", Port),
            ("a.example:+5", Port),
            ("a.example:5x", Port),
            ("localhost", Own),
            ("localhost:3000", Own),
            ("a.localhost", Own),
            ("hayloft.internal", Own),
            ("*.example.com:443", Host(HostNameError::Wildcard)),
            ("10.0.0.1:443", Host(HostNameError::Address)),
            ("::1", Host(HostNameError::Address)),
            ("[::1]:443", Host(HostNameError::Address)),
            ("https://a.example", Host(HostNameError::NotOnlyAName)),
            ("a..example", Host(HostNameError::EmptyLabel)),
        ] {
            assert_eq!(text.parse::<NetworkTarget>(), Err(why), "{text}");
        }
    }
}
