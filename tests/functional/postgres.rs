//! A throw-away PostgreSQL from the system's own package.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hayloft_testkit::server::as_user;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// An account without rights: PostgreSQL does not run as root.
const NOBODY: u32 = 65534;

/// A running server with the role `hayloft`, which needs no password. It ends when this is dropped.
pub(crate) struct Postgres {
    server: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Postgres {
    /// Makes a database and starts its server on a free port.
    pub(crate) async fn start() -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new().prefix("hayloft-postgres-").tempdir().expect("a folder");
        let user = rustix::process::geteuid().is_root().then_some(NOBODY);
        if let Some(user) = user {
            let (user, group) = (rustix::fs::Uid::from_raw(user), rustix::fs::Gid::from_raw(user));
            rustix::fs::chown(folder.path(), Some(user), Some(group)).expect("a folder for the server");
        }
        let data = folder.path().join("data");
        let run = |name: &str| {
            let mut command: Command = as_user(user, &programs.join(name));
            command.arg("-D").arg(&data).env_clear().current_dir("/").stdin(Stdio::null());
            command
        };
        let made = run("initdb").args(["-A", "trust", "-U", "hayloft", "--no-sync", "-E", "UTF8"]).output();
        let made = made.expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let server = run("postgres")
            .args(["-h", "127.0.0.1", "-c", "fsync=off", "-p", &address.port().to_string(), "-k"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres runs");
        let mut server = Self { server, address, _folder: folder };
        server.wait().await;
        server
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    #[expect(clippy::disallowed_methods, reason = "the database is the test's own")]
    async fn wait(&mut self) {
        let listens = async {
            while TcpStream::connect(self.address).await.is_err() {
                assert!(self.server.try_wait().expect("its state").is_none(), "PostgreSQL ended at once");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), listens).await.expect("PostgreSQL listens");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once, with its children; what it kept is thrown away.
        if let Some(pid) = rustix::process::Pid::from_raw(self.server.id().cast_signed()) {
            let _already_ended = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _already_reaped = self.server.wait();
    }
}

/// Where Debian keeps the programs of the newest version.
fn programs() -> PathBuf {
    let versions = Path::new("/usr/lib/postgresql");
    let mut found: Vec<_> = fs::read_dir(versions)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    found.retain(|path: &PathBuf| path.join("initdb").exists());
    found.sort();
    found.pop().expect("PostgreSQL: `apt-get install postgresql`")
}
