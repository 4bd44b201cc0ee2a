//! What is known of a session over Streamable HTTP. It may be lost and opened anew while calls go on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use tokio::sync::watch;

use crate::client::transport::TransportError;
use crate::message::{self, Message, MessageLimits, Outcome};
use crate::revision::{Revision, VersionHeader};

/// The session, on either side's requests and responses.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// The revision that a request follows.
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// What a request needs to belong to the session.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Grows with each session; the first has 1.
    pub(super) generation: u64,
    pub(super) id: Option<HeaderValue>,
    pub(super) revision: Option<Revision>,
}

/// The session of the moment.
#[derive(Debug)]
pub(super) struct Session {
    state: Mutex<State>,
    /// Held while the session is opened anew, so that it is opened once.
    pub(super) renewing: tokio::sync::Mutex<()>,
    /// The generation whose opening is complete; none yet is 0.
    opened: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    known: Known,
    /// The request that opened it, with its id.
    introduction: Option<(u64, Bytes)>,
}

impl Known {
    /// The headers by which a request belongs to the session.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(id) = &self.id {
            headers.insert(SESSION, id.clone());
        }
        if let Some(revision) = self.revision
            && revision.rules().version_header == VersionHeader::Sent
        {
            headers.insert(VERSION, HeaderValue::from_static(revision.name()));
        }
        headers
    }

    /// What the answer to `initialize` makes known. A refusal makes nothing known.
    pub(super) fn of_answer(text: &[u8], id: Option<HeaderValue>) -> Self {
        Self { generation: 0, id, revision: revision_of(text) }
    }
}

impl Session {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), renewing: tokio::sync::Mutex::new(()), opened: watch::Sender::new(0) }
    }

    pub(super) fn known(&self) -> Known {
        self.state().known.clone()
    }

    /// The request that opened the session, with its id.
    pub(super) fn introduction(&self) -> Option<(u64, Bytes)> {
        self.state().introduction.clone()
    }

    /// Takes up a session that the server has just given.
    pub(super) fn begin(&self, known: Known, introduction: (u64, Bytes)) {
        let mut state = self.state();
        let generation = state.known.generation + 1;
        *state = State { known: Known { generation, ..known }, introduction: Some(introduction) };
    }

    /// The server knows that the session is taken up.
    pub(super) fn opened(&self) {
        let generation = self.known().generation;
        self.opened.send_replace(generation);
    }

    /// Follows which session is open.
    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.opened.subscribe()
    }

    /// The lock is held for a look, never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session that a response gives.
pub(super) fn id_of(headers: &HeaderMap) -> Result<Option<HeaderValue>, TransportError> {
    const LONGEST: usize = 1024;
    let Some(id) = headers.get(SESSION) else { return Ok(None) };
    // "Session Management": it must only contain visible ASCII characters.
    if id.is_empty() || id.len() > LONGEST || !id.as_bytes().iter().all(u8::is_ascii_graphic) {
        let message = format!("its session id is not of 1 to {LONGEST} visible ASCII characters");
        return Err(TransportError::Protocol(message));
    }
    let mut id = id.clone();
    // Whoever has it can act in the session.
    id.set_sensitive(true);
    Ok(Some(id))
}

fn revision_of(text: &[u8]) -> Option<Revision> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Introduced {
        protocol_version: String,
    }
    let limits = MessageLimits { bytes: usize::MAX, depth: usize::MAX };
    let Ok(Message::Response { outcome: Outcome::Result(result), .. }) = Message::parse(text, limits) else {
        return None;
    };
    let introduced: Introduced = message::object(result).ok()?;
    Revision::named(&introduced.protocol_version)
}
