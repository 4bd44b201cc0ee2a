//! Server-sent events as they are read: bytes in, events out, never more held than one message may have.
//!
//! Follows "Server-sent events", section 9.2.6, of the HTML standard.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// What the bounds of an event allow beside its data: names of fields, ids.
const BESIDE_DATA: usize = 4 * 1024;

/// Longer ids of events could not be sent back.
const LONGEST_ID: usize = 1024;

/// Buffers beyond this size are given back once they are empty.
const KEPT: usize = 64 * 1024;

/// The type of an event, as far as anybody cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EventType {
    /// `message`, or none.
    #[default]
    Message,
    /// `endpoint`: where to post, in HTTP with server-sent events.
    Endpoint,
    /// Any other.
    Other,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: EventType,
    pub(super) data: Bytes,
}

/// An event, or the rest of one, is larger than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventTooLong;

/// Makes events of bytes that are cut anywhere.
#[derive(Debug)]
pub(super) struct EventParser {
    limit: usize,
    /// The start of a line whose end has not come.
    line: BytesMut,
    /// The last line ended with a carriage return, so a line feed that follows belongs to it.
    after_return: bool,
    /// No line has come yet, so there may be a byte order mark.
    at_start: bool,
    kind: EventType,
    data: BytesMut,
    has_data: bool,
    /// The id that the event being read gives; in force once the event is whole.
    id: Option<String>,
    last_id: Option<String>,
    retry: Option<Duration>,
}

