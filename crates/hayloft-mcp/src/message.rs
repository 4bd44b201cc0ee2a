//! The envelope of JSON-RPC 2.0: what kind of message a JSON text is, with everything inside left raw.
//!
//! Knows nothing of methods or revisions.

pub(crate) mod fields;
pub(crate) mod unique_keys;
pub(crate) mod write;

use std::borrow::Cow;
use std::fmt;

use hayloft_model::nesting;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::value::RawValue;

/// How large and how deep a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageLimits {
    /// Bytes of the whole message.
    pub(crate) bytes: usize,
    /// Levels of objects and arrays within each other.
    pub(crate) depth: usize,
}

/// One message, borrowed from the text that it was read from.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// Wants an answer under its id.
    Request { id: &'a RawValue, method: Cow<'a, str>, params: Option<&'a RawValue> },
    /// Wants no answer.
    Notification { method: Cow<'a, str>, params: Option<&'a RawValue> },
    /// Answers a request; errors may lack the id when the request could not be read.
    Response { id: Option<&'a RawValue>, outcome: Outcome<'a> },
}

/// What a response says.
#[derive(Debug)]
pub(crate) enum Outcome<'a> {
    /// The `result` member.
    Result(&'a RawValue),
    /// The `error` member.
    Error(&'a RawValue),
}

/// Why a text is not a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("message has more than the {limit} bytes allowed")]
    TooLarge { limit: usize },
    #[error("message nests deeper than {limit} levels")]
    TooDeep { limit: usize },
    #[error("message is not JSON: {0}")]
    Syntax(serde_json::Error),
    #[error("message is an array, and batches are not part of this revision")]
    Batch,
    #[error("message is not JSON-RPC 2.0: {0}")]
    Shape(Cow<'static, str>),
}

impl<'a> Message<'a> {
    /// Reads one message. A member that JSON-RPC names must not stand twice: readers differ in which one they believe,
    /// so a policy could check one and the receiver act on the other.
    pub(crate) fn parse(text: &'a [u8], limits: MessageLimits) -> Result<Self, MessageError> {
        if text.len() > limits.bytes {
            return Err(MessageError::TooLarge { limit: limits.bytes });
        }
        if nesting::exceeds(text, limits.depth) {
            return Err(MessageError::TooDeep { limit: limits.depth });
        }
        if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            return Err(MessageError::Batch);
        }
        serde_json::from_slice::<Envelope<'a>>(text).map_err(MessageError::from)?.sort_out()
    }
}

/// The elements of a batch, for servers of the revisions that have them.
pub(crate) fn batch_elements(text: &[u8]) -> Option<Vec<&RawValue>> {
    serde_json::from_slice(text).ok()
}

impl From<serde_json::Error> for MessageError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_data() { Self::Shape(error.to_string().into()) } else { Self::Syntax(error) }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    fn sort_out(self) -> Result<Message<'a>, MessageError> {
        let shape = |why: &'static str| Err(MessageError::Shape(why.into()));
        if self.jsonrpc.is_none_or(|version| version.0 != "2.0") {
            return shape("`jsonrpc` is not \"2.0\"");
        }
        match (self.method, self.id, self.result, self.error) {
            (Some(Text(method)), Some(id), None, None) => {
                Ok(Message::Request { id, method, params: self.params })
            }
            (Some(Text(method)), None, None, None) => {
                Ok(Message::Notification { method, params: self.params })
            }
            (Some(_), _, _, _) => shape("it is a request and a response at once"),
            (None, Some(id), Some(result), None) => {
                Ok(Message::Response { id: Some(id), outcome: Outcome::Result(result) })
            }
            (None, id, None, Some(error)) => Ok(Message::Response { id, outcome: Outcome::Error(error) }),
            (None, _, Some(_), Some(_)) => shape("it has both a result and an error"),
            (None, _, _, None) => shape("it has neither `method`, nor `result` with an `id`, nor `error`"),
        }
    }
}

/// Keeps an explicit `null` apart from an absent member.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&'de RawValue>::deserialize(deserializer).map(Some)
}

