//! One request over Streamable HTTP and its answer, through all that may happen to the response on the way.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;

use crate::client::transport::TransportError;
use crate::message::{self, Message, MessageLimits};

use super::body;
use super::event::EventType;
use super::events::Events;
use super::inbox::Text;
use super::refusal::{self, Refusal};
use super::request::{self, Answered};
use super::session::{self, Known};
use super::streamable::Server;

/// How long to wait before asking for the rest of a stream, unless the server says.
const PAUSE: Duration = Duration::from_millis(500);

/// The bounds of what a server may say to that.
const PAUSES: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

/// How often in a row the rest of a stream is asked for in vain.
const ATTEMPTS: u32 = 3;

/// How long a server may take to end its response after the answer, before it loses the connection.
const ENDING: Duration = Duration::from_secs(2);

/// What a server sent back.
pub(super) struct Answer {
    /// The answer to the request, or what the server takes for it.
    pub(super) text: Text,
    /// The response after the answer.
    pub(super) rest: Option<Events>,
    /// The session that the response gives.
    pub(super) session: Option<HeaderValue>,
}

/// Why a stream gave no answer.
struct Unfinished {
    error: TransportError,
    /// Whether the same stream, asked for again, may have it.
    resumable: bool,
}

/// How long to wait before a stream is asked for again.
pub(super) fn pause(told: Option<Duration>) -> Duration {
    told.map_or(PAUSE, |told| told.clamp(*PAUSES.start(), *PAUSES.end()))
}

impl Server {
    /// Posts a request and reads up to its answer. Other messages on the way go to the session.
    ///
    /// Fails with [`TransportError::SessionLost`] only if the server did nothing.
    pub(super) async fn exchange(
        &self,
        id: u64,
        text: &Bytes,
        known: &Known,
    ) -> Result<Answer, TransportError> {
        let answered = self.post(text, known).await?;
        if !answered.response.status().is_success() {
            return refused(id, answered, known).await;
        }
        let (head, response) = answered.response.into_parts();
        let session = session::id_of(&head.headers)?;
        let kind = request::content_type(&head.headers).filter(|_| !request::is_packed(&head.headers));
        match kind.as_deref() {
            Some("application/json") => {
                let text = body::gather(response, self.message_bytes, &self.inlet).await?;
                Ok(Answer { text, rest: None, session })
            }
            Some("text/event-stream") => {
                let events = Events::new(response, self.message_bytes);
                let (text, rest) = self.follow(id, events, known).await?;
                Ok(Answer { text, rest: Some(rest), session })
            }
            _ if matches!(head.status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) => {
                Err(TransportError::NoAnswer)
            }
            _ => Err(refusal::wrong_type(&head.headers, "JSON or a stream of events")),
        }
    }

    /// Hears what comes after an answer, so that the connection can be used again.
    pub(super) async fn hear_rest(&self, mut rest: Events) {
        let hearing = async {
            while let Ok(Some((kind, text))) = rest.next(&self.inlet).await {
                if kind == EventType::Message {
                    self.inlet.message(text).await;
                }
            }
        };
        drop(tokio::time::timeout(ENDING, hearing).await);
    }

    /// Reads a stream up to the answer. A stream whose events have ids is asked for again when it breaks.
    async fn follow(&self, id: u64, events: Events, known: &Known) -> Result<(Text, Events), TransportError> {
        let (mut events, mut after, mut told) = (events, None::<String>, None);
        loop {
            let Unfinished { error, resumable } = match self.find_answer(id, &mut events).await {
                Ok(text) => return Ok((text, events)),
                Err(unfinished) => unfinished,
            };
            if let Some(last) = events.last_id() {
                after = Some(last.to_owned());
            }
            told = events.retry().or(told);
            let Some(after) = after.as_deref().filter(|_| resumable) else { return Err(error) };
            events = self.resume(known, after, told, error).await?;
        }
    }

