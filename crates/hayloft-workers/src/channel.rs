//! Descriptor 3: frames of JSON over a stream socket.
//!
//! Cuts and joins frames and decides what is written first. It knows no message but the envelope of MCP messages, and
//! treats everything that comes from a worker as hostile.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::SelectAll;
use futures::{FutureExt, Stream, StreamExt};
use hayloft_model::ServerId;
use hayloft_model::nesting::{self, BEYOND_REASON};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::codec::{Decoder, FramedRead};

use crate::protocol::HostMessage;

/// The longest payload of a frame in bytes, either way.
pub const MAXIMAL_PAYLOAD: usize = 4 << 20;

const HEADER: usize = 5;
const CONTROL: u8 = 1;
const MCP: u8 = 2;

/// Frames for the worker that wait for the writer. A worker that lets so many pile up does not read.
const WAITING_CONTROL: usize = 256;

/// How much is joined into one write.
const BATCH: usize = 64 << 10;

/// A whole frame from a worker.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    Control(Bytes),
    Mcp(Bytes),
}

/// Why a channel cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("a frame announces {0} bytes, more than the {MAXIMAL_PAYLOAD} allowed")]
    TooLarge(usize),
    #[error("a frame nests deeper than {BEYOND_REASON} levels")]
    TooDeep,
    #[error("a frame has the unknown kind {0}")]
    UnknownKind(u8),
    #[error("the channel broke: {0}")]
    Broken(#[from] io::Error),
    #[error("an MCP frame cannot be read: {0}")]
    Envelope(#[from] serde_json::Error),
}

/// Cuts frames.
#[derive(Debug, Default)]
pub(crate) struct FrameDecoder;

impl Decoder for FrameDecoder {
    type Item = Frame;
    type Error = ChannelError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, ChannelError> {
        let Some((length, kind)) = header(source) else { return Ok(None) };
        if length > MAXIMAL_PAYLOAD {
            return Err(ChannelError::TooLarge(length));
        }
        if !matches!(kind, CONTROL | MCP) {
            return Err(ChannelError::UnknownKind(kind));
        }
        if source.len() < HEADER + length {
            source.reserve(HEADER + length - source.len());
            return Ok(None);
        }
        let _header = source.split_to(HEADER);
        let payload = source.split_to(length).freeze();
        if nesting::exceeds(&payload, BEYOND_REASON) {
            return Err(ChannelError::TooDeep);
        }
        Ok(Some(if kind == CONTROL { Frame::Control(payload) } else { Frame::Mcp(payload) }))
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, ChannelError> {
        // A frame that a dying worker did not finish says nothing.
        self.decode(source)
    }
}

fn header(source: &[u8]) -> Option<(usize, u8)> {
    let header = source.first_chunk::<HEADER>()?;
    let [a, b, c, d, kind] = *header;
    Some((usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?, kind))
}

/// Takes the server and the raw message out of an MCP payload without copying the message.
pub(crate) fn open_envelope(payload: &Bytes) -> Result<(String, Bytes), ChannelError> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        server: String,
        #[serde(borrow)]
        message: &'a RawValue,
    }
    let Envelope { server, message } = serde_json::from_slice(payload)?;
    Ok((server, payload.slice_ref(message.get().as_bytes())))
}

/// Both ends of a new channel: the host's, with the first message already written, and the worker's.
pub(crate) fn pair(first: &HostMessage) -> io::Result<(UnixStream, OwnedFd)> {
    let (host, worker) = std::os::unix::net::UnixStream::pair()?;
    host.set_nonblocking(true)?;
    io::Write::write_all(&mut &host, &control_frame(first)?)?;
    Ok((UnixStream::from_std(host)?, worker.into()))
}

/// The two directions of a channel. The writer is a task of its own: a worker that does not read holds up nobody but
/// itself.
pub(crate) fn open(socket: UnixStream) -> (FramedRead<OwnedReadHalf, FrameDecoder>, ChannelWriter) {
    let (read, write) = socket.into_split();
    let (control, control_inbox) = mpsc::channel(WAITING_CONTROL);
    let (lanes, lane_inbox) = mpsc::unbounded_channel();
    tokio::spawn(write_all(write, control_inbox, lane_inbox));
    (FramedRead::with_capacity(read, FrameDecoder, 16 << 10), ChannelWriter { control, lanes })
}

