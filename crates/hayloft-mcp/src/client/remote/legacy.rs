//! HTTP with server-sent events, as 2024-11-05 has it: one long stream from the server, which first names the address
//! to post messages to. The session is the stream: it ends with it and is never resumed.
//!
//! "HTTP with SSE" in the transports section of 2024-11-05.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Uri};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::client::transport::{Connection, TransportError, TransportLimits};

use super::address::RemoteUrl;
use super::dispatch::{self, Courier, Outgoing};
use super::event::EventType;
use super::events::Events;
use super::inbox::{Inbox, Inlet, inbox};
use super::request::{Ask, Requests};
use super::{Remote, body, refusal};

/// A server whose stream has named an address.
struct Server {
    requests: Arc<Requests>,
    inlet: Inlet,
    messages: Uri,
    posts: Semaphore,
}

pub(super) fn start(remote: Remote, limits: TransportLimits) -> Connection<Inbox> {
    let (outgoing, queue) = dispatch::queue(limits);
    let (inlet, incoming) = inbox();
    let release = CancellationToken::new();
    let released = release.clone();
    let requests = Arc::new(Requests::new(&remote));
    let (named, address) = oneshot::channel();
    let concurrent = remote.limits.concurrent;
    let reading = {
        let (requests, inlet) = (Arc::clone(&requests), inlet.clone());
        async move {
            match hear(&requests, &remote.url, limits.message_bytes, &inlet, named).await {
                Ok(()) => inlet.ended().await,
                Err(error) => inlet.broke(error).await,
            }
        }
    };
    let unread = inlet.clone();
    let posting = async move {
        match address.await {
            Ok(messages) => {
                let posts = Semaphore::new(concurrent);
                let server = Arc::new(Server { requests, inlet, messages, posts });
                dispatch::dispatch(server, queue).await;
            }
            // The stream ended before it named one, which is told by who read it.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = released.cancelled() => {}
            () = unread.unread() => {}
            () = reading => {}
            () = posting => {}
        }
    });
    Connection { outgoing, incoming, release }
}

/// Opens the stream and hears it to its end.
async fn hear(
    requests: &Requests,
    url: &RemoteUrl,
    limit: usize,
    inlet: &Inlet,
    named: oneshot::Sender<Uri>,
) -> Result<(), TransportError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    let ask = Ask { method: Method::GET, uri: url.uri(), headers, body: Bytes::new() };
    let response = refusal::must_stream(requests.send_soon(&ask).await?).await?;
    let mut events = Events::new(response.into_body(), limit);
    let mut named = Some(named);
    while let Some((kind, text)) = events.next(inlet).await? {
        match (kind, named.take()) {
            (EventType::Endpoint, Some(named)) => {
                let messages = endpoint(url, &text.bytes).map_err(TransportError::Protocol)?;
                // Nobody waits for it when the session is over.
                drop(named.send(messages));
            }
            (EventType::Message, still) => {
                named = still;
                inlet.message(text).await;
            }
            // Where to post does not change.
            (_, still) => {
                named = still;
                inlet.chatter().await;
            }
        }
    }
    Ok(())
}

fn endpoint(url: &RemoteUrl, data: &[u8]) -> Result<Uri, String> {
    let reference =
        std::str::from_utf8(data).map_err(|_| "its address for messages is not text".to_owned())?;
    let there = url.resolve(reference).map_err(|why| format!("its address for messages {why}"))?;
    Ok(there.uri().clone())
}

impl Courier for Server {
    async fn call(&self, _: Outgoing, id: u64, text: Bytes) {
        // The answer comes on the stream.
        if let Err(error) = self.tell(text).await {
            self.inlet.no_answer(id, error).await;
        }
    }

    async fn tell(&self, text: Bytes) -> Result<(), TransportError> {
        // Never closed.
        let Ok(_permit) = self.posts.acquire().await else { return Ok(()) };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let ask = Ask { method: Method::POST, uri: &self.messages, headers, body: text };
        let answered = self.requests.send_soon(&ask).await?;
        if !answered.response.status().is_success() {
            return Err(refusal::read(answered).await.error);
        }
        body::discard(answered.response.into_body()).await;
        Ok(())
    }

    fn opened(&self) {}

    async fn broke(&self, error: TransportError) {
        self.inlet.broke(error).await;
    }
}
