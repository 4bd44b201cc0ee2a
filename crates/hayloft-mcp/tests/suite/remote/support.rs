//! A host on a network that a test plays: every connection is a pipe, every response the bytes that the test gives.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hayloft_mcp::client::OpenError;
use hayloft_mcp::client::remote::{ByteStream, Connector, Remote, RemoteKind, RemoteUrl};
use hayloft_mcp::{Upstream, UpstreamOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::watch;

use crate::support::options;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Value,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The JSON-RPC method, or the HTTP method of a request without a message.
    pub(super) fn what(&self) -> String {
        self.body["method"].as_str().unwrap_or(&self.method).to_owned()
    }
}

/// The server's end of a connection, while one request is answered.
pub(super) struct Wire {
    pub(super) stream: BufReader<DuplexStream>,
}

/// Whether the connection serves another request.
pub(super) type Served = Option<Wire>;

impl Wire {
    /// Writes bytes as they are. Nobody may be there to read them any more.
    pub(super) async fn raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Answers with a whole response.
    pub(super) async fn respond(mut self, status: &str, headers: &str, body: &str) -> Served {
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
        self.raw(format!("{head}{body}")).await.ok()?;
        Some(self)
    }

    pub(super) async fn json(self, body: &Value) -> Served {
        self.respond("200 OK", "content-type: application/json\r\n", &body.to_string()).await
    }

    pub(super) async fn accepted(self) -> Served {
        self.respond("202 Accepted", "", "").await
    }

    /// Begins a stream of events that ends with the connection.
    pub(super) async fn begin_events(&mut self) -> io::Result<()> {
        self.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").await
    }

    /// A stream of events that is whole.
    pub(super) async fn events(self, text: &str) -> Served {
        self.respond("200 OK", "content-type: text/event-stream; charset=utf-8\r\n", text).await
    }

    /// Says nothing until the client hangs up.
    pub(super) async fn hang(mut self) -> Served {
        let mut rest = Vec::new();
        drop(self.stream.read_to_end(&mut rest).await);
        None
    }
}

type Handler = Arc<dyn Fn(Asked, Wire) -> BoxFuture<'static, Served> + Send + Sync>;

/// What a host saw. Clones share it.
#[derive(Clone)]
pub(super) struct Host {
    asked: Arc<watch::Sender<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
    gone: Arc<watch::Sender<Option<&'static str>>>,
    handler: Handler,
}

/// A host that answers each request by `handler`.
pub(super) fn host<F, R>(handler: F) -> Host
where
    F: Fn(Asked, Wire) -> R + Send + Sync + 'static,
    R: Future<Output = Served> + Send + 'static,
{
    Host {
        asked: Arc::new(watch::Sender::new(Vec::new())),
        connections: Arc::default(),
        gone: Arc::new(watch::Sender::new(None)),
        handler: Arc::new(move |asked, wire| handler(asked, wire).boxed()),
    }
}

impl Host {
    /// All requests so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// What was asked, in order, but for the stream of the server's own messages.
    pub(super) fn list(&self) -> Vec<String> {
        self.asked().iter().map(Asked::what).filter(|what| what != "GET").collect()
    }

    /// Waits until a request fits.
    pub(super) async fn until(&self, fits: impl Fn(&Asked) -> bool) -> Asked {
        let all = self.until_all(|all| all.iter().any(&fits)).await;
        all.into_iter().find(|asked| fits(asked)).unwrap()
    }

    /// Waits until the requests altogether fit.
    pub(super) async fn until_all(&self, fits: impl Fn(&[Asked]) -> bool) -> Vec<Asked> {
        // Time stands still in these tests but for what waits, so this is over as soon as nothing else happens.
        const PATIENCE: Duration = Duration::from_secs(3600);
        let mut asked = self.asked.subscribe();
        let waiting = tokio::time::timeout(PATIENCE, asked.wait_for(|all| fits(all))).await;
        waiting.expect("the request never came").unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// No connection can be made any more, and those on which nothing is answered end.
    pub(super) fn vanish(&self, why: &'static str) {
        self.gone.send_replace(Some(why));
    }

    pub(super) fn remote(&self, kind: RemoteKind) -> Remote {
        Remote::new(kind, RemoteUrl::parse("http://host:81/mcp?key=1").unwrap(), self.clone())
    }

    pub(super) async fn open(&self, kind: RemoteKind) -> Result<Upstream, OpenError> {
        self.open_with(kind, options()).await
    }

    pub(super) async fn open_with(
        &self,
        kind: RemoteKind,
        options: UpstreamOptions,
    ) -> Result<Upstream, OpenError> {
        Upstream::open(self.remote(kind), options).await
    }
}

impl Connector for Host {
    fn connect(&self) -> BoxFuture<'_, io::Result<ByteStream>> {
        async {
            if let Some(why) = *self.gone.borrow() {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, why));
            }
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            self.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(self.clone(), theirs));
            Ok(Box::new(ours) as ByteStream)
        }
        .boxed()
    }
}

async fn serve(host: Host, stream: DuplexStream) {
    let mut wire = Wire { stream: BufReader::new(stream) };
    let mut gone = host.gone.subscribe();
    loop {
        let asked = tokio::select! {
            asked = read_request(&mut wire) => asked,
            _ = gone.wait_for(Option::is_some) => None,
        };
        let Some(asked) = asked else { return };
        host.asked.send_modify(|all| all.push(asked.clone()));
        match (host.handler)(asked, wire).await {
            Some(served) => wire = served,
            None => return,
        }
    }
}

async fn read_request(wire: &mut Wire) -> Option<Asked> {
    let mut line = String::new();
    let mut next = async || {
        line.clear();
        let count = wire.stream.read_line(&mut line).await.ok()?;
        (count > 0).then(|| line.trim_end().to_owned())
    };
    let first = next().await?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let line = next().await?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    wire.stream.read_exact(&mut body).await.ok()?;
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Some(Asked { method, target, headers, body })
}

/// The answer to a request.
pub(super) fn result(asked: &Asked, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": asked.body["id"], "result": result })
}

/// The answer to `initialize`.
pub(super) fn introduced(asked: &Asked, revision: &str) -> Value {
    let details = json!({
        "protocolVersion": revision,
        "capabilities": { "tools": { "listChanged": true } },
        "serverInfo": { "name": "fake", "version": "1" },
    });
    result(asked, &details)
}

/// Serves what every session needs, in JSON: the opening with a session id, no stream, each call its own arguments.
pub(super) async fn serve_well(asked: Asked, wire: Wire) -> Served {
    match opening(asked, wire).await {
        Ok((asked, wire)) => wire.json(&result(&asked, &asked.body["params"]["arguments"])).await,
        Err(served) => served,
    }
}

/// Serves the opening of a session and what belongs to none of its calls; gives back the calls.
pub(super) async fn opening(asked: Asked, wire: Wire) -> Result<(Asked, Wire), Served> {
    match &*asked.what() {
        "initialize" => {
            let head = "content-type: application/json\r\nmcp-session-id: s-1\r\n";
            let body = introduced(&asked, "2025-11-25").to_string();
            Err(wire.respond("200 OK", head, &body).await)
        }
        "GET" => Err(wire.respond("405 Method Not Allowed", "", "").await),
        "tools/call" => Ok((asked, wire)),
        _ => Err(wire.accepted().await),
    }
}

/// Waits for something that other tasks bring about.
pub(super) async fn eventually(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap();
}

/// Lets everything happen that can. Time stands still meanwhile but for this.
pub(super) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
