//! How the outside calls this server, which decides the URL that a provider signed.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Uri};

/// The peer of a connection, put into every request by the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The address under which people and providers reach us, without a trailing `/`: `https://hooks.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: Scheme,
    authority: Authority,
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Why a text is not a public URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an `http://` or `https://` URL without query")]
pub struct InvalidPublicUrl {
    text: String,
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let invalid = || InvalidPublicUrl { text: text.chars().take(200).collect() };
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(invalid()),
        };
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(invalid)?;
        if uri.query().is_some() || text.contains('#') {
            return Err(invalid());
        }
        Ok(Self { scheme, authority: authority.clone(), path: uri.path().trim_end_matches('/').to_owned() })
    }
}

impl PublicUrl {
    /// The origin as browsers write it (RFC 6454 section 6.2).
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), without_default_port(self.scheme, &self.authority))
    }

    /// The host and port as clients write them into `Host`.
    pub(crate) fn host(&self) -> String {
        without_default_port(self.scheme, &self.authority)
    }
}

fn without_default_port(scheme: Scheme, authority: &Authority) -> String {
    let default = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let host = authority.host().to_ascii_lowercase();
    match authority.port_u16() {
        Some(port) if port != default => format!("{host}:{port}"),
        _ => host,
    }
}

/// A range of addresses (RFC 4632): `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an IP address or a range such as `10.0.0.0/8`")]
pub struct InvalidAddressRange {
    text: String,
}

impl FromStr for AddressRange {
    type Err = InvalidAddressRange;

    fn from_str(text: &str) -> Result<Self, InvalidAddressRange> {
        let invalid = || InvalidAddressRange { text: text.chars().take(80).collect() };
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(width), str::parse).map_err(|_| invalid())?;
        if prefix > width { Err(invalid()) } else { Ok(Self { address, prefix }) }
    }
}

impl AddressRange {
    fn contains(&self, address: IpAddr) -> bool {
        let same_bits = |a: u128, b: u128, width: u32| {
            let dropped = width - u32::from(self.prefix);
            a.checked_shr(dropped).unwrap_or(0) == b.checked_shr(dropped).unwrap_or(0)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same_bits(own.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same_bits(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

/// Everything that decides how a request was addressed from outside.
#[derive(Clone, Debug)]
pub(crate) struct ExternalAddress {
    public: Option<PublicUrl>,
    trusted_proxies: Vec<AddressRange>,
    listen: SocketAddr,
}

impl ExternalAddress {
    pub(crate) const fn new(
        public: Option<PublicUrl>,
        trusted_proxies: Vec<AddressRange>,
        listen: SocketAddr,
    ) -> Self {
        Self { public, trusted_proxies, listen }
    }

    /// The URL as the sender wrote it, path and query byte for byte: the public URL if there is one, else what a
    /// trusted proxy says, else the host that the sender named.
    pub(crate) fn original_url(&self, headers: &HeaderMap, uri: &Uri, peer: Option<Peer>) -> String {
        let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        if let Some(public) = &self.public {
            return format!("{}://{}{}{target}", public.scheme.as_str(), public.authority, public.path);
        }
        let proxied = peer.is_some_and(|Peer(peer)| self.is_trusted(peer.ip()));
        let forwarded = |name: &str| if proxied { first_value(headers, name) } else { None };
        let scheme = match forwarded("x-forwarded-proto") {
            Some(proto) if proto.eq_ignore_ascii_case("https") => Scheme::Https,
            _ => Scheme::Http,
        };
        let authority = forwarded("x-forwarded-host")
            .or_else(|| uri.authority().map(Authority::as_str))
            .or_else(|| first_value(headers, "host"))
            .and_then(|host| host.parse::<Authority>().ok())
            .filter(|authority| !authority.as_str().contains('@'))
            .map_or_else(|| self.listen.to_string(), |authority| authority.to_string());
        format!("{}://{authority}{target}", scheme.as_str())
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|range| range.contains(address))
    }
}

/// The first of a list of values; proxies append to what they were given.
fn first_value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn ranges_contain_what_they_say() {
        let table = [
            ("10.0.0.0/8", "10.9.8.7", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
        ];
        for (range, address, expected) in table {
            let range: AddressRange = range.parse().unwrap();
            assert_eq!(range.contains(address.parse().unwrap()), expected, "{range:?} {address}");
        }
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "host", "10.0.0.0/", "1.2.3.4/-1"] {
            assert!(bad.parse::<AddressRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_public_url_is_http_without_query() {
        for (text, origin, host) in [
            ("https://hooks.example.com/", "https://hooks.example.com", "hooks.example.com"),
            ("https://Hooks.example.com:443", "https://hooks.example.com", "hooks.example.com"),
            ("http://localhost:3001", "http://localhost:3001", "localhost:3001"),
            ("https://example.com/hayloft/", "https://example.com", "example.com"),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!((url.origin().as_str(), url.host().as_str()), (origin, host));
        }
        for bad in ["", "example.com", "ftp://x", "https://a@b", "https://x/?a=1", "https://x/#a", "/path"] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_original_url_is_what_the_sender_wrote() {
        const TARGET: &str = "/v1/plugins/@a%2Fb/hook?organizationId=org_1&x=%20";
        let listen = "127.0.0.1:3001".parse().unwrap();
        // Each case: public URL, trusted proxies, header fields, and how the URL begins.
        type Case =
            (Option<&'static str>, &'static str, &'static [(&'static str, &'static str)], &'static str);
        let cases: [Case; 7] = [
            (None, "", &[("host", "localhost:3001")], "http://localhost:3001"),
            (None, "", &[], "http://127.0.0.1:3001"),
            (None, "", &[("host", "a b")], "http://127.0.0.1:3001"),
            (Some("https://x.example/hay"), "", &[("host", "localhost:3001")], "https://x.example/hay"),
            (
                None,
                "",
                &[("host", "h"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil")],
                "http://h",
            ),
            (
                None,
                "127.0.0.1",
                &[("host", "h"), ("x-forwarded-proto", "https, http"), ("x-forwarded-host", "x.example, y")],
                "https://x.example",
            ),
            (None, "10.0.0.0/8", &[("host", "h"), ("x-forwarded-proto", "https")], "http://h"),
        ];
        for (public, trusted, fields, start) in cases {
            let headers: HeaderMap = fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let trusted = (!trusted.is_empty()).then(|| trusted.parse().unwrap()).into_iter().collect();
            let address = ExternalAddress::new(public.map(|url| url.parse().unwrap()), trusted, listen);
            let peer = Some(Peer("127.0.0.1:50000".parse().unwrap()));
            let url = address.original_url(&headers, &TARGET.parse().unwrap(), peer);
            assert_eq!(url, format!("{start}{TARGET}"));
        }
    }
}