    async fn find_answer(&self, id: u64, events: &mut Events) -> Result<Text, Unfinished> {
        loop {
            match events.next(&self.inlet).await {
                Ok(Some((EventType::Message, text))) if answers(&text.bytes, id) => return Ok(text),
                Ok(Some((EventType::Message, text))) => self.inlet.message(text).await,
                Ok(Some(_)) => self.inlet.chatter().await,
                Ok(None) => return Err(Unfinished { error: TransportError::NoAnswer, resumable: true }),
                Err(error) => {
                    let resumable = matches!(error, TransportError::Broken(_));
                    return Err(Unfinished { error, resumable });
                }
            }
        }
    }

    /// Asks for the rest of a stream. When that is not to be had, what ended the stream is the error: the request may
    /// have been acted upon.
    async fn resume(
        &self,
        known: &Known,
        after: &str,
        told: Option<Duration>,
        ended: TransportError,
    ) -> Result<Events, TransportError> {
        for _ in 0..ATTEMPTS {
            tokio::time::sleep(pause(told)).await;
            match self.get(known, Some(after)).await {
                Ok(answered) if answered.response.status().is_server_error() => {}
                Ok(answered) => {
                    return match refusal::must_stream(answered).await {
                        Ok(response) => Ok(Events::new(response.into_body(), self.message_bytes)),
                        Err(error) => {
                            tracing::debug!(%error, "a server does not go on with a stream");
                            Err(ended)
                        }
                    };
                }
                Err(error) => tracing::debug!(%error, "failed to ask for the rest of a stream"),
            }
        }
        Err(ended)
    }
}

/// Reads a response whose status is not one of success: it may hold the server's answer all the same.
async fn refused(id: u64, answered: Answered, known: &Known) -> Result<Answer, TransportError> {
    let Refusal { error, json } = refusal::read(answered).await;
    if known.id.is_some() && is_lost(&error) {
        return Err(TransportError::SessionLost);
    }
    match (error, json) {
        (TransportError::Status { .. }, Some(bytes)) if answers(&bytes, id) => {
            Ok(Answer { text: Text { bytes, room: None }, rest: None, session: None })
        }
        (error, _) => Err(error),
    }
}

/// Whether a refusal says that the session is unknown. The specification wants 404 for it; servers made after the
/// examples of the official SDK say 400 and that there is no such session. Neither has done anything.
fn is_lost(error: &TransportError) -> bool {
    match error {
        TransportError::Status { status: 404, .. } => true,
        TransportError::Status { status: 400, message, .. } => {
            let message = message.to_ascii_lowercase();
            message.contains("session") || message.contains("not initialized")
        }
        _ => false,
    }
}

/// Whether a text answers the request of this id.
fn answers(text: &[u8], id: u64) -> bool {
    let limits = MessageLimits { bytes: usize::MAX, depth: usize::MAX };
    let is_answer = |text: &[u8]| match Message::parse(text, limits) {
        Ok(Message::Response { id: Some(of), .. }) => of.get().parse() == Ok(id),
        _ => false,
    };
    if text.trim_ascii_start().starts_with(b"[") {
        let elements = message::batch_elements(text).unwrap_or_default();
        return elements.iter().any(|element| is_answer(element.get().as_bytes()));
    }
    is_answer(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_by_their_id() {
        let cases = [
            (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, true),
            (r#"{"jsonrpc":"2.0","id":7,"error":{}}"#, true),
            (r#" [{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","id":7,"result":{}}]"#, true),
            (r#"{"jsonrpc":"2.0","id":"7","result":{}}"#, false),
            (r#"{"jsonrpc":"2.0","id":8,"result":{}}"#, false),
            (r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#, false),
            ("[", false),
            ("", false),
        ];
        for (text, expected) in cases {
            assert_eq!(answers(text.as_bytes(), 7), expected, "{text}");
        }
    }
}
