//! The two kinds of request ids: those that clients choose, and those that we choose towards servers.
//!
//! They never mix. Every client starts to count at one, so a client's id means something only within its session; what
//! goes to a server carries an id of ours that no other call to that server ever had.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::value::RawValue;

/// An id that a client (or a server that asks us something) chose, kept as JSON so that it goes back as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestId(Box<str>);

impl RequestId {
    /// Longer ids serve nobody and would be kept while the call runs.
    const MAX_BYTES: usize = 256;

    /// Reads an id: a string or a number, as MCP demands.
    pub(crate) fn of(raw: &RawValue) -> Result<Self, InvalidId> {
        Self::of_json(raw.get())
    }

    pub(crate) fn of_json(json: &str) -> Result<Self, InvalidId> {
        if json.len() > Self::MAX_BYTES {
            return Err(InvalidId);
        }
        match json.as_bytes().first() {
            // The same text may be escaped in several ways; one spelling makes equal ids equal.
            Some(b'"') => {
                let text: String = serde_json::from_str(json).map_err(|_| InvalidId)?;
                Ok(Self(serde_json::Value::from(text).to_string().into()))
            }
            Some(b'-' | b'0'..=b'9') => Ok(Self(json.into())),
            _ => Err(InvalidId),
        }
    }

    /// The id as JSON.
    pub(crate) fn as_json(&self) -> &str {
        &self.0
    }
}

/// An id that is neither a string nor a number, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("request id is not a string or a number of at most 256 bytes")]
pub(crate) struct InvalidId;

/// Hands out the ids of our calls to one server: 1, 2, 3, …
#[derive(Debug)]
pub(crate) struct CallIds(AtomicU64);

impl CallIds {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(1))
    }

    /// An id that was never given out before.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether an id was given out.
    pub(crate) fn was_given(&self, id: u64) -> bool {
        id > 0 && id < self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_strings_or_numbers() {
        let long = format!("\"{}\"", "x".repeat(300));
        let cases = [
            ("1", Some("1")),
            ("-7", Some("-7")),
            ("18446744073709551616", Some("18446744073709551616")),
            (r#""a""#, Some(r#""a""#)),
            (r#""\u0061""#, Some(r#""a""#)),
            ("null", None),
            ("true", None),
            ("{}", None),
            ("[1]", None),
            (&long, None),
        ];
        for (json, expected) in cases {
            assert_eq!(RequestId::of_json(json).ok().as_ref().map(RequestId::as_json), expected, "{json}");
        }
    }
}
