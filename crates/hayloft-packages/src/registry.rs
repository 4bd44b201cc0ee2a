//! The only way out of a jail that installs: to one registry, by name.
//!
//! npm asks the gate, as a proxy, for the registry; any other name is refused and noted. What npm and the registry say
//! to each other passes as bytes: it is encrypted between the two, and this side could not change it. A registry
//! without encryption, as on an operator's own network, is what the gate itself answers for.

use std::fmt;
use std::io;
use std::net::TcpListener as StdListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Longest head of a request for a connection, in bytes.
const LONGEST_HEAD: u64 = 8 << 10;

/// Most connections at once. npm opens 15 by itself.
const CONNECTIONS: usize = 64;

/// How long a jail may take to say where it wants to go, and the registry to take the connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait when the system has no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A registry of packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    scheme: Scheme,
    host: String,
    port: u16,
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// An address that is no registry's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the address of a registry, such as `https://registry.npmjs.org/`")]
pub struct UnusableRegistry {
    /// What was given.
    pub text: String,
}

impl std::str::FromStr for Registry {
    type Err = UnusableRegistry;

    fn from_str(text: &str) -> Result<Self, UnusableRegistry> {
        let unusable = || UnusableRegistry { text: text.to_owned() };
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            _ => return Err(unusable()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(unusable)?),
            None => (authority, if scheme == Scheme::Https { 443 } else { 80 }),
        };
        let is_name = !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
        let is_path = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"'\\".contains(&byte));
        if !is_name || !is_path {
            return Err(unusable());
        }
        Ok(Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port,
            path: format!("/{}", path.trim_end_matches('/')),
        })
    }
}

impl Default for Registry {
    /// The one that npm itself asks.
    fn default() -> Self {
        Self {
            scheme: Scheme::Https,
            host: String::from("registry.npmjs.org"),
            port: 443,
            path: String::from("/"),
        }
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.scheme, self.port) {
            (Scheme::Https, 443) => write!(f, "https://{}{}", self.host, self.path),
            (Scheme::Https, port) => write!(f, "https://{}:{port}{}", self.host, self.path),
            (Scheme::Http, port) => write!(f, "http://{}:{port}{}", self.host, self.path),
        }
    }
}

impl Registry {
    /// Its host and port.
    #[must_use]
    pub fn authority(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The registry's address as npm in a jail is told.
    pub(crate) fn inside(&self, gate: &str) -> String {
        match self.scheme {
            Scheme::Https => self.to_string(),
            Scheme::Http => format!("http://{gate}{}", self.path),
        }
    }

    fn is(&self, authority: &str) -> bool {
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "443"));
        host.eq_ignore_ascii_case(&self.host) && port.parse() == Ok(self.port)
    }
}

/// Opens connections for the host. What may be reached at all is its decision.
pub trait Dial: Send + Sync {
    /// A connection to a port of a host, by name.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<RegistryStream>>;
}

/// A connection's bytes, both ways.
pub type RegistryStream = Box<dyn Stream>;

/// What a connection must be able to do.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What happened at the gate, for those who explain a failure.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    unreachable: Mutex<Option<String>>,
    refused: Mutex<Option<String>>,
}

