//! Streamable HTTP: one address, to which each message is posted, and which answers as JSON or as events.
//!
//! "Streamable HTTP" in the transports section of 2025-03-26, 2025-06-18 and 2025-11-25.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Uri};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::client::transport::{Connection, TransportError, TransportLimits};
use crate::message::write;

use super::dispatch::{self, Courier, Outgoing};
use super::exchange::Answer;
use super::inbox::{Inbox, Inlet, inbox};
use super::request::{Answered, Ask, Requests};
use super::session::{Known, Session};
use super::{Remote, body, listen, refusal};

/// Messages without an answer that are on a connection at once.
const NOTES: usize = 8;

/// How long the server may take to hear that the session is over.
const FAREWELL: Duration = Duration::from_secs(5);

/// A server, for as long as somebody talks to it.
pub(super) struct Server {
    pub(super) requests: Requests,
    pub(super) inlet: Inlet,
    pub(super) session: Session,
    pub(super) message_bytes: usize,
    uri: Uri,
    calls: Semaphore,
    notes: Semaphore,
}

/// Why a call came to nothing.
enum Failure {
    /// The session goes on.
    Call(TransportError),
    /// The session is over.
    Session(TransportError),
}

pub(super) fn start(remote: Remote, limits: TransportLimits) -> Connection<Inbox> {
    let (outgoing, queue) = dispatch::queue(limits);
    let (inlet, incoming) = inbox();
    let release = CancellationToken::new();
    let released = release.clone();
    let server = Arc::new(Server {
        requests: Requests::new(&remote),
        inlet,
        session: Session::new(),
        message_bytes: limits.message_bytes,
        uri: remote.url.uri().clone(),
        calls: Semaphore::new(remote.limits.concurrent),
        notes: Semaphore::new(NOTES),
    });
    tokio::spawn(async move {
        tokio::select! {
            () = released.cancelled() => {}
            () = server.inlet.unread() => {}
            () = dispatch::dispatch(Arc::clone(&server), queue) => {}
            () = listen::listen(&server) => {}
        }
        server.end().await;
    });
    Connection { outgoing, incoming, release }
}

impl Courier for Server {
    async fn call(&self, request: Outgoing, id: u64, text: Bytes) {
        // Never closed.
        let Ok(_permit) = self.calls.acquire().await else { return };
        let answered = match request {
            Outgoing::Initialize(_) => self.introduce(id, text).await,
            _ => self.answer(id, &text).await,
        };
        match answered {
            Ok(Answer { text, rest, .. }) => {
                self.inlet.message(text).await;
                // Who asked need not wait for long should that have been no answer to this request.
                self.inlet.no_answer(id, TransportError::NoAnswer).await;
                if let Some(rest) = rest {
                    self.hear_rest(rest).await;
                }
            }
            Err(Failure::Call(error)) => {
                let is_broken = matches!(error, TransportError::Broken(_));
                self.inlet.no_answer(id, error).await;
                if is_broken && let Err(gone) = self.requests.confirm_presence().await {
                    self.inlet.broke(gone).await;
                }
            }
            Err(Failure::Session(error)) => self.inlet.broke(error).await,
        }
    }

    async fn tell(&self, text: Bytes) -> Result<(), TransportError> {
        let Ok(_permit) = self.notes.acquire().await else { return Ok(()) };
        self.post_note(text, &self.session.known()).await
    }

    fn opened(&self) {
        self.session.opened();
    }

    async fn broke(&self, error: TransportError) {
        self.inlet.broke(error).await;
    }
}

impl Server {
    /// Posts a message and gives the head of the response.
    pub(super) async fn post(&self, text: &Bytes, known: &Known) -> Result<Answered, TransportError> {
        self.requests.send(&self.posting(text.clone(), known)).await
    }

