//! The gate: all that a worker reaches on the network is the host, and this is where its connections arrive.
//!
//! It takes the connections of one jail, bounds and paces them, and hands them on together with whose they are. It must
//! not know what is said over them, nor what a caller may do: that is behind the port [`Gate`].

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use hayloft_model::{Entropy, InstanceKey, PluginId, Secret, WorkerId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::activity::Activity;
use crate::pace::{GatePace, Paced};
use crate::settings::GateLimits;

mod listener;

pub(crate) use listener::{FolderListener, GateListener};

/// What every worker's token begins with, so that people who find one see what it is.
const TOKEN_PREFIX: &str = "hay_worker_";

/// The host's address for programs behind a gate.
pub(crate) const HOST_URL: &str = "http://hayloft.internal";

/// The socket's name in a worker's folder.
pub(crate) const SOCKET: &str = "gate.sock";

/// The name of the socket beside it through which connections to the outside are asked for.
pub(crate) const NETWORK_SOCKET: &str = "network.sock";

/// The file beside the runner that leads a Node program to the socket.
const PRELOAD: &str = "gate.cjs";

/// Who answers what comes through the gate.
pub trait Gate: Send + Sync {
    /// Answers one connection. The future is the connection: it ends when that does, and dropping it cuts it. What is
    /// read from it is paced already; each request over it must wait for its turn.
    fn connection(&self, caller: GateCaller, stream: GateStream, pace: GatePace) -> BoxFuture<'static, ()>;
}

/// A connection's bytes, both ways.
pub type GateStream = Box<dyn GateIo>;

/// What a connection must be able to do, whatever kind of socket is below it.
pub trait GateIo: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> GateIo for T {}

/// Whose connection it is, known from the socket that it came through and never from what it says. Clones are the same
/// caller: one that opened its connection early is seen to be bound as soon as it is.
#[derive(Clone)]
pub struct GateCaller(Arc<Identity>);

struct Identity {
    worker: WorkerId,
    plugin: PluginId,
    token: Secret<String>,
    key: OnceLock<InstanceKey>,
}

impl GateCaller {
    /// A worker that serves nobody yet, with a token of its own.
    #[must_use]
    pub fn new(worker: WorkerId, plugin: PluginId, entropy: &dyn Entropy) -> Self {
        let mut random = [0; 32];
        entropy.fill(&mut random);
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let token = Secret::new(format!("{TOKEN_PREFIX}{digits}"));
        Self(Arc::new(Identity { worker, plugin, token, key: OnceLock::new() }))
    }

    /// The word that shows a request to be the worker's own and not one that a page or another party had its program
    /// send. It opens nothing but this gate and ends with it, so it outlives neither the worker nor whatever ends that.
    #[must_use]
    pub fn token(&self) -> &Secret<String> {
        &self.0.token
    }

    /// Whether this is the worker's token. How long the answer takes tells nothing that the worker does not know.
    #[must_use]
    pub fn has_token(&self, given: &str) -> bool {
        self.0.token.expose() == given
    }

    /// Gives the worker to an instance. It happens once in its life, so a second one changes nothing.
    pub fn bind(&self, key: InstanceKey) {
        let _ = self.0.key.set(key);
    }

    /// Which worker.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        self.0.worker
    }

    /// The plugin that it runs.
    #[must_use]
    pub fn plugin(&self) -> &PluginId {
        &self.0.plugin
    }

    /// The instance that it serves, once it is bound.
    #[must_use]
    pub fn key(&self) -> Option<&InstanceKey> {
        self.0.key.get()
    }
}

impl fmt::Debug for GateCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateCaller")
            .field("worker", &self.worker())
            .field("plugin", self.plugin())
            .field("key", &self.key())
            .finish()
    }
}

/// The path of the gate's socket in a worker's folder.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join(SOCKET)
}

/// The path of the file that leads a Node program to the socket.
pub(crate) fn preload(runner: &Path) -> PathBuf {
    runner.with_file_name(PRELOAD)
}

/// The variables that lead a Node program to the socket, for one that is not the runner.
pub(crate) fn child_variables(runner: &Path, socket: &Path) -> [(OsString, OsString); 2] {
    let preload = quoted(preload(runner).as_os_str());
    let mut options = OsString::from("--require=");
    options.push(preload);
    [("NODE_OPTIONS".into(), options), ("HAYLOFT_GATE".into(), socket.into())]
}

/// As Node reads its options: blanks separate them, quotes hold them together, a backslash within quotes escapes.
fn quoted(text: &OsStr) -> OsString {
    let mut bytes = vec![b'"'];
    for &byte in text.as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            bytes.push(b'\\');
        }
        bytes.push(byte);
    }
    bytes.push(b'"');
    OsString::from_vec(bytes)
}

