//! A stream of server-sent events (WHATWG HTML), as the server writes them.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use crate::failure::Failure;

/// The longest event that is read, in bytes.
const LONGEST: usize = 4 << 20;

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name.
    pub(crate) name: String,
    /// The place to go on from.
    pub(crate) id: String,
    /// What it says.
    pub(crate) data: Value,
}

/// The events of an answer, as they come.
pub(crate) struct Events {
    body: Incoming,
    unread: Vec<u8>,
}

impl Events {
    pub(crate) const fn new(body: Incoming) -> Self {
        Self { body, unread: Vec::new() }
    }

    /// The next event; nothing when the stream ended, in whatever way.
    ///
    /// # Errors
    /// When what comes is no stream of events.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = take(&mut self.unread) {
                match event {
                    Event { name, .. } if name.is_empty() => continue,
                    event => return Ok(Some(event)),
                }
            }
            if self.unread.len() > LONGEST {
                return Err(Failure::new("the server sent an event that is too long"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.unread.extend(frame.into_data().unwrap_or_else(|_| Bytes::new())),
                // A stream that broke off is taken up again from its last id.
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

/// Takes the first whole event from what was read; one without a name for what only keeps the connection open.
fn take(unread: &mut Vec<u8>) -> Option<Event> {
    let end = unread.windows(2).position(|window| window == b"\n\n")?;
    let text: Vec<u8> = unread.drain(..end + 2).collect();
    let text = String::from_utf8_lossy(&text);
    let mut event = Event::default();
    let mut data = String::new();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event.name),
            "id" => value.clone_into(&mut event.id),
            "data" => data.push_str(value),
            _ => {}
        }
    }
    event.data = serde_json::from_str(&data).unwrap_or_default();
    Some(event)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_taken_one_by_one_and_only_whole() {
        let mut unread = b":\n\nevent: line\nid: 1-2-3\ndata: {\"text\":\"a: b\"}\n\nevent: done\n".to_vec();
        assert_eq!(take(&mut unread), Some(Event::default()), "a comment");
        let expected = Event { name: "line".into(), id: "1-2-3".into(), data: json!({ "text": "a: b" }) };
        assert_eq!(take(&mut unread), Some(expected));
        assert_eq!(take(&mut unread), None);
        unread.extend(b"data: {}\n\n");
        assert_eq!(take(&mut unread).map(|event| event.name).as_deref(), Some("done"));
        assert!(unread.is_empty());
    }
}
