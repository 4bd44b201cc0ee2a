//! What to add to each request: credentials, mostly.

use std::fmt;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hayloft_model::secret::MASK;
use hayloft_model::{Problem, Problems, Secret};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Knows what to add to the requests to one server.
pub trait HeaderSource: Send + Sync + 'static {
    /// What to add now. Asked before every request, so the answer should be at hand; and once more when the server
    /// refused what was added.
    fn headers(&self, occasion: Occasion) -> BoxFuture<'_, Result<SecretHeaders, HeadersUnavailable>>;
}

/// Why headers are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A request is about to be sent.
    Request,
    /// The server answered 401 to what was last given. When there is nothing better to give, the same will do: the
    /// refusal then stands.
    Refused,
}

/// Why there are no headers. The text reaches people and must hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HeadersUnavailable(pub String);

/// Adds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHeaders;

impl HeaderSource for NoHeaders {
    fn headers(&self, _: Occasion) -> BoxFuture<'_, Result<SecretHeaders, HeadersUnavailable>> {
        futures::future::ready(Ok(SecretHeaders::default())).boxed()
    }
}

/// The same at every time.
impl HeaderSource for SecretHeaders {
    fn headers(&self, _: Occasion) -> BoxFuture<'_, Result<SecretHeaders, HeadersUnavailable>> {
        futures::future::ready(Ok(self.clone())).boxed()
    }
}

/// Headers whose values are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretHeaders(Vec<(HeaderName, Secret<String>)>);

/// How many headers may be added.
const MOST: usize = 64;

/// How many bytes they may have together.
const LARGEST: usize = 32 * 1024;

/// Headers that say how a request travels, or that the protocol itself sets: another value would make two readers of
/// one request see different ones.
const RESERVED: [HeaderName; 14] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("last-event-id"),
];

/// So are all headers that begin like this.
const RESERVED_FAMILIES: [&str; 3] = ["mcp-", "proxy-", "sec-"];

impl SecretHeaders {
    /// Takes headers as somebody wrote them.
    ///
    /// # Errors
    /// All that is wrong with them, each `at` the name of a header. No message holds a value.
    pub fn parse<N, I>(headers: I) -> Result<Self, Problems>
    where
        N: AsRef<str>,
        I: IntoIterator<Item = (N, Secret<String>)>,
    {
        let (mut taken, mut problems) = (Vec::new(), Problems::new());
        let mut size = 0;
        for (name, value) in headers {
            let name = name.as_ref();
            match read(name, &value) {
                Ok(_) if taken.len() == MOST => {
                    problems
                        .push(Problem::error(name, format!("is one header too many; {MOST} are allowed")));
                    break;
                }
                Ok(header) => {
                    size += name.len() + value.expose().len();
                    taken.push((header, value));
                }
                Err(problem) => problems.push(problem),
            }
        }
        if size > LARGEST {
            problems.push(Problem::error("", format!("have {size} bytes together; {LARGEST} are allowed")));
        }
        if problems.is_empty() { Ok(Self(taken)) } else { Err(problems) }
    }

    /// Adds them to a request.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            // Values were read before, when they came in.
            if let Ok(mut value) = HeaderValue::from_str(value.expose()) {
                value.set_sensitive(true);
                headers.append(name.clone(), value);
            }
        }
    }

    /// A text of the server without what it may have copied of our credentials.
    pub(super) fn mask(&self, text: &str) -> String {
        // Shorter values are no secrets, and would tear holes into any text.
        const SHORTEST: usize = 4;
        let mut text = text.to_owned();
        for (_, value) in &self.0 {
            let whole = value.expose().as_str();
            let last = whole.rsplit(' ').next().unwrap_or_default();
            for part in [whole, last].into_iter().filter(|part| part.len() >= SHORTEST) {
                if text.contains(part) {
                    text = text.replace(part, MASK);
                }
            }
        }
        text
    }
}

fn read(name: &str, value: &Secret<String>) -> Result<HeaderName, Problem> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Problem::error(name.escape_debug().to_string(), "is not the name of a header"))?;
    let is_reserved = RESERVED.contains(&header)
        || RESERVED_FAMILIES.iter().any(|family| header.as_str().starts_with(family));
    if is_reserved {
        return Err(Problem::error(name, "is set by the host and cannot be added"));
    }
    if HeaderValue::from_str(value.expose()).is_err() {
        return Err(Problem::error(name, "holds characters that cannot stand in a header")
            .hint("look for a line end, which often comes along when a value is copied"));
    }
    Ok(header)
}

impl fmt::Debug for SecretHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name.as_str())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[(&str, &str)]) -> Result<SecretHeaders, String> {
        SecretHeaders::parse(headers.iter().map(|(name, value)| (*name, Secret::new((*value).to_owned()))))
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn all_that_is_wrong_is_said_and_no_value_shown() {
        let problems = parse(&[
            ("Authorization", "Bearer fine"),
            ("Host", "evil"),
            ("mcp-session-id", "stolen"),
            ("Sec-WebSocket-Key", "x"),
            ("X Y", "canary"),
            ("X-Key", "canary\r\nHost: evil"),
        ])
        .unwrap_err();
        assert_eq!(
            problems,
            "error: Host: is set by the host and cannot be added\n\
             error: mcp-session-id: is set by the host and cannot be added\n\
             error: Sec-WebSocket-Key: is set by the host and cannot be added\n\
             error: X Y: is not the name of a header\n\
             error: X-Key: holds characters that cannot stand in a header\n  hint: look for a line end, which often comes along when a value is copied"
        );
    }

    #[test]
    fn number_and_size_are_bounded() {
        let many: Vec<_> = (0..65).map(|n| (format!("x-{n}"), Secret::new(String::new()))).collect();
        assert_eq!(
            SecretHeaders::parse(many).unwrap_err().to_string(),
            "error: x-64: is one header too many; 64 are allowed"
        );
        let large = "x".repeat(LARGEST);
        assert!(parse(&[("a", &large)]).unwrap_err().contains("32769 bytes together"));
    }

    #[test]
    fn values_are_sent_and_never_shown() {
        let headers = parse(&[("Authorization", "Bearer sk-canary"), ("X-Api-Key", "canary-2")]).unwrap();
        let mut sent = HeaderMap::new();
        headers.add_to(&mut sent);
        assert_eq!(sent["authorization"], "Bearer sk-canary");
        assert!(!format!("{sent:?} {headers:?}").contains("canary"));
        assert_eq!(
            headers.mask("no: Bearer sk-canary; bad token sk-canary, key canary-2"),
            format!("no: {MASK}; bad token {MASK}, key {MASK}")
        );
    }
}
