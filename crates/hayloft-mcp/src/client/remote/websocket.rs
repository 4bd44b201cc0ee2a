//! WebSocket: one message per text frame, under the subprotocol `mcp`. Not in the specification; this is what the
//! official TypeScript SDK speaks.

use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use crate::client::transport::{Connection, TransportError, TransportLimits};

use super::inbox::{Inbox, Inlet, SMALL, Text, inbox};
use super::{Remote, handshake};

/// Messages that wait to be written.
const QUEUE: usize = 64;

/// How much is read and written at once.
const BUFFER: usize = 16 * 1024;

/// How long the server may take to hear that the session is over.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) fn start(remote: Remote, limits: TransportLimits) -> Connection<Inbox> {
    let (outgoing, queue) = mpsc::channel(QUEUE);
    let (inlet, incoming) = inbox();
    let release = CancellationToken::new();
    let released = release.clone();
    tokio::spawn(async move {
        match talk(&remote, limits.message_bytes, &inlet, queue, &released).await {
            Ok(()) => inlet.ended().await,
            Err(error) => inlet.broke(error).await,
        }
    });
    Connection { outgoing, incoming, release }
}

async fn talk(
    remote: &Remote,
    limit: usize,
    inlet: &Inlet,
    queue: mpsc::Receiver<Bytes>,
    released: &CancellationToken,
) -> Result<(), TransportError> {
    let socket = tokio::select! {
        () = released.cancelled() => return Ok(()),
        socket = handshake::open(remote) => socket?,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let socket = WebSocketStream::from_raw_socket(socket, Role::Client, Some(config)).await;
    let (sink, stream) = socket.split();
    let ping_every = remote.limits.ping_every;
    tokio::select! {
        outcome = write(sink, queue, ping_every, released) => outcome,
        outcome = read(stream, inlet, ping_every.saturating_mul(2), limit) => outcome,
    }
}

/// Writes until the session is over, then says so to the server.
async fn write<S: Sink<Message, Error = Error> + Unpin>(
    mut sink: S,
    mut queue: mpsc::Receiver<Bytes>,
    ping_every: Duration,
    released: &CancellationToken,
) -> Result<(), TransportError> {
    let mut batch = Vec::with_capacity(QUEUE);
    let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + ping_every, ping_every);
    let writing = async {
        loop {
            tokio::select! {
                count = queue.recv_many(&mut batch, QUEUE) => {
                    if count == 0 {
                        return Ok(());
                    }
                    for text in batch.drain(..) {
                        // Whatever is written here was composed of text.
                        let Ok(text) = Utf8Bytes::try_from(text) else { continue };
                        sink.feed(Message::Text(text)).await?;
                    }
                }
                _ = pings.tick() => sink.feed(Message::Ping(Bytes::new())).await?,
            }
            sink.flush().await?;
        }
    };
    let outcome: Result<(), Error> = tokio::select! {
        () = released.cancelled() => Ok(()),
        outcome = writing => outcome,
    };
    match outcome {
        Ok(()) => {
            drop(tokio::time::timeout(FAREWELL, sink.close()).await);
            Ok(())
        }
        // The reader knows better how it ended, should there be anything left to read.
        Err(error) => {
            tracing::debug!(%error, "failed to write to a server's WebSocket");
            std::future::pending().await
        }
    }
}

/// Reads until the server ends, or is silent for too long.
async fn read<S: Stream<Item = Result<Message, Error>> + Unpin>(
    mut stream: S,
    inlet: &Inlet,
    silence: Duration,
    limit: usize,
) -> Result<(), TransportError> {
    loop {
        let next = tokio::time::timeout(silence, stream.next()).await;
        let Some(message) = next.map_err(|_| TransportError::Silent(silence))? else { return Ok(()) };
        let bytes: Bytes = match message {
            Ok(Message::Text(text)) => text.into(),
            Ok(Message::Close(_)) => return Ok(()),
            // Only text frames hold messages.
            Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                inlet.chatter().await;
                continue;
            }
            Err(error) => return ended(error, limit),
        };
        let room = if bytes.len() > SMALL { inlet.room().await } else { None };
        inlet.message(Text { bytes, room }).await;
    }
}

/// How a WebSocket ended: as a process would whose pipes are closed, or with a reason.
fn ended(error: Error, limit: usize) -> Result<(), TransportError> {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ok(()),
        Error::Capacity(_) => Err(TransportError::TooLong { limit }),
        Error::Protocol(_) | Error::Utf8(_) => Err(TransportError::Protocol(error.to_string())),
        _ => Err(TransportError::Read(error.to_string())),
    }
}
