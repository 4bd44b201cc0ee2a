//! Let a peer read the last answer on a connection whose request was not read to its end.
//!
//! A socket that is closed with unread bytes in it answers the rest of what its peer sends with a reset, and a reset
//! throws away what the peer did not read yet: it sees a broken pipe, and never the words why. So our half is closed
//! first, and what still comes is thrown away for a while (RFC 9112, section 9.6).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// How long a peer that goes on sending is listened to, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a peer may be silent before nothing more is expected of it.
const SILENCE: Duration = Duration::from_secs(5);

/// How many bytes are thrown away, at most.
const MOST_BYTES: u64 = 512 << 20;

/// What is read at once, in bytes.
const PIECE: usize = 8 << 10;

/// Whether the body of a connection's last request was left unread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread(Arc<AtomicBool>);

impl Unread {
    /// A request's body, which notes when it is dropped before its end.
    pub(crate) fn watch(&self, body: Incoming) -> WatchedBody {
        self.0.store(false, Ordering::Relaxed);
        WatchedBody { ended: body.is_end_stream(), body, unread: self.clone() }
    }

    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// See [`Unread::watch`].
pub(crate) struct WatchedBody {
    body: Incoming,
    ended: bool,
    unread: Unread,
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.ended = frame.is_none() || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if !self.ended {
            self.unread.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A connection that is closed as the module says.
pub(crate) struct Lingering {
    stream: TcpStream,
    unread: Unread,
    closing: Option<Closing>,
}

/// Our half is closed, and the peer may read.
struct Closing {
    ends_at: Instant,
    thrown_away: u64,
    silence: Pin<Box<Sleep>>,
}

impl Lingering {
    /// A connection, and what knows whether there is a reason to linger.
    pub(crate) const fn new(stream: TcpStream, unread: Unread) -> Self {
        Self { stream, unread, closing: None }
    }
}

impl Closing {
    fn begin() -> Self {
        Self { ends_at: Instant::now() + PATIENCE, thrown_away: 0, silence: Box::pin(sleep(SILENCE)) }
    }

    /// Throws away what comes, until nothing more does.
    fn poll(&mut self, stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            match Pin::new(&mut *stream).poll_read(context, &mut piece) {
                // The peer closed its half too, or is gone.
                Poll::Ready(Ok(())) if piece.filled().is_empty() => return Poll::Ready(()),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {
                    self.thrown_away += piece.filled().len() as u64;
                    let now = Instant::now();
                    if self.thrown_away > MOST_BYTES || now >= self.ends_at {
                        return Poll::Ready(());
                    }
                    self.silence.as_mut().reset(self.ends_at.min(now + SILENCE));
                }
                Poll::Pending => return self.silence.as_mut().poll(context),
            }
        }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            if !this.unread.is_so() {
                return Poll::Ready(Ok(()));
            }
        }
        let closing = this.closing.get_or_insert_with(Closing::begin);
        closing.poll(&mut this.stream, context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// Both ends of a connection, the peer's as a blocking one.
    async fn connection() -> (TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test is the peer")]
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().await.unwrap().0, peer)
    }

    /// More than both sockets' buffers hold.
    const MUCH: usize = 32 << 20;

    /// What a peer reads that sends everything before it looks for an answer.
    async fn read_after_sending(unread: bool) -> io::Result<String> {
        let (stream, mut peer) = connection().await;
        let flag = Unread::default();
        flag.0.store(unread, Ordering::Relaxed);
        let mut lingering = Lingering::new(stream, flag);
        let peer = tokio::task::spawn_blocking(move || {
            peer.write_all(&vec![0; MUCH])?;
            let mut said = String::new();
            peer.read_to_string(&mut said)?;
            Ok(said)
        });
        lingering.write_all(b"too large").await.unwrap();
        lingering.shutdown().await.unwrap();
        drop(lingering);
        peer.await.unwrap()
    }

    #[tokio::test]
    async fn a_peer_that_only_sends_reads_the_answer_in_the_end() {
        assert_eq!(read_after_sending(true).await.unwrap(), "too large");
        read_after_sending(false).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_to_lingering() {
        // Silent, it is left after a while; what it sends makes that while begin anew, up to a bound.
        for (sends, expected) in [(false, SILENCE), (true, PATIENCE)] {
            let (stream, mut peer) = connection().await;
            let flag = Unread::default();
            flag.0.store(true, Ordering::Relaxed);
            let mut lingering = Lingering::new(stream, flag);
            let sender = tokio::spawn(async move {
                while sends && peer.write_all(b"x").is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
                std::future::pending::<()>().await;
                drop(peer);
            });
            let began = Instant::now();
            lingering.shutdown().await.unwrap();
            let took = began.elapsed();
            assert!(took >= expected && took < expected + Duration::from_secs(2), "{took:?}");
            sender.abort();
        }
    }
}