impl Passage {
    /// Why the registry cannot be reached, if it could not the last time.
    pub(crate) fn unreachable(&self) -> Option<String> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last name that was asked for and is not the registry's.
    pub(crate) fn refused(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers a jail's gate until it is dropped.
pub(crate) struct Gate {
    pub(crate) passage: Arc<Passage>,
    task: AbortOnDropHandle<()>,
}

impl Gate {
    pub(crate) fn open(listener: StdListener, registry: Registry, dial: Arc<dyn Dial>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let passage = Arc::new(Passage::default());
        let serving = serve(listener, Arc::new(registry), dial, Arc::clone(&passage));
        Ok(Self { passage, task: AbortOnDropHandle::new(tokio::spawn(serving)) })
    }

    /// From now on nothing passes any more.
    pub(crate) fn close(&self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, registry: Arc<Registry>, dial: Arc<dyn Dial>, passage: Arc<Passage>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let (registry, dial, passage) =
                    (Arc::clone(&registry), Arc::clone(&dial), Arc::clone(&passage));
                connections.spawn(async move {
                    // Who is cut off sees it; there is nobody else to tell.
                    let _ = pass(stream, &registry, &*dial, &passage).await;
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(stream: TcpStream, registry: &Registry, dial: &dyn Dial, passage: &Passage) -> io::Result<()> {
    let mut inside = BufReader::new(stream);
    if registry.scheme == Scheme::Https {
        let asked = tokio::time::timeout(PATIENCE, asked_for(&mut inside)).await??;
        if !asked.as_deref().is_some_and(|asked| registry.is(asked)) {
            let shown: String =
                asked.unwrap_or_default().chars().flat_map(char::escape_debug).take(200).collect();
            tracing::warn!(
                asked = shown,
                "a package that is being installed asked for another host than the registry"
            );
            *passage.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
            return inside
                .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        }
    }
    let dialled = tokio::time::timeout(PATIENCE, dial.dial(&registry.host, registry.port)).await;
    let mut outside = match dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(outside) => {
            // npm tries again by itself, and what failed before was not in vain then.
            *passage.unreachable.lock().unwrap_or_else(PoisonError::into_inner) = None;
            outside
        }
        Err(error) => {
            *passage.unreachable.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            return inside
                .write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        }
    };
    if registry.scheme == Scheme::Https {
        inside.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").await?;
    }
    tokio::io::copy_bidirectional(&mut inside, &mut outside).await.map(drop)
}

/// The host and port of a `CONNECT`; `None` for anything else.
async fn asked_for(inside: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut head = inside.take(LONGEST_HEAD);
    let mut line = String::new();
    head.read_line(&mut line).await?;
    let mut words = line.split_ascii_whitespace();
    let asked = (words.next() == Some("CONNECT")).then(|| words.next().map(str::to_owned)).flatten();
    loop {
        let mut header = String::new();
        if head.read_line(&mut header).await? == 0 {
            return Ok(None);
        }
        if header.trim().is_empty() {
            return Ok(asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_name_a_port_and_a_path() {
        for (text, shown) in [
            ("https://registry.npmjs.org", "https://registry.npmjs.org/"),
            ("https://Registry.npmjs.org/", "https://registry.npmjs.org/"),
            ("https://npm.example:8443/repository/all/", "https://npm.example:8443/repository/all"),
            ("http://10.0.0.7:4873", "http://10.0.0.7:4873/"),
        ] {
            assert_eq!(text.parse::<Registry>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "registry.npmjs.org",
            "ftp://x/",
            "https://",
            "https://a b/",
            "https://u@x/",
            "https://x:0/",
            "https://x:99999/",
            "https://x/?q",
            "https://x/\"",
            "https://[::1]/",
        ] {
            assert!(text.parse::<Registry>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_registry_itself_is_the_registry() {
        let registry = Registry::default();
        assert!(registry.is("registry.npmjs.org:443") && registry.is("REGISTRY.npmjs.org:443"));
        for other in [
            "registry.npmjs.org:80",
            "registry.npmjs.org.evil.example:443",
            "evil.example:443",
            "registry.npmjs.org:443:443",
            "registry.npmjs.org\0.evil:443",
            "registry.npmjs.org.:443",
            "user@registry.npmjs.org:443",
            "",
        ] {
            assert!(!registry.is(other), "{other}");
        }
    }

    struct Echo;

    impl Dial for Echo {
        fn dial<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<RegistryStream>> {
            Box::pin(async {
                let (ours, mut theirs) = tokio::io::duplex(1024);
                tokio::spawn(async move {
                    let mut word = [0; 4];
                    theirs.read_exact(&mut word).await?;
                    theirs.write_all(&word).await
                });
                Ok(Box::new(ours) as RegistryStream)
            })
        }
    }

    struct Nobody;

    impl Dial for Nobody {
        fn dial<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<RegistryStream>> {
            Box::pin(async { Err(io::Error::other("nobody is there")) })
        }
    }

    async fn answer(dial: Arc<dyn Dial>, request: &str) -> (String, Arc<Passage>) {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Gate::open(listener, Registry::default(), dial).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test is the one that installs")]
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer, gate.passage)
    }

    #[tokio::test]
    async fn the_gate_leads_to_the_registry_and_nowhere_else() {
        let ask = |host: &str| format!("CONNECT {host} HTTP/1.1\r\nhost: {host}\r\n\r\nping");
        let (said, passage) = answer(Arc::new(Echo), &ask("registry.npmjs.org:443")).await;
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("ping"), "{said}");
        assert_eq!((passage.refused(), passage.unreachable()), (None, None));

        for request in [&*ask("evil.example:443"), "GET http://registry.npmjs.org/x HTTP/1.1\r\n\r\n"] {
            let (said, passage) = answer(Arc::new(Echo), request).await;
            assert!(said.starts_with("HTTP/1.1 403"), "{said}");
            assert!(passage.refused().is_some());
        }
        let (said, passage) = answer(Arc::new(Nobody), &ask("registry.npmjs.org:443")).await;
        assert!(said.starts_with("HTTP/1.1 502"), "{said}");
        assert_eq!(passage.unreachable().as_deref(), Some("nobody is there"));
    }
}
