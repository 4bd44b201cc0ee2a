//! Reads what a server writes and gives each message to whom it concerns.
//!
//! A server may write anything. Replies that nobody waits for, texts that are no messages and requests of its own cost
//! it a share of a small budget, and when that is spent it is read no further for a moment: a flood slows the server
//! that makes it, and nobody else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hayloft_model::nesting::{self, BEYOND_REASON};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::fault::{Fault, code};
use crate::ids::{CallIds, RequestId};
use crate::message::{self, Message, MessageError, MessageLimits, Outcome, write};
use crate::progress::Progress;
use crate::revision::{Batches, Revision};

use super::error::{CallError, CloseReason, ServerError};
use super::pending::{Pending, Reply};
use super::transport::{MessageSource, Received, TransportError};

/// Hears what a server says beside its answers. Called on the task that reads from the server: must not block.
pub trait UpstreamObserver: Send + Sync + 'static {
    /// The server wrote something that is not a message. At most 300 characters of it, and only of the first twenty;
    /// the rest is counted.
    fn noise(&self, excerpt: &str) {
        let _ = excerpt;
    }

    /// The server sent a log message: the raw `params` of `notifications/message`.
    fn log(&self, params: &RawValue) {
        let _ = params;
    }

    /// The session is over.
    fn closed(&self, reason: &CloseReason) {
        let _ = reason;
    }
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl UpstreamObserver for Silent {}

/// What the reader shares with the callers of one session.
pub(super) struct Shared {
    pub(super) outgoing: mpsc::Sender<Bytes>,
    pub(super) pending: Pending,
    pub(super) ids: CallIds,
    pub(super) limits: MessageLimits,
    pub(super) revision: OnceLock<Revision>,
    pub(super) tools_changed: watch::Sender<u64>,
    /// The same for everything that is listed beside tools.
    pub(super) items_changed: watch::Sender<u64>,
    pub(super) closed: watch::Sender<Option<CloseReason>>,
    pub(super) observer: Arc<dyn UpstreamObserver>,
    pub(super) counts: Counts,
}

/// What was ignored, and how often.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) foreign_replies: AtomicU64,
    pub(super) late_replies: AtomicU64,
    pub(super) noise: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) notifications: AtomicU64,
}

impl Shared {
    /// Ends the session for everybody, once.
    pub(super) fn close(&self, reason: &CloseReason) {
        if self.pending.close(reason) {
            self.closed.send_replace(Some(reason.clone()));
            self.observer.closed(reason);
        }
    }
}

/// What a message was to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// It answered a call.
    Answer,
    Unasked,
    /// It nests so deep that nothing more is read from who wrote it.
    Attack,
}

/// Reads until the server ends or breaks the transport, then ends the session.
pub(super) async fn read<S: MessageSource>(shared: Arc<Shared>, mut source: S, unasked_per_second: u32) {
    let mut budget = Budget::new(unasked_per_second);
    let reason = loop {
        match source.receive().await {
            Ok(Some(received)) => match shared.take(received) {
                Heard::Answer => {}
                Heard::Unasked => budget.spend().await,
                Heard::Attack => {
                    break CloseReason::Transport(TransportError::TooDeep { limit: BEYOND_REASON });
                }
            },
            Ok(None) => break CloseReason::Ended,
            Err(error) => break CloseReason::Transport(error),
        }
    };
    shared.close(&reason);
}

impl Shared {
    fn take(&self, received: Received) -> Heard {
        match received {
            Received::Message(text) => self.hear(&text),
            Received::Chatter => Heard::Unasked,
            Received::NoAnswer { id, error } => {
                // It may have been answered before, which is what a transport need not know.
                self.pending.answer(id, Err(CallError::Transport(error)));
                Heard::Answer
            }
            Received::Renewed => {
                self.announce_change();
                self.announce_items();
                Heard::Answer
            }
        }
    }

    fn announce_change(&self) {
        self.tools_changed.send_modify(|generation| *generation += 1);
    }

    fn announce_items(&self) {
        self.items_changed.send_modify(|generation| *generation += 1);
    }

    fn hear(&self, text: &[u8]) -> Heard {
        match Message::parse(text, self.limits) {
            Ok(message) => self.hear_message(message, text),
            Err(MessageError::Batch) if self.reads_batches() => {
                let mut heard = Heard::Unasked;
                for element in message::batch_elements(text).unwrap_or_default() {
                    let text = element.get().as_bytes();
                    match Message::parse(text, self.limits) {
                        Ok(message) => {
                            if self.hear_message(message, text) == Heard::Answer {
                                heard = Heard::Answer;
                            }
                        }
                        Err(_) => self.noise(text),
                    }
                }
                heard
            }
            Err(MessageError::TooDeep { limit }) => self.hear_too_deep(text, limit),
            Err(_) => {
                self.noise(text);
                Heard::Unasked
            }
        }
    }