    /// Asks for a stream of the server's own messages, or for the rest of one after the event of this id.
    pub(super) async fn get(&self, known: &Known, after: Option<&str>) -> Result<Answered, TransportError> {
        let mut headers = known.headers();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(after) = after.and_then(|after| HeaderValue::from_str(after).ok()) {
            headers.insert("last-event-id", after);
        }
        self.requests.send(&Ask { method: Method::GET, uri: &self.uri, headers, body: Bytes::new() }).await
    }

    fn posting(&self, text: Bytes, known: &Known) -> Ask<'_> {
        let mut headers = known.headers();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ask { method: Method::POST, uri: &self.uri, headers, body: text }
    }

    async fn post_note(&self, text: Bytes, known: &Known) -> Result<(), TransportError> {
        let answered = self.requests.send_soon(&self.posting(text, known)).await?;
        if !answered.response.status().is_success() {
            return Err(refusal::read(answered).await.error);
        }
        body::discard(answered.response.into_body()).await;
        Ok(())
    }

    /// Opens the session.
    async fn introduce(&self, id: u64, text: Bytes) -> Result<Answer, Failure> {
        let answer = self.exchange(id, &text, &Known::default()).await.map_err(|error| self.weigh(error))?;
        self.session.begin(Known::of_answer(&answer.text.bytes, answer.session.clone()), (id, text));
        Ok(answer)
    }

    /// Asks within the session, and once more in a new one should the server have lost it: it did nothing then.
    async fn answer(&self, id: u64, text: &Bytes) -> Result<Answer, Failure> {
        let known = self.session.known();
        match self.exchange(id, text, &known).await {
            Err(TransportError::SessionLost) => {
                self.renew(known.generation).await.map_err(Failure::Session)?;
                self.exchange(id, text, &self.session.known()).await.map_err(|error| self.weigh(error))
            }
            Err(error) => Err(self.weigh(error)),
            Ok(answer) => Ok(answer),
        }
    }

    /// A server to which there is no connection, and none to be had, is gone.
    fn weigh(&self, error: TransportError) -> Failure {
        match error {
            TransportError::Unreachable(_) if !self.requests.is_connected() => Failure::Session(error),
            _ => Failure::Call(error),
        }
    }

    /// Opens the session anew, unless somebody else has done so since it was lost.
    async fn renew(&self, lost: u64) -> Result<(), TransportError> {
        let _renewing = self.session.renewing.lock().await;
        let before = self.session.known();
        if before.generation != lost {
            return Ok(());
        }
        let Some((id, text)) = self.session.introduction() else { return Err(TransportError::SessionLost) };
        let within = self.requests.limits().exchange_within;
        let opening = async {
            let answer = self.exchange(id, &text, &Known::default()).await?;
            let known = Known::of_answer(&answer.text.bytes, answer.session);
            if known.revision.is_none() || known.revision != before.revision {
                let message = "it lost the session and speaks another revision now".to_owned();
                return Err(TransportError::Protocol(message));
            }
            let initialized = write::notification("notifications/initialized", None);
            self.post_note(initialized.into(), &known).await?;
            Ok(known)
        };
        let known =
            tokio::time::timeout(within, opening).await.unwrap_or(Err(TransportError::Slow(within)))?;
        self.session.begin(known, (id, text));
        self.session.opened();
        tracing::debug!("a server lost its session; another is open");
        self.inlet.renewed().await;
        Ok(())
    }

    /// Tells the server that the session is over. It may not care, and nobody waits.
    async fn end(&self) {
        let known = self.session.known();
        if known.id.is_none() {
            return;
        }
        let ask =
            Ask { method: Method::DELETE, uri: &self.uri, headers: known.headers(), body: Bytes::new() };
        match tokio::time::timeout(FAREWELL, self.requests.send(&ask)).await {
            Ok(Ok(answered)) => tracing::debug!(status = %answered.response.status(), "ended a session"),
            Ok(Err(error)) => tracing::debug!(%error, "could not tell a server that its session is over"),
            Err(_) => tracing::debug!("a server took too long to hear that its session is over"),
        }
    }
}
