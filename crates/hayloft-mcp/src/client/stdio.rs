//! The stdio transport: one message per line over the pipes of a process that somebody else started and watches.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::transport::{Connection, MessageSource, Received, Transport, TransportError, TransportLimits};

/// Messages that wait to be written; as many are written at once as wait.
const QUEUE: usize = 64;

/// How much is asked of the pipe at once, and how much room is kept when no long message passes.
const READ: usize = 16 * 1024;

/// Buffers beyond this size are given back once they are empty.
const KEPT: usize = 256 * 1024;

/// The two pipes of a server: what it writes to its stdout, and what it reads from its stdin.
#[derive(Debug)]
pub struct StdioTransport<R, W> {
    stdout: R,
    stdin: W,
}

impl<R, W> StdioTransport<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    /// A transport over the server's stdout and stdin.
    pub const fn new(stdout: R, stdin: W) -> Self {
        Self { stdout, stdin }
    }
}

impl<R, W> Transport for StdioTransport<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    type Source = Lines<R>;

    fn connect(self, limits: TransportLimits) -> Connection<Lines<R>> {
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let release = CancellationToken::new();
        tokio::spawn(write_lines(self.stdin, queue, release.clone()));
        Connection { outgoing, incoming: Lines::new(self.stdout, limits.message_bytes), release }
    }
}

/// Writes until nobody can send any more, the pipe breaks, or the session is over. Dropping the pipe then is how a
/// server on stdio is told to end.
async fn write_lines<W: AsyncWrite + Unpin>(
    mut stdin: W,
    mut queue: mpsc::Receiver<Bytes>,
    release: CancellationToken,
) {
    let work = async {
        let mut batch = Vec::with_capacity(QUEUE);
        let mut buffer = Vec::new();
        while queue.recv_many(&mut batch, QUEUE).await > 0 {
            for message in batch.drain(..) {
                push_line(&mut buffer, &message);
            }
            if let Err(error) = async {
                stdin.write_all(&buffer).await?;
                stdin.flush().await
            }
            .await
            {
                tracing::debug!(%error, "failed to write to a server's stdin");
                return;
            }
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
    };
    tokio::select! {
        () = release.cancelled() => {}
        () = work => {}
    }
}

/// Appends a message as one line. Line ends can only stand between the tokens of JSON, where a space means the same.
fn push_line(buffer: &mut Vec<u8>, message: &[u8]) {
    let start = buffer.len();
    buffer.extend_from_slice(message);
    if memchr::memchr2(b'\n', b'\r', message).is_some() {
        for byte in buffer.iter_mut().skip(start).filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
    }
    buffer.push(b'\n');
}

/// The lines of a server's stdout.
#[derive(Debug)]
pub struct Lines<R> {
    stdout: R,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    limit: usize,
}

impl<R> Lines<R> {
    fn new(stdout: R, limit: usize) -> Self {
        Self { stdout, buffer: BytesMut::new(), searched: 0, limit }
    }

    /// A whole line, if the buffer has one, without its end. May be blank.
    fn next_line(&mut self) -> Option<Bytes> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = memchr::memchr(b'\n', unsearched) else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + at + 1);
        self.searched = 0;
        line.truncate(line.len() - 1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if self.buffer.is_empty() && self.buffer.capacity() + line.len() > KEPT {
            self.buffer = BytesMut::new();
        }
        Some(line.freeze())
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> MessageSource for Lines<R> {
    async fn receive(&mut self) -> Result<Option<Received>, TransportError> {
        loop {
            while let Some(line) = self.next_line() {
                if line.len() > self.limit {
                    return Err(TransportError::TooLong { limit: self.limit });
                }
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(Received::Message(line)));
                }
            }
            if self.buffer.len() > self.limit {
                return Err(TransportError::TooLong { limit: self.limit });
            }
            self.buffer.reserve(READ);
            match self.stdout.read_buf(&mut self.buffer).await {
                Ok(0) => {
                    // What a server wrote before it died may say why, so an unfinished line is handed on too.
                    self.searched = 0;
                    let rest = self.buffer.split().freeze();
                    let rest = Some(rest).filter(|rest| !rest.trim_ascii().is_empty());
                    return Ok(rest.map(Received::Message));
                }
                Ok(_) => {}
                Err(error) => return Err(TransportError::Read(error.to_string())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(chunks: &[&[u8]], limit: usize) -> (Vec<String>, Option<TransportError>) {
        let (mut theirs, ours) = tokio::io::duplex(8);
        let text = chunks.concat();
        tokio::spawn(async move {
            // The reader may hang up on a line that is too long.
            drop(theirs.write_all(&text).await);
        });
        let mut lines = Lines::new(ours, limit);
        let mut read = Vec::new();
        loop {
            match lines.receive().await {
                Ok(Some(Received::Message(line))) => read.push(String::from_utf8_lossy(&line).into_owned()),
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_the_pipe_cuts() {
        let (read, error) = lines(&[b"{\"a\":1}\n\n  \r\n{\"b\":", b"2}\r\nlast"], 100).await;
        assert_eq!(read, ["{\"a\":1}", "{\"b\":2}", "last"]);
        assert_eq!(error, None);
    }

    #[tokio::test]
    async fn a_line_over_the_cap_ends_the_reading() {
        for text in [b"ok\nxxxxxxxxxxx\nmore".as_slice(), b"ok\nxxxxxxxxxxxxxxxxxxxxxxxxxxxx"] {
            let (read, error) = lines(&[text], 10).await;
            assert_eq!(read, ["ok"]);
            assert_eq!(error, Some(TransportError::TooLong { limit: 10 }));
        }
    }

    #[test]
    fn a_message_is_one_line() {
        let mut buffer = b"before\n".to_vec();
        push_line(&mut buffer, b"{\r\n \"a\": \"b\\n\"\n}");
        assert_eq!(buffer, b"before\n{   \"a\": \"b\\n\" }\n");
    }
}
