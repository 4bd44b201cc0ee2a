//! The body of a response: a few pieces that are known, or events that come.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use http_body::{Body, Frame, SizeHint};

use super::sse;

/// Above this size a piece is sent as it is, without a copy into one buffer with the rest.
const COPY_UP_TO: usize = 8 * 1024;

/// What [`crate::McpEndpoint`] answers with.
pub struct ResponseBody(Content);

enum Content {
    Pieces([Bytes; 3]),
    Events(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl ResponseBody {
    pub(super) const fn empty() -> Self {
        Self(Content::Pieces([Bytes::new(), Bytes::new(), Bytes::new()]))
    }

    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Content::Pieces([bytes.into(), Bytes::new(), Bytes::new()]))
    }

    /// Large JSON between a head and a tail is not copied; small JSON is, as one write costs less than three.
    pub(super) fn around(mut head: Vec<u8>, json: Bytes, tail: &[u8]) -> Self {
        if json.len() <= COPY_UP_TO {
            head.reserve_exact(json.len() + tail.len());
            head.extend_from_slice(&json);
            head.extend_from_slice(tail);
            return Self::whole(head);
        }
        Self(Content::Pieces([head.into(), json, Bytes::copy_from_slice(tail)]))
    }

    /// The same message as an event, for clients that take nothing else.
    pub(super) fn into_event(self) -> Self {
        match self.0 {
            Content::Pieces(pieces) => Self::whole(sse::event(&pieces.concat())),
            Content::Events(events) => Self(Content::Events(events)),
        }
    }

    pub(super) fn events(events: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Content::Events(Box::pin(events)))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Content::Pieces(pieces) => {
                let next = pieces.iter_mut().find(|piece| !piece.is_empty()).map(std::mem::take);
                Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
            }
            Content::Events(events) => {
                events.as_mut().poll_next(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Pieces(pieces) => pieces.iter().all(Bytes::is_empty),
            Content::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Pieces(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            Content::Events(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Pieces(pieces) => f.debug_tuple("ResponseBody").field(pieces).finish(),
            Content::Events(_) => f.write_str("ResponseBody(events)"),
        }
    }
}
