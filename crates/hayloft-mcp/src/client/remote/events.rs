//! A response that is a stream of events.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use crate::client::transport::TransportError;

use super::event::{Event, EventParser, EventTooLong, EventType};
use super::inbox::{Inlet, SMALL, Text};
use super::request;

/// Gives the events of a response one by one, and tells the session about what is none.
pub(super) struct Events {
    body: Incoming,
    parser: EventParser,
    ready: VecDeque<Event>,
    /// Held while a large event is on its way.
    room: Option<OwnedSemaphorePermit>,
    limit: usize,
}

impl Events {
    pub(super) fn new(body: Incoming, limit: usize) -> Self {
        Self { body, parser: EventParser::new(limit), ready: VecDeque::new(), room: None, limit }
    }

    /// The next event that has data, or nothing at the end of the stream. Safe to drop while it waits.
    pub(super) async fn next(&mut self, inlet: &Inlet) -> Result<Option<(EventType, Text)>, TransportError> {
        loop {
            if let Some(Event { kind, data }) = self.ready.pop_front() {
                if kind == EventType::Other || data.is_empty() {
                    inlet.chatter().await;
                    continue;
                }
                // Whatever is still held is the beginning of the next event, and small.
                let room = if data.len() > SMALL { self.room.take() } else { None };
                return Ok(Some((kind, Text { bytes: data, room })));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let Ok(chunk) = frame.map_err(|error| request::broken(&error))?.into_data() else { continue };
            let held = self.parser.held();
            self.parser
                .feed(&chunk, &mut self.ready)
                .map_err(|EventTooLong| TransportError::TooLong { limit: self.limit })?;
            if self.ready.is_empty() {
                if self.parser.held() <= held {
                    inlet.chatter().await;
                } else if self.parser.held() > SMALL && self.room.is_none() {
                    self.room = inlet.room().await;
                }
            }
        }
    }

    /// From where the server can go on, should the stream break.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.parser.last_id()
    }

    /// How long the server wants to be left alone before it is asked to go on.
    pub(super) const fn retry(&self) -> Option<Duration> {
        self.parser.retry()
    }
}
