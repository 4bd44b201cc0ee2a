//! What stands in front of a server elsewhere: nginx where the machine has it, else a forwarder that hands bytes on and
//! reads none of them, which is the least that anything in between can do.

use std::fs;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use hayloft_testkit::process::Process;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Where Debian and others put it. It is often not in the path of people who are no administrators.
const PLACES: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx"];

/// How long nginx may take until it serves.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something in front of a server.
#[derive(Debug)]
pub(crate) struct Forwarder {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it is.
    pub(crate) kind: Kind,
    _nginx: Option<Nginx>,
}

/// A running nginx. When this is dropped it is asked to end: killed, it would leave its children behind.
#[derive(Debug)]
struct Nginx {
    child: Child,
    _folder: TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(process) = self.child.id().and_then(Process::find) {
            process.signal(Signal::TERM);
        }
    }
}

/// What stands in front of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Bytes,
}

impl Forwarder {
    /// Starts it in front of a server.
    pub(crate) async fn start(server: SocketAddr) -> anyhow::Result<Self> {
        match PLACES.iter().map(PathBuf::from).find(|place| place.exists()) {
            Some(program) => nginx(&program, server).await,
            None => bytes(server),
        }
    }
}

async fn nginx(program: &Path, server: SocketAddr) -> anyhow::Result<Forwarder> {
    let folder = tempfile::Builder::new().prefix("hayloft-bench-nginx-").tempdir()?;
    // It takes no port 0 that it would tell of, so a free one is found for it.
    let address = StdListener::bind("127.0.0.1:0")?.local_addr()?;
    let own = folder.path().display();
    let text = format!(
        "daemon off; worker_processes auto; pid {own}/pid; error_log stderr notice;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;\n\
           client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/fastcgi;\n\
           uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;\n\
           upstream worker {{ server {server}; keepalive 64; keepalive_requests 1000000000; keepalive_timeout 4s; }}\n\
           server {{ listen {address}; location / {{\n\
             proxy_pass http://worker; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
           }} }}\n\
         }}\n"
    );
    let config = folder.path().join("nginx.conf");
    fs::write(&config, text)?;
    #[expect(clippy::disallowed_methods, reason = "a baseline runs without Hayloft")]
    let mut command = Command::new(program);
    command.arg("-p").arg(folder.path()).arg("-c").arg(&config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("failed to start {}", program.display()))?;
    let stderr = child.stderr.take().context("a pipe was asked for")?;
    let mut lines = BufReader::new(stderr).lines();
    let serves = async {
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await? {
            if line.contains("start worker process ") {
                return Ok(());
            }
            said.push(line);
        }
        anyhow::bail!("nginx ended: {}", said.join("; "))
    };
    timeout(PATIENCE, serves).await.context("nginx did not serve in time")??;
    // What else it says is of no interest, but it must be able to say it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(Forwarder { address, kind: Kind::Nginx, _nginx: Some(Nginx { child, _folder: folder }) })
}

/// On a thread of its own, which ends with the process.
fn bytes(server: SocketAddr) -> anyhow::Result<Forwarder> {
    let listener = StdListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name("forwarder".to_owned())
        .spawn(move || runtime.block_on(serve(listener, server)))
        .context("failed to start a thread")?;
    Ok(Forwarder { address, kind: Kind::Bytes, _nginx: None })
}

async fn serve(listener: StdListener, server: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (near, _) = listener.accept().await?;
        tokio::spawn(forward(near, server));
    }
}

async fn forward(mut near: TcpStream, server: SocketAddr) -> std::io::Result<()> {
    near.set_nodelay(true)?;
    #[expect(clippy::disallowed_methods, reason = "a baseline runs without Hayloft")]
    let mut far = TcpStream::connect(server).await?;
    far.set_nodelay(true)?;
    // Either side may end; the other is told.
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