/// Where messages for a worker go. Dropping it ends the writing task.
#[derive(Debug)]
pub(crate) struct ChannelWriter {
    control: mpsc::Sender<Bytes>,
    lanes: mpsc::UnboundedSender<Lane>,
}

/// Why a control message was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("does not read its channel")]
    Full,
    #[error("closed its channel")]
    Closed,
    #[error("cannot be sent a message: {0}")]
    Unsendable(#[from] io::Error),
}

impl ChannelWriter {
    /// Queues a control message; it goes before every MCP message that waits.
    pub(crate) fn send(&self, message: &HostMessage) -> Result<(), SendError> {
        self.control.try_send(control_frame(message)?.freeze()).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// From now on sends what comes out of `messages` to a server, until the other end of it is dropped.
    pub(crate) fn add_server(&self, server: &ServerId, messages: mpsc::Receiver<Bytes>) {
        // A closed channel has no writer, and then there is nobody to send to.
        let _ = self.lanes.send(Lane::new(server, messages));
    }
}

fn control_frame(message: &HostMessage) -> io::Result<BytesMut> {
    let payload = serde_json::to_vec(message)?;
    if payload.len() > MAXIMAL_PAYLOAD {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it has {} bytes, more than the {MAXIMAL_PAYLOAD} allowed", payload.len()),
        ));
    }
    let mut frame = BytesMut::with_capacity(HEADER + payload.len());
    put_header(&mut frame, CONTROL, payload.len());
    frame.put_slice(&payload);
    Ok(frame)
}

fn put_header(frame: &mut BytesMut, kind: u8, length: usize) {
    // The callers have checked that the length is at most the cap.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_u8(kind);
}

/// The messages for one server.
#[derive(Debug)]
struct Lane {
    prefix: Bytes,
    messages: mpsc::Receiver<Bytes>,
}