impl EventParser {
    /// A parser of a new stream, whose events have at most `limit` bytes of data.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: BytesMut::new(),
            after_return: false,
            at_start: true,
            kind: EventType::Message,
            data: BytesMut::new(),
            has_data: false,
            id: None,
            last_id: None,
            retry: None,
        }
    }

    /// Reads on, adding the events that became whole.
    pub(super) fn feed(&mut self, chunk: &[u8], events: &mut VecDeque<Event>) -> Result<(), EventTooLong> {
        let mut rest = chunk;
        if self.after_return && !rest.is_empty() {
            self.after_return = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            let (line, after) = rest.split_at(at);
            rest = match after {
                [b'\r', b'\n', after @ ..] => after,
                [b'\r'] => {
                    self.after_return = true;
                    &[]
                }
                [_, after @ ..] => after,
                [] => &[],
            };
            if self.line.is_empty() {
                self.take_line(line, events)?;
            } else {
                self.hold(line)?;
                let mut whole = std::mem::take(&mut self.line);
                self.take_line(&whole, events)?;
                whole.clear();
                if whole.capacity() <= KEPT {
                    self.line = whole;
                }
            }
        }
        self.hold(rest)
    }

    /// How many bytes are held of an event that is not whole.
    pub(super) fn held(&self) -> usize {
        self.line.len() + self.data.len()
    }

    /// The id of the last whole event that had one, from which the server can go on.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants to be left alone before its stream is asked for again.
    pub(super) const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn hold(&mut self, part: &[u8]) -> Result<(), EventTooLong> {
        if self.held() + part.len() > self.limit.saturating_add(BESIDE_DATA) {
            return Err(EventTooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], events: &mut VecDeque<Event>) -> Result<(), EventTooLong> {
        let line = match std::mem::take(&mut self.at_start) {
            true => line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line),
            false => line,
        };
        if line.is_empty() {
            self.dispatch(events);
            return Ok(());
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(at) => {
                let (field, value) = line.split_at(at);
                let value = value.get(1..).unwrap_or_default();
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match field {
            b"data" => self.add_data(value)?,
            b"event" => {
                self.kind = match value {
                    b"" | b"message" => EventType::Message,
                    b"endpoint" => EventType::Endpoint,
                    _ => EventType::Other,
                }
            }
            b"id" if value.len() <= LONGEST_ID && !value.contains(&0) => {
                self.id = std::str::from_utf8(value).ok().map(str::to_owned);
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let digits = std::str::from_utf8(value).ok();
                self.retry = digits.and_then(|digits| digits.parse().ok()).map(Duration::from_millis);
            }
            // Comments, and fields that nobody knows.
            _ => {}
        }
        Ok(())
    }

    fn add_data(&mut self, value: &[u8]) -> Result<(), EventTooLong> {
        let separator = usize::from(self.has_data);
        if self.data.len() + separator + value.len() > self.limit {
            return Err(EventTooLong);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.extend_from_slice(b"\n");
        }
        self.data.extend_from_slice(value);
        Ok(())
    }

    fn dispatch(&mut self, events: &mut VecDeque<Event>) {
        if let Some(id) = self.id.take() {
            self.last_id = Some(id).filter(|id| !id.is_empty());
        }
        let kind = std::mem::take(&mut self.kind);
        if std::mem::take(&mut self.has_data) {
            events.push_back(Event { kind, data: std::mem::take(&mut self.data).freeze() });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(
        limit: usize,
        chunks: &[&[u8]],
    ) -> (Vec<(EventType, String)>, EventParser, Result<(), EventTooLong>) {
        let (mut parser, mut events) = (EventParser::new(limit), VecDeque::new());
        let outcome = chunks.iter().try_for_each(|chunk| parser.feed(chunk, &mut events));
        let events = events
            .into_iter()
            .map(|event| (event.kind, String::from_utf8_lossy(&event.data).into_owned()))
            .collect();
        (events, parser, outcome)
    }

    const STREAM: &str = "\u{feff}: hello\n\ndata: {\"a\":1}\n\nevent: endpoint\ndata:/m?s=1\r\n\r\n\
        id: 7\nretry: 250\ndata\n\nevent: ping\ndata: x\rdata:  y\r\rdata: unfinished\n";

    fn expected() -> Vec<(EventType, String)> {
        vec![
            (EventType::Message, "{\"a\":1}".to_owned()),
            (EventType::Endpoint, "/m?s=1".to_owned()),
            (EventType::Message, String::new()),
            (EventType::Other, "x\n y".to_owned()),
        ]
    }

    #[test]
    fn streams_are_read_as_the_standard_says() {
        let (events, parser, outcome) = read(100, &[STREAM.as_bytes()]);
        assert_eq!((events, outcome), (expected(), Ok(())));
        assert_eq!((parser.last_id(), parser.retry()), (Some("7"), Some(Duration::from_millis(250))));
    }

    #[test]
    fn ids_count_once_their_event_is_whole() {
        let cases = [
            ("id: a\ndata: 1\n\nid: b\ndata: 2\n", Some("a")),
            ("id: a\n\n", Some("a")),
            ("id: a\n\nid\n\n", None),
            ("id: a\n\nid: b\0\n\n", Some("a")),
            ("data: 1\n\n", None),
        ];
        for (stream, last) in cases {
            assert_eq!(read(100, &[stream.as_bytes()]).1.last_id(), last, "{stream:?}");
        }
    }

    #[test]
    fn nothing_is_held_beyond_the_limit() {
        let fits = format!("data: {}\n\n", "x".repeat(100));
        assert_eq!(read(100, &[fits.as_bytes()]).2, Ok(()));
        let over = format!("data: {}\n\n", "x".repeat(101));
        assert_eq!(read(100, &[over.as_bytes()]).2, Err(EventTooLong));
        let lines = "data: x\n".repeat(51);
        assert_eq!(read(100, &[lines.as_bytes()]).2, Err(EventTooLong));
        let (mut parser, mut events) = (EventParser::new(100), VecDeque::new());
        let endless = std::iter::repeat_n(b"xxxxxxxxxxxxxxxx".as_slice(), 1000);
        let fed = endless.take_while(|chunk| parser.feed(chunk, &mut events).is_ok()).count();
        assert!((6..400).contains(&fed), "{fed} chunks were held");
    }

    proptest! {
        #[test]
        fn events_are_the_same_however_they_are_cut(cuts in proptest::collection::vec(0..STREAM.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &STREAM.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(100, &chunks).0, expected());
        }

        #[test]
        fn no_bytes_break_it(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let (_, parser, _) = read(64, &chunks);
            prop_assert!(parser.held() <= 64 + BESIDE_DATA);
        }
    }
}
