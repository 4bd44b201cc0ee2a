//! Writes messages. Every message that leaves is composed here from parts that were read, never copied through whole.

use serde_json::value::RawValue;

use crate::ids::RequestId;

/// Room for the envelope around the parts of a message.
const ENVELOPE: usize = 96;

/// A request under one of our own ids, with `params` written by the caller when there are any.
pub(crate) fn request(id: u64, method: &str, params: impl FnOnce(&mut Vec<u8>), size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENVELOPE + method.len() + size);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.to_string().as_bytes());
    out.extend_from_slice(br#","method":"#);
    string(&mut out, method);
    out.extend_from_slice(br#","params":"#);
    params(&mut out);
    out.push(b'}');
    out
}

/// A notification with `params` given as JSON.
pub(crate) fn notification(method: &str, params: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENVELOPE + method.len() + params.map_or(0, str::len));
    out.extend_from_slice(br#"{"jsonrpc":"2.0","method":"#);
    string(&mut out, method);
    if let Some(params) = params {
        out.extend_from_slice(br#","params":"#);
        out.extend_from_slice(params.as_bytes());
    }
    out.push(b'}');
    out
}

/// The start of an answer, up to where the JSON of the result stands. [`RESULT_TAIL`] closes it.
pub(crate) fn result_head(id: &RequestId) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENVELOPE + id.as_json().len());
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.as_json().as_bytes());
    out.extend_from_slice(br#","result":"#);
    out
}

/// The end of an answer that [`result_head`] began.
pub(crate) const RESULT_TAIL: &[u8] = b"}";

/// A whole answer.
pub(crate) fn result(id: &RequestId, json: &str) -> Vec<u8> {
    let mut out = result_head(id);
    out.reserve_exact(json.len() + RESULT_TAIL.len());
    out.extend_from_slice(json.as_bytes());
    out.extend_from_slice(RESULT_TAIL);
    out
}

/// An answer that is an error. Without an id the request could not be read, for which JSON-RPC answers under `null`.
pub(crate) fn error(id: Option<&RequestId>, code: i64, message: &str, data: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENVELOPE + message.len() + data.map_or(0, str::len));
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.map_or("null", RequestId::as_json).as_bytes());
    out.extend_from_slice(br#","error":{"code":"#);
    out.extend_from_slice(code.to_string().as_bytes());
    out.extend_from_slice(br#","message":"#);
    string(&mut out, message);
    if let Some(data) = data {
        out.extend_from_slice(br#","data":"#);
        out.extend_from_slice(data.as_bytes());
    }
    out.extend_from_slice(b"}}");
    out
}

/// A JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

/// The text of bytes that were composed from JSON texts.
pub(crate) fn into_text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// JSON that was composed here as a raw value; `null` should it not be JSON, which composing from raw values rules out.
pub(crate) fn into_raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_serde_does() {
        for text in ["", "plain", "\"", "\\", "a\nb\u{1}", "ünï \u{2028} 🦀", "</script>"] {
            let mut out = Vec::new();
            string(&mut out, text);
            assert_eq!(into_text(out), serde_json::to_string(text).unwrap());
        }
    }

    #[test]
    fn messages_read_as_they_should() {
        let id = RequestId::of_json("\"a\"").unwrap();
        assert_eq!(into_text(result(&id, "{}")), r#"{"jsonrpc":"2.0","id":"a","result":{}}"#);
        assert_eq!(
            into_text(error(None, -32700, "not \"JSON\"", Some("[1]"))),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"not \"JSON\"","data":[1]}}"#
        );
        assert_eq!(
            into_text(request(7, "m", |out| out.extend_from_slice(b"{}"), 2)),
            r#"{"jsonrpc":"2.0","id":7,"method":"m","params":{}}"#
        );
        assert_eq!(into_text(notification("n", None)), r#"{"jsonrpc":"2.0","method":"n"}"#);
    }
}