impl Lane {
    fn new(server: &ServerId, messages: mpsc::Receiver<Bytes>) -> Self {
        // A server id holds no character that JSON escapes, but for the two that `Value` takes care of.
        let name = serde_json::Value::from(server.as_str());
        Self { prefix: format!(r#"{{"server":{name},"message":"#).into(), messages }
    }
}

struct Outgoing {
    prefix: Bytes,
    message: Bytes,
}

impl Stream for Lane {
    type Item = Outgoing;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        let next = self.messages.poll_recv(context);
        next.map(|message| message.map(|message| Outgoing { prefix: self.prefix.clone(), message }))
    }
}

async fn write_all(
    mut socket: OwnedWriteHalf,
    mut control: mpsc::Receiver<Bytes>,
    mut lanes: mpsc::UnboundedReceiver<Lane>,
) {
    let mut servers: SelectAll<Lane> = SelectAll::new();
    let mut batch = BytesMut::with_capacity(BATCH);
    loop {
        while let Ok(frame) = control.try_recv() {
            batch.put_slice(&frame);
        }
        if batch.is_empty() {
            tokio::select! {
                biased;
                frame = control.recv() => match frame {
                    Some(frame) => batch.put_slice(&frame),
                    None => return,
                },
                Some(lane) = lanes.recv() => {
                    servers.push(lane);
                    continue;
                }
                Some(outgoing) = servers.next() => put_message(&mut batch, &outgoing),
            }
        }
        while batch.len() < BATCH
            && let Some(Some(outgoing)) = servers.next().now_or_never()
        {
            put_message(&mut batch, &outgoing);
        }
        if socket.write_all(&batch).await.is_err() {
            // The worker is gone or closes; its unit hears of that from the process.
            return;
        }
        if batch.capacity() > 4 * BATCH {
            batch = BytesMut::with_capacity(BATCH);
        } else {
            batch.clear();
        }
    }
}

fn put_message(batch: &mut BytesMut, Outgoing { prefix, message }: &Outgoing) {
    let length = prefix.len() + message.len() + 1;
    if length > MAXIMAL_PAYLOAD {
        tracing::warn!(bytes = message.len(), "a message for an MCP server is too large and was dropped");
        return;
    }
    batch.reserve(HEADER + length);
    put_header(batch, MCP, length);
    batch.put_slice(prefix);
    batch.put_slice(message);
    batch.put_u8(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> BytesMut {
        let mut frame = BytesMut::new();
        put_header(&mut frame, kind, payload.len());
        frame.put_slice(payload);
        frame
    }

    #[test]
    fn frames_come_out_however_they_are_cut() {
        let mut bytes = frame(CONTROL, b"{}");
        bytes.extend_from_slice(&frame(MCP, b"[1]"));
        for cut in 1..bytes.len() {
            let mut decoder = FrameDecoder;
            let mut source = BytesMut::from(&bytes[..cut]);
            let mut frames = Vec::new();
            while let Some(frame) = decoder.decode(&mut source).unwrap() {
                frames.push(frame);
            }
            source.extend_from_slice(&bytes[cut..]);
            while let Some(frame) = decoder.decode(&mut source).unwrap() {
                frames.push(frame);
            }
            assert_eq!(frames, [Frame::Control("{}".into()), Frame::Mcp("[1]".into())]);
        }
    }

    #[test]
    fn nothing_is_stored_for_a_frame_that_is_refused() {
        for (bytes, message) in [
            (
                &b"\xff\xff\xff\xff\x01"[..],
                "a frame announces 4294967295 bytes, more than the 4194304 allowed",
            ),
            (&b"\x00\x00\x00\x01\x07"[..], "a frame has the unknown kind 7"),
            (&b"HTTP/1.1 200 OK"[..], "a frame announces 1213486160 bytes, more than the 4194304 allowed"),
        ] {
            let mut source = BytesMut::from(bytes);
            assert_eq!(FrameDecoder.decode(&mut source).unwrap_err().to_string(), message);
            assert!(source.capacity() < 1024);
        }
    }

    #[test]
    fn a_frame_may_nest_as_deep_as_anything_is_meant() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for kind in [CONTROL, MCP] {
            let decoded = |depth| FrameDecoder.decode(&mut frame(kind, nested(depth).as_bytes()));
            assert!(decoded(BEYOND_REASON).unwrap().is_some());
            let error = decoded(BEYOND_REASON + 1).unwrap_err().to_string();
            assert_eq!(error, "a frame nests deeper than 1024 levels");
        }
        let text = serde_json::to_vec(&"[".repeat(100_000)).unwrap();
        assert!(FrameDecoder.decode(&mut frame(MCP, &text)).unwrap().is_some());
    }

    #[test]
    fn an_envelope_gives_the_message_as_it_was_sent() {
        let payload = Bytes::from_static(br#"{ "message" : {"id":1e2, "x":"\u00e9"}, "server":"a" }"#);
        let (server, message) = open_envelope(&payload).unwrap();
        assert_eq!((server.as_str(), &message[..]), ("a", &br#"{"id":1e2, "x":"\u00e9"}"#[..]));
        let deep = format!(r#"{{"server":"a","message":{}"#, "[".repeat(200_000));
        for bad in ["{}", r#"{"server":"a"}"#, r#"{"server":1,"message":{}}"#, "\u{0}", &deep] {
            assert!(open_envelope(&Bytes::copy_from_slice(bad.as_bytes())).is_err(), "{:.40}", bad);
        }
    }

    #[tokio::test]
    async fn control_goes_before_mcp() {
        let (near, far) = UnixStream::pair().unwrap();
        let (_, writer) = open(near);
        let (to_server, messages) = mpsc::channel(16);
        for _ in 0..3 {
            to_server.send(Bytes::from_static(b"{}")).await.unwrap();
        }
        writer.send(&HostMessage::Ping { nonce: 1 }).unwrap();
        writer.add_server(&"a".parse().unwrap(), messages);
        let mut frames = FramedRead::new(far, FrameDecoder);
        assert!(matches!(frames.next().await, Some(Ok(Frame::Control(_)))));
        let envelope = Frame::Mcp(Bytes::from_static(br#"{"server":"a","message":{}}"#));
        for _ in 0..3 {
            assert_eq!(frames.next().await.unwrap().unwrap(), envelope);
        }
    }
}
