//! Server-sent events: how a message becomes one.

use bytes::Bytes;

/// What keeps a quiet connection open.
pub(super) const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// One `message` event. No event has an id: streams are not resumed, so that there is none of somebody else's to resume.
pub(super) fn event(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 24);
    push_event(&mut out, message);
    out.into()
}

/// Appends an event. Line ends stand only between the tokens of JSON, where a space means the same; in an event they
/// would end the field.
pub(super) fn push_event(out: &mut Vec<u8>, message: &[u8]) {
    out.extend_from_slice(b"event: message\ndata: ");
    let start = out.len();
    out.extend_from_slice(message);
    if memchr::memchr2(b'\n', b'\r', message).is_some() {
        for byte in out.iter_mut().skip(start).filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
    }
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_event_whatever_its_white_space() {
        assert_eq!(event(b"{\r\n\"a\":1\n}"), "event: message\ndata: {  \"a\":1 }\n\n");
    }
}