/// A string that is borrowed where it holds no escapes. (`Option<Cow<str>>` would always be copied.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Reads an object with known members. Anything but an object is refused: serde would take an array for one.
pub(crate) fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, String> {
    if !is_object(raw) {
        return Err("it is not an object".to_owned());
    }
    serde_json::from_str(raw.get()).map_err(|error| error.to_string())
}

/// Whether a raw value is an object, told by its first byte: raw values carry no leading white space.
pub(crate) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MessageLimits = MessageLimits { bytes: 1000, depth: 16 };

    fn kind(text: &str) -> String {
        match Message::parse(text.as_bytes(), LIMITS) {
            Ok(Message::Request { id, method, params }) => {
                format!("request {} {method} {}", id.get(), params.map_or("-", RawValue::get))
            }
            Ok(Message::Notification { method, params }) => {
                format!("notification {method} {}", params.map_or("-", RawValue::get))
            }
            Ok(Message::Response { id, outcome }) => {
                let id = id.map_or("-", RawValue::get);
                match outcome {
                    Outcome::Result(result) => format!("result {id} {}", result.get()),
                    Outcome::Error(error) => format!("error {id} {}", error.get()),
                }
            }
            Err(MessageError::Syntax(_)) => "syntax".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn texts_are_sorted_into_kinds() {
        let cases = [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request 1 ping -"),
            (
                r#" {"method":"p\u0069ng","params":{"a" : 1},"x":[],"id":"a","jsonrpc":"2.0"} "#,
                r#"request "a" ping {"a" : 1}"#,
            ),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "request null ping -"),
            (r#"{"jsonrpc":"2.0","method":"n","params":[]}"#, "notification n []"),
            (r#"{"jsonrpc":"2.0","id":1,"result":null}"#, "result 1 null"),
            (r#"{"jsonrpc":"2.0","error":{"code":1}}"#, r#"error - {"code":1}"#),
            (
                r#"{"jsonrpc":"2.0","id":1}"#,
                "message is not JSON-RPC 2.0: it has neither `method`, nor `result` with an `id`, nor `error`",
            ),
            (
                r#"{"jsonrpc":"2.0","result":{}}"#,
                "message is not JSON-RPC 2.0: it has neither `method`, nor `result` with an `id`, nor `error`",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#,
                "message is not JSON-RPC 2.0: it has both a result and an error",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","result":1}"#,
                "message is not JSON-RPC 2.0: it is a request and a response at once",
            ),
            (
                r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#,
                "message is not JSON-RPC 2.0: `jsonrpc` is not \"2.0\"",
            ),
            (r#"{"id":1,"method":"m"}"#, "message is not JSON-RPC 2.0: `jsonrpc` is not \"2.0\""),
            (
                r#"[{"jsonrpc":"2.0","id":1,"method":"m"}]"#,
                "message is an array, and batches are not part of this revision",
            ),
            (r#" ["2.0",1,"m"]"#, "message is an array, and batches are not part of this revision"),
            ("{", "syntax"),
            ("", "syntax"),
            (r#"{"jsonrpc":"2.0","method":"m"} trailing"#, "syntax"),
        ];
        for (text, expected) in cases {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn a_member_of_the_envelope_must_not_stand_twice() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","m\u0065thod":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{},"params":{}}"#,
        ] {
            assert!(kind(text).contains("duplicate field"), "{text}: {}", kind(text));
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        assert!(kind(&" ".repeat(1001)).contains("more than the 1000 bytes allowed"));
        let bomb =
            format!(r#"{{"jsonrpc":"2.0","method":"m","params":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        assert_eq!(kind(&bomb), "message nests deeper than 16 levels");
    }

    #[test]
    fn a_bomb_far_over_the_stack_is_only_an_error() {
        let bomb = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{}"#, "[".repeat(3_000_000));
        let limits = MessageLimits { bytes: 4 << 20, depth: usize::MAX };
        assert!(matches!(Message::parse(bomb.as_bytes(), limits), Err(MessageError::Syntax(_))));
    }
}
