//! Responses that are no answer: what to tell of them to the person who has to act.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use url::Url;

use crate::client::transport::TransportError;

use super::body;
use super::headers::SecretHeaders;
use super::request::{self, Answered};

/// How much of a server's words is passed on.
const EXCERPT: usize = 300;

/// Why a response is no answer, with its body where that is JSON.
pub(super) struct Refusal {
    pub(super) error: TransportError,
    pub(super) json: Option<Bytes>,
}

/// Reads a response whose status is not one of success.
pub(super) async fn read(answered: Answered) -> Refusal {
    let Answered { response, sent } = answered;
    let (head, body) = response.into_parts();
    let status = head.status;
    if status.is_redirection() {
        return Refusal { error: redirected(status, &head.headers), json: None };
    }
    let readable = content_type_of(&head.headers).filter(|_| !request::is_packed(&head.headers));
    let text = match readable {
        Some(_) => body::beginning(body).await,
        None => Vec::new(),
    };
    let message = match readable {
        Some(Readable::Json) => message_of_json(&text),
        Some(Readable::Plain) => Some(String::from_utf8_lossy(&text).into_owned()),
        None => None,
    };
    let message = excerpt(&message.unwrap_or_default(), &sent);
    let error = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            TransportError::Credentials { status: status.as_u16(), message }
        }
        _ => TransportError::Status {
            status: status.as_u16(),
            message,
            retry_after: retry_after(&head.headers),
        },
    };
    Refusal { error, json: matches!(readable, Some(Readable::Json)).then(|| text.into()) }
}

/// Why a response with a status of success is no answer, going by what it says that it is.
pub(super) fn wrong_type(headers: &HeaderMap, expected: &'static str) -> TransportError {
    let found = if request::is_packed(headers) {
        "a compressed body".to_owned()
    } else {
        match request::content_type(headers) {
            Some(found) if !found.is_empty() => format!("`{}`", plain(&found, 80)),
            _ => "a body without a type".to_owned(),
        }
    };
    TransportError::ContentType { found, expected }
}

/// A response that must be a stream of events, or why it is none.
pub(super) async fn must_stream(answered: Answered) -> Result<Response<Incoming>, TransportError> {
    if !answered.response.status().is_success() {
        return Err(read(answered).await.error);
    }
    let headers = answered.response.headers();
    if request::content_type(headers).as_deref() != Some("text/event-stream") || request::is_packed(headers) {
        return Err(wrong_type(headers, "a stream of events"));
    }
    Ok(answered.response)
}

#[derive(Clone, Copy)]
enum Readable {
    Json,
    Plain,
}

/// Pages for browsers say nothing that helps here.
fn content_type_of(headers: &HeaderMap) -> Option<Readable> {
    match request::content_type(headers)?.as_str() {
        "application/json" | "application/problem+json" => Some(Readable::Json),
        "text/plain" => Some(Readable::Plain),
        _ => None,
    }
}

fn redirected(status: StatusCode, headers: &HeaderMap) -> TransportError {
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let to = match location.map(Url::parse) {
        Some(Ok(url)) if url.has_host() => format!("`{}`", plain(&url.origin().ascii_serialization(), 200)),
        Some(_) => "another of its addresses".to_owned(),
        None => "nowhere".to_owned(),
    };
    TransportError::Redirected { status: status.as_u16(), to }
}

/// The words of an error in JSON: those of JSON-RPC, of OAuth, or what web frameworks say.
fn message_of_json(text: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Inner {
        Words(String),
        Object { message: String },
    }
    #[derive(Deserialize)]
    struct Body {
        error_description: Option<String>,
        error: Option<Inner>,
        message: Option<String>,
        detail: Option<String>,
    }
    let Body { error_description, error, message, detail } = serde_json::from_slice(text).ok()?;
    let of_error = error.map(|(Inner::Words(text) | Inner::Object { message: text })| text);
    error_description.or(of_error).or(message).or(detail)
}

/// `Retry-After` in seconds; a date would need a clock, and servers of tools do not send one.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    const LONGEST: u64 = 24 * 60 * 60;
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST)))
}

fn excerpt(text: &str, sent: &SecretHeaders) -> String {
    plain(&sent.mask(text), EXCERPT)
}

/// A text of the server on one line, of at most so many characters.
pub(super) fn plain(text: &str, most: usize) -> String {
    let printable = text.chars().map(|c| if c.is_control() || is_layout(c) { ' ' } else { c });
    let text: String = printable.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(most).collect()
}

/// Characters that change how text around them is shown.
const fn is_layout(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_an_error_are_found() {
        let cases = [
            (
                r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"no session"},"id":null}"#,
                Some("no session"),
            ),
            (r#"{"error":"invalid_token","error_description":"it expired"}"#, Some("it expired")),
            (r#"{"error":"invalid_token"}"#, Some("invalid_token")),
            (r#"{"message":"Forbidden"}"#, Some("Forbidden")),
            (r#"{"detail":"Not Found"}"#, Some("Not Found")),
            ("{}", None),
            ("[]", None),
            ("<html>", None),
        ];
        for (json, expected) in cases {
            assert_eq!(message_of_json(json.as_bytes()).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn texts_of_servers_cannot_paint() {
        assert_eq!(plain("a\u{1b}[31m\r\n  b\u{202e}c", 100), "a [31m b c");
        assert_eq!(plain(&"x".repeat(400), EXCERPT).len(), EXCERPT);
    }

    #[test]
    fn waits_are_read_in_seconds() {
        let wait = |value: &'static str| {
            retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]))
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999999999"), Some(Duration::from_secs(86400)));
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert_eq!(wait("-1"), None);
    }
}