    fn reads_batches(&self) -> bool {
        self.revision.get().is_some_and(|revision| revision.rules().batches == Batches::Read)
    }

    fn hear_message(&self, message: Message<'_>, text: &[u8]) -> Heard {
        match message {
            Message::Response { id: Some(id), outcome } => return self.hear_reply(id, outcome),
            Message::Response { id: None, .. } => self.noise(text),
            Message::Notification { method, params } => {
                self.counts.notifications.fetch_add(1, Ordering::Relaxed);
                self.hear_notification(&method, params);
            }
            Message::Request { id, method, .. } => {
                self.counts.requests.fetch_add(1, Ordering::Relaxed);
                self.hear_request(id, &method);
            }
        }
        Heard::Unasked
    }

    fn hear_reply(&self, id: &RawValue, outcome: Outcome<'_>) -> Heard {
        let reply = match outcome {
            Outcome::Result(result) if message::is_object(result) => Ok(result.to_owned()),
            Outcome::Result(_) => Err(CallError::Malformed("the result is not an object".to_owned())),
            Outcome::Error(error) => Err(CallError::Refused(ServerError::of(error))),
        };
        self.answer(id, reply)
    }

    fn answer(&self, id: &RawValue, reply: Reply) -> Heard {
        let id: Option<u64> = id.get().parse().ok();
        let Some(id) = id.filter(|id| self.ids.was_given(*id)) else {
            self.counts.foreign_replies.fetch_add(1, Ordering::Relaxed);
            return Heard::Unasked;
        };
        if self.pending.answer(id, reply) {
            Heard::Answer
        } else {
            self.counts.late_replies.fetch_add(1, Ordering::Relaxed);
            Heard::Unasked
        }
    }

    /// A reply that nests too deep is not handed on, but its call need not wait for its deadline.
    fn hear_too_deep(&self, text: &[u8], limit: usize) -> Heard {
        if nesting::exceeds(text, BEYOND_REASON) {
            return Heard::Attack;
        }
        let no_limit = MessageLimits { depth: usize::MAX, ..self.limits };
        match Message::parse(text, no_limit) {
            Ok(Message::Response { id: Some(id), .. }) => {
                self.answer(id, Err(CallError::Malformed(format!("it nests deeper than {limit} levels"))))
            }
            _ => {
                self.noise(text);
                Heard::Unasked
            }
        }
    }

    fn hear_notification(&self, method: &str, params: Option<&RawValue>) {
        match (method, params) {
            ("notifications/tools/list_changed", _) => self.announce_change(),
            ("notifications/resources/list_changed" | "notifications/prompts/list_changed", _) => {
                self.announce_items();
            }
            ("notifications/progress", Some(params)) => {
                if let Some((token, progress)) = Progress::of_params(params)
                    && let Ok(id) = token.get().parse()
                {
                    self.pending.progress(id, progress);
                }
            }
            ("notifications/message", Some(params)) => self.observer.log(params),
            _ => {}
        }
    }

    /// We offer servers nothing but to answer a ping. When the server does not read, its question is dropped: waiting
    /// would hold up the answers behind it.
    fn hear_request(&self, id: &RawValue, method: &str) {
        let Ok(id) = RequestId::of(id) else {
            return;
        };
        let answer = match method {
            "ping" => write::result(&id, "{}"),
            _ => Fault::new(code::METHOD_NOT_FOUND, "this client answers no requests but `ping`")
                .to_message(Some(&id)),
        };
        drop(self.outgoing.try_send(answer.into()));
    }

    fn noise(&self, text: &[u8]) {
        const REPORTED: u64 = 20;
        const EXCERPT: usize = 300;
        if self.counts.noise.fetch_add(1, Ordering::Relaxed) < REPORTED {
            let head = text.get(..EXCERPT * 4).unwrap_or(text);
            let excerpt: String = String::from_utf8_lossy(head).chars().take(EXCERPT).collect();
            self.observer.noise(&excerpt);
        }
    }
}

/// In how many parts of a second the messages that nobody asked for are read. Whoever reads a second's worth at once
/// makes others wait for so long.
const PARTS: u32 = 20;

/// How many messages that nobody asked for are read in one part of a second.
#[derive(Debug)]
struct Budget {
    per_part: u32,
    part: Duration,
    spent: u32,
    since: Instant,
}

impl Budget {
    fn new(per_second: u32) -> Self {
        // A budget of less than one for each part is kept by fewer parts.
        let parts = PARTS.min(per_second).max(1);
        let part = Duration::from_secs(1) / parts;
        Self { per_part: per_second / parts, part, spent: 0, since: Instant::now() }
    }

    async fn spend(&mut self) {
        self.spent += 1;
        if self.spent < self.per_part {
            return;
        }
        tokio::time::sleep_until(self.since + self.part).await;
        self.spent = 0;
        self.since = Instant::now();
    }
}
