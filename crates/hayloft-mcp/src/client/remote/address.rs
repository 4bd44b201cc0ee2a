//! The address of a server: which ones are taken, and what of one may be shown.

use std::fmt;
use std::str::FromStr;

use hayloft_model::Problem;
use http::Uri;
use url::Url;

/// The address of a server on a network: `http`, `https`, `ws` or `wss`, with a host, without user and password. Shows
/// no more than its origin, as paths and queries of such addresses often are credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    url: Url,
    /// As it stands in requests.
    uri: Uri,
}

/// Schemes that are taken.
const SCHEMES: [&str; 4] = ["http", "https", "ws", "wss"];

/// Longer addresses do not fit into the requests of many servers.
const LONGEST: usize = 8 * 1024;

impl RemoteUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// A problem without a place when it cannot be the address of a server.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let hint = "give an address such as `https://mcp.example.com/mcp`";
        if text.len() > LONGEST {
            return Err(Problem::error("", format!("is longer than {LONGEST} bytes")));
        }
        let mut url = Url::parse(text)
            .map_err(|error| Problem::error("", format!("is not an address: {error}")).hint(hint))?;
        if !SCHEMES.contains(&url.scheme()) {
            let message = format!("has the scheme `{}`, which is none of a server's", url.scheme());
            return Err(Problem::error("", message).hint(hint));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Problem::error("", "holds a user name or password")
                .hint("give credentials as a header, such as `Authorization`"));
        }
        url.set_fragment(None);
        // WebSocket's schemes become those of the request that asks for one.
        let text = url.as_str().strip_prefix("ws").map(|rest| format!("http{rest}"));
        let uri =
            text.as_deref().unwrap_or(url.as_str()).parse().map_err(|error| {
                Problem::error("", format!("cannot stand in a request: {error}")).hint(hint)
            })?;
        Ok(Self { url, uri })
    }

    /// Scheme, host and port: what may be shown.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The host, as it stands in the address: a name, or an address with its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The port, the scheme's own when none is given.
    #[must_use]
    pub fn port(&self) -> u16 {
        // Every scheme that is taken has a port of its own.
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// Whether the connector is expected to bring TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.url.scheme(), "https" | "wss")
    }

    /// The address that a reference, given by the server itself, stands for. It must be of the same origin: else a
    /// server could have requests, credentials included, sent to whom it likes.
    pub(super) fn resolve(&self, reference: &str) -> Result<Self, String> {
        let there = self.url.join(reference.trim()).map_err(|error| format!("is not an address: {error}"))?;
        if there.origin() != self.url.origin() {
            return Err(format!("is on another origin, `{}`", there.origin().ascii_serialization()));
        }
        Self::parse(there.as_str()).map_err(|problem| problem.message)
    }

    /// As it stands in requests.
    pub(super) const fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl FromStr for RemoteUrl {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        Self::parse(text)
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteUrl({}/…)", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers_are_taken_and_others_refused() {
        let cases = [
            ("http://127.0.0.1:3001/mcp", Ok(("http://127.0.0.1:3001", 3001))),
            ("https://mcp.example.com", Ok(("https://mcp.example.com", 443))),
            ("HTTPS://Mcp.Example.COM:443/a?k=v#f", Ok(("https://mcp.example.com", 443))),
            ("ws://[::1]/mcp", Ok(("ws://[::1]", 80))),
            ("file:///etc/passwd", Err("has the scheme `file`, which is none of a server's")),
            ("ftp://h/", Err("has the scheme `ftp`, which is none of a server's")),
            ("https://user:pass@h/", Err("holds a user name or password")),
            ("https://user@h/", Err("holds a user name or password")),
            ("/mcp", Err("is not an address: relative URL without a base")),
            ("http://", Err("is not an address: empty host")),
        ];
        for (text, expected) in cases {
            let read = RemoteUrl::parse(text);
            let read =
                read.as_ref().map(|url| (url.origin(), url.port())).map_err(|problem| &*problem.message);
            assert_eq!(read, expected.map(|(origin, port)| (origin.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn references_stay_on_their_origin() {
        let base = RemoteUrl::parse("http://h:81/api/sse?x=1").unwrap();
        let cases = [
            ("/messages?session=1", Ok("http://h:81/messages?session=1")),
            ("messages", Ok("http://h:81/api/messages")),
            ("?session=1", Ok("http://h:81/api/sse?session=1")),
            (" http://h:81/m ", Ok("http://h:81/m")),
            ("http://h/m", Err("is on another origin, `http://h`")),
            ("https://h:81/m", Err("is on another origin, `https://h:81`")),
            ("//evil:81/m", Err("is on another origin, `http://evil:81`")),
            ("http://h:81@evil/m", Err("is on another origin, `http://evil`")),
            (r"\\evil:81\m", Err("is on another origin, `http://evil:81`")),
            ("http://evil@h:81/m", Err("holds a user name or password")),
            ("javascript:1", Err("is on another origin, `null`")),
        ];
        for (reference, expected) in cases {
            let there = base.resolve(reference).map(|there| there.uri().to_string());
            assert_eq!(there.as_deref().map_err(|message| &**message), expected, "{reference}");
        }
    }

    #[test]
    fn debug_shows_no_path() {
        let url = RemoteUrl::parse("https://h/secret-canary?key=canary").unwrap();
        assert_eq!(format!("{url:?}"), "RemoteUrl(https://h/…)");
    }
}
