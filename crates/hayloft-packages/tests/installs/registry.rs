//! A registry that the test plays: a few packages, and switches for what goes wrong with registries.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use hayloft_packages::{Dial, Registry, RegistryStream};
use serde_json::json;
use sha2::{Digest as _, Sha512};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The version of every package that has no other.
const ONLY: &str = "1.0.0";

/// The newer version of `dep`, once it is published.
const NEWER: &str = "1.1.0";

/// What it has: a name, and the files of the only version.
const PACKAGES: [(&str, &[(&str, &str)]); 2] = [
    (
        "dep",
        &[
            ("index.js", "module.exports = 'dep 1.0.0';\n"),
            ("package.json", r#"{ "name": "dep", "version": "1.0.0" }"#),
        ],
    ),
    (
        "scripted-dep",
        &[
            ("index.js", ""),
            (
                "package.json",
                r#"{ "name": "scripted-dep", "version": "1.0.0", "scripts": { "postinstall": "touch ran", "preinstall": "touch ran", "install": "touch ran" } }"#,
            ),
        ],
    ),
];

pub(crate) struct TestRegistry {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    down: AtomicBool,
    busy: AtomicBool,
    silent: AtomicBool,
    newer: AtomicBool,
    missed: AtomicUsize,
    requests: AtomicUsize,
    archives: AtomicUsize,
}

impl TestRegistry {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                tokio::spawn(async move { drop(answer(stream, &state).await) });
            }
        });
        Arc::new(Self { address, state })
    }

    pub(crate) fn registry(&self) -> Registry {
        format!("http://registry.test:{}/", self.address.port()).parse().unwrap()
    }

    pub(crate) fn go_down(&self) {
        self.state.down.store(true, Ordering::SeqCst);
    }

    pub(crate) fn come_back(&self) {
        for switch in [&self.state.down, &self.state.busy, &self.state.silent] {
            switch.store(false, Ordering::SeqCst);
        }
    }

    /// It answers everything with 503.
    pub(crate) fn be_busy(&self) {
        self.state.busy.store(true, Ordering::SeqCst);
    }

    /// It takes connections, and says nothing.
    pub(crate) fn be_silent(&self) {
        self.state.silent.store(true, Ordering::SeqCst);
    }

    /// The next connection fails.
    pub(crate) fn miss_one(&self) {
        self.state.missed.store(1, Ordering::SeqCst);
    }

    /// Connections that are still to fail.
    pub(crate) fn missing(&self) -> usize {
        self.state.missed.load(Ordering::SeqCst)
    }

    /// From now on it has a newer version of `dep`.
    pub(crate) fn publish(&self) {
        self.state.newer.store(true, Ordering::SeqCst);
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn archives(&self) -> usize {
        self.state.archives.load(Ordering::SeqCst)
    }

    /// What a lockfile says of `dep` when it tells the truth.
    pub(crate) fn integrity(&self) -> String {
        integrity(&archive("dep", ONLY).unwrap())
    }
}

impl Dial for TestRegistry {
    #[expect(clippy::disallowed_methods, reason = "the registry is the test's own")]
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<RegistryStream>> {
        Box::pin(async move {
            assert_eq!((host, port), ("registry.test", self.address.port()));
            let missed = |missed: usize| missed.checked_sub(1);
            let is_missed =
                self.state.missed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, missed).is_ok();
            if is_missed || self.state.down.load(Ordering::SeqCst) {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            Ok(Box::new(TcpStream::connect(self.address).await?) as RegistryStream)
        })
    }
}

async fn answer(stream: TcpStream, state: &State) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await?;
            if header.trim().is_empty() {
                break;
            }
        }
        state.requests.fetch_add(1, Ordering::SeqCst);
        let name = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        if state.silent.load(Ordering::SeqCst) {
            // Until who asks goes away.
            return stream.read_to_end(&mut Vec::new()).await.map(drop);
        }
        let newer = name == "dep" && state.newer.load(Ordering::SeqCst);
        let version = if newer && path.ends_with("-1.1.0.tgz") { NEWER } else { ONLY };
        let (status, body) = match archive(name, version) {
            _ if state.busy.load(Ordering::SeqCst) => ("503 Service Unavailable", b"{}".to_vec()),
            Some(archive) if path.ends_with(".tgz") => {
                state.archives.fetch_add(1, Ordering::SeqCst);
                ("200 OK", archive)
            }
            Some(_) => ("200 OK", packument(name, if newer { &[ONLY, NEWER] } else { &[ONLY] })),
            None => ("404 Not Found", b"{}".to_vec()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
    }
}

fn packument(name: &str, versions: &[&str]) -> Vec<u8> {
    let of = |version: &&str| {
        let integrity = integrity(&archive(name, version).unwrap());
        let version = json!({
            "name": name,
            "version": version,
            "hasInstallScript": name == "scripted-dep",
            "dist": { "tarball": format!("https://registry.npmjs.org/{name}/-/{name}-{version}.tgz"), "integrity": integrity },
        });
        (version["version"].as_str().unwrap().to_owned(), version)
    };
    let all: serde_json::Map<_, _> = versions.iter().map(of).collect();
    let packument = json!({ "name": name, "dist-tags": { "latest": versions.last() }, "versions": all });
    serde_json::to_vec(&packument).unwrap()
}

/// A package of many bytes in a small archive.
const LARGE: &str = "large-dep";

fn archive(name: &str, version: &str) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let large: &[_] = &[("package.json", r#"{ "name": "large-dep", "version": "1.0.0" }"#)];
    let files = match PACKAGES.iter().find(|(known, _)| *known == name) {
        Some((_, files)) => files,
        None if name == LARGE => {
            // What shrinks too well is refused by npm itself.
            let numbers: String = (0..4_000_000).map(|number| format!("{number}\n")).collect();
            std::fs::write(folder.path().join("numbers"), numbers).unwrap();
            large
        }
        None => return None,
    };
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text.replace(ONLY, version)).unwrap();
    }
    let mut archive = Vec::new();
    hayloft_packages::archive::pack(folder.path(), &mut archive).unwrap();
    Some(archive)
}

fn integrity(archive: &[u8]) -> String {
    format!("sha512-{}", STANDARD.encode(Sha512::digest(archive)))
}
