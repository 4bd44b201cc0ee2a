//! A bare connection, for HTTP that no client library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// One TCP connection.
#[derive(Debug)]
pub struct RawSocket(TcpStream);

impl RawSocket {
    /// Connects.
    #[expect(clippy::disallowed_methods, reason = "the server is what is tested")]
    pub async fn connect(address: SocketAddr) -> Self {
        Self(
            TcpStream::connect(address)
                .await
                .unwrap_or_else(|error| panic!("failed to connect to {address}: {error}")),
        )
    }

    /// Sends bytes. False once the other side takes no more.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Says that nothing more will be sent, and keeps on reading.
    pub async fn finish_sending(&mut self) {
        let _already_closed = self.0.shutdown().await;
    }

    /// The head of the next answer: status line and headers, up to the empty line. What there is, if the
    /// connection ends before.
    pub async fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match self.read_some(1).await {
                bytes if bytes.is_empty() => break,
                bytes => head.extend(bytes),
            }
        }
        String::from_utf8_lossy(&head).into_owned()
    }

    /// At most `most` bytes as soon as there are any; none at the end of the connection.
    pub async fn read_some(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let read = timeout(PATIENCE, self.0.read(&mut bytes)).await.expect("an answer in time").unwrap_or(0);
        bytes.truncate(read);
        bytes
    }

    /// Everything up to the end of the connection.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset ends the connection as well; what came before it counts.
        let _end = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("an end in time");
        bytes
    }
}