/// The open gate of one worker. Dropping it closes it and cuts its connections.
#[derive(Debug)]
pub(crate) struct OpenGate {
    caller: GateCaller,
    _serving: AbortOnDropHandle<()>,
}

impl OpenGate {
    pub(crate) fn new(
        listener: GateListener,
        gate: Arc<dyn Gate>,
        caller: GateCaller,
        limits: GateLimits,
        activity: Option<Arc<Activity>>,
    ) -> Self {
        let serving = tokio::spawn(serve(listener, gate, caller.clone(), limits, activity));
        Self { caller, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Who is behind it.
    pub(crate) const fn caller(&self) -> &GateCaller {
        &self.caller
    }

    /// Whose connections these are from now on.
    pub(crate) fn bind(&self, key: InstanceKey) {
        self.caller.bind(key);
    }
}

/// All connections of a worker share one task, so that together they have one turn among everybody's, however many
/// they are and however much they ask.
async fn serve(
    listener: GateListener,
    gate: Arc<dyn Gate>,
    caller: GateCaller,
    limits: GateLimits,
    activity: Option<Arc<Activity>>,
) {
    let pace = GatePace::noting(&limits, activity);
    let mut due = Instant::now();
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            stream = listener.next(&caller, &pace, &mut due), if connections.len() < limits.connections.get() => {
                let (gate, caller, pace) = (Arc::clone(&gate), caller.clone(), pace.clone());
                let stream = Box::new(Paced::new(stream, pace.clone()));
                let connection = async move { gate.connection(caller, stream, pace).await };
                connections.push(AssertUnwindSafe(connection).catch_unwind());
            }
            Some(ended) = connections.next() => {
                if ended.is_err() {
                    tracing::error!(worker = %caller.worker(), "failed to answer a worker's connection: it panicked");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;
    use std::{fs, io};

    use rustix::fs::{Mode, OFlags};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpStream, UnixStream};
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;
    use crate::http::by_descriptor;

    /// Answers each connection with who calls, then echoes. It says when one begins.
    struct Echo(mpsc::UnboundedSender<GateCaller>);

    impl Gate for Echo {
        fn connection(
            &self,
            caller: GateCaller,
            mut stream: GateStream,
            _: GatePace,
        ) -> BoxFuture<'static, ()> {
            self.0.send(caller.clone()).unwrap();
            Box::pin(async move {
                let mut byte = [0];
                while let Ok(1) = stream.read(&mut byte).await {
                    assert_ne!(byte[0], b'!', "a connection that breaks");
                    let said = format!("{}{}\n", char::from(byte[0]), caller.key().is_some());
                    stream.write_all(said.as_bytes()).await.unwrap();
                }
            })
        }
    }

    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[test]
    fn a_token_is_the_workers_own() {
        let caller = GateCaller::new(
            format!("wrk_{:032x}", 7).parse().unwrap(),
            "hay-plugin-a".parse().unwrap(),
            &Sevens,
        );
        let token = format!("hay_worker_{}", "07".repeat(32));
        assert!(caller.has_token(&token));
        for other in ["", "hay_worker_", &token[1..], &format!("{token}0")] {
            assert!(!caller.has_token(other), "{other}");
        }
        assert!(!format!("{caller:?}").contains(&token));
    }

    struct Fixture {
        open: OpenGate,
        begun: mpsc::UnboundedReceiver<GateCaller>,
        caller: GateCaller,
    }

    fn fixture(listener: GateListener) -> Fixture {
        limited(listener, GateLimits::default())
    }

    fn limited(listener: GateListener, limits: GateLimits) -> Fixture {
        let (echo, begun) = mpsc::unbounded_channel();
        let caller = GateCaller::new(
            format!("wrk_{:032x}", 7).parse().unwrap(),
            "hay-plugin-a".parse().unwrap(),
            &Sevens,
        );
        let open = OpenGate::new(listener, Arc::new(Echo(echo)), caller.clone(), limits, None);
        Fixture { open, begun, caller }
    }

    fn folder_listener(home: &Path, first: u32) -> GateListener {
        GateListener::Folder(FolderListener::make(home, SOCKET).unwrap().of_jail(first))
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        // Longer than a socket's name may be.
        let path = folder.path().join("x".repeat(200));
        fs::create_dir(&path).unwrap();
        (folder, path)
    }

    /// As a worker does that cannot spell so long a name.
    async fn connect(folder: &Path) -> io::Result<UnixStream> {
        let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        UnixStream::connect(by_descriptor(&folder).join(SOCKET)).await
    }

    async fn say(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), word: &str) -> String {
        stream.write_all(word.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        while said.last() != Some(&b'\n') {
            said.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(said).unwrap()
    }

    #[tokio::test]
    async fn both_kinds_of_socket_lead_to_the_gate_and_say_whose_they_are() {
        let (_root, home) = folder();
        let mut fixture = fixture(folder_listener(&home, std::process::id()));
        let mut stream = connect(&home).await.unwrap();
        assert_eq!(say(&mut stream, "a").await, "afalse\n");
        let caller = fixture.begun.recv().await.unwrap();
        assert_eq!((caller.worker(), caller.plugin()), (fixture.caller.worker(), fixture.caller.plugin()));

        let inside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = inside.local_addr().unwrap();
        let _other = self::fixture(GateListener::jail(inside).unwrap());
        #[expect(clippy::disallowed_methods, reason = "the test is the worker")]
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(say(&mut stream, "b").await, "bfalse\n");
    }

    #[tokio::test]
    async fn a_process_of_another_jail_is_not_taken_for_the_worker() {
        let (_root, home) = folder();
        let children = folder_listener(&home, u32::try_from(i32::MAX).unwrap());
        let _fixture = fixture(children);
        let mut stream = connect(&home).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap_or_default(), 0, "it is hung up on");
    }

    #[tokio::test]
    async fn a_connection_that_was_opened_early_is_bound_with_its_worker() {
        let (_root, home) = folder();
        let fixture = fixture(folder_listener(&home, std::process::id()));
        let mut stream = connect(&home).await.unwrap();
        assert_eq!(say(&mut stream, "a").await, "afalse\n");
        let key = |organization: u128| InstanceKey {
            organization: format!("org_{organization:032x}").parse().unwrap(),
            plugin: fixture.caller.plugin().clone(),
        };
        fixture.open.bind(key(1));
        assert_eq!(say(&mut stream, "b").await, "btrue\n");
        fixture.open.bind(key(2));
        assert_eq!(fixture.caller.key(), Some(&key(1)));
    }

    #[tokio::test]
    async fn one_connection_too_many_waits_until_another_ends() {
        let (_root, home) = folder();
        let mut fixture = fixture(folder_listener(&home, std::process::id()));
        let mut held = Vec::new();
        for _ in 0..GateLimits::default().connections.get() {
            held.push(connect(&home).await.unwrap());
            fixture.begun.recv().await.unwrap();
        }
        let mut waiting = connect(&home).await.unwrap();
        // Those that are open are answered, and in all that time the new one does not begin.
        for stream in &mut held {
            assert_eq!(say(stream, "a").await, "afalse\n");
        }
        assert!(fixture.begun.try_recv().is_err());
        held.pop();
        assert_eq!(say(&mut waiting, "b").await, "bfalse\n");
        assert!(fixture.begun.recv().await.is_some());
    }

    #[tokio::test]
    async fn connections_begin_no_faster_than_the_limit() {
        let (_root, home) = folder();
        let limits = GateLimits { rate: NonZeroU32::new(20).unwrap(), burst: 5, ..GateLimits::default() };
        let mut fixture = limited(folder_listener(&home, std::process::id()), limits);
        let begun = Instant::now();
        let mut held = Vec::new();
        for _ in 0..25 {
            held.push(connect(&home).await.unwrap());
        }
        for _ in 0..25 {
            fixture.begun.recv().await.unwrap();
        }
        // Nobody was refused, and those beyond the burst took their time.
        assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
        assert_eq!(say(&mut held[24], "a").await, "afalse\n");
    }

    #[tokio::test]
    async fn a_connection_that_panics_ends_alone() {
        let (_root, home) = folder();
        let _fixture = fixture(folder_listener(&home, std::process::id()));
        let (mut one, mut other) = (connect(&home).await.unwrap(), connect(&home).await.unwrap());
        assert_eq!(say(&mut other, "a").await, "afalse\n");
        one.write_all(b"!").await.unwrap();
        assert_eq!(one.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(say(&mut other, "b").await, "bfalse\n");
        assert_eq!(say(&mut connect(&home).await.unwrap(), "c").await, "cfalse\n");
    }

    #[tokio::test]
    async fn the_gate_closes_with_its_handle() {
        let (_root, home) = folder();
        let fixture = fixture(folder_listener(&home, std::process::id()));
        let mut stream = connect(&home).await.unwrap();
        assert_eq!(say(&mut stream, "a").await, "afalse\n");
        drop(fixture);
        let end = timeout(Duration::from_secs(10), stream.read(&mut [0])).await;
        assert_eq!(end.expect("the connection is cut").unwrap(), 0);
        assert_eq!(connect(&home).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_child_is_led_to_the_socket_whatever_the_folders_are_called() {
        let [options, socket] =
            child_variables(Path::new(r#"/opt/my "hay\loft"/runner.cjs"#), &socket(Path::new("/home/w 1")));
        assert_eq!(options, ("NODE_OPTIONS".into(), r#"--require="/opt/my \"hay\\loft\"/gate.cjs""#.into()));
        assert_eq!(socket, ("HAYLOFT_GATE".into(), "/home/w 1/gate.sock".into()));
    }
}
