//! The host of the tests: it remembers what it is told, and is slow where a test wants that.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use hayloft_model::config::Credentials;
use hayloft_model::{InstanceKey, InstanceState, Problem, ServerId, WorkerId};
use hayloft_workers::protocol::{CapabilityUse, FailureReason, KvOperation};
use hayloft_workers::{
    GateCaller, McpTransport, NetworkRefusal, Observer, Refusal, StateChange, WorkerStatus,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::sync::{Notify, mpsc, oneshot};

use super::SOON;

/// Remembers what it was told, and initializes servers as a host would.
#[derive(Default)]
pub(crate) struct Recorder {
    events: Mutex<Vec<String>>,
    changed: Notify,
    pub(crate) channels: Mutex<HashMap<ServerId, Queues>>,
    pub(crate) pipes: Mutex<HashMap<ServerId, Pipes>>,
    pub(crate) credentials: Mutex<Vec<Credentials>>,
    pub(crate) values: Mutex<HashMap<String, String>>,
    /// Held by a test, it makes the observer slow to take that an instance stopped.
    stopped: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
    /// Held by a test, it makes the observer slow to keep that an instance is held back.
    keeping: Mutex<Option<oneshot::Receiver<()>>>,
    /// Closed servers and gone workers, by worker.
    ends: Mutex<Vec<(WorkerId, String)>>,
    /// Servers of these names are never initialized.
    pub(crate) ignored: Mutex<Vec<String>>,
    /// The state that each word about an instance made of it.
    pub(crate) steps: Mutex<Vec<(InstanceKey, InstanceState)>>,
    /// What was refused to whom.
    pub(crate) refused: Mutex<Vec<(Option<InstanceKey>, NetworkRefusal)>>,
}

pub(crate) type Queues = (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>);
pub(crate) type Pipes =
    (Box<dyn AsyncWrite + Send + Unpin>, Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>);

impl Recorder {
    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    /// Waits until an event has come that begins so; gives it.
    pub(crate) async fn event(&self, start: &str) -> String {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if let Some(event) = self.events().into_iter().find(|event| event.starts_with(start)) {
                    return event;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(SOON, wait).await {
            Ok(event) => event,
            Err(_) => panic!("`{start}` never happened, but {:?}", self.events()),
        }
    }

    /// Waits until a worker is gone; gives everything that was said of its end.
    pub(crate) async fn end_of(&self, worker: WorkerId) -> Vec<String> {
        let said = || -> Vec<String> {
            let ends = self.ends.lock().unwrap();
            ends.iter().filter(|(of, _)| *of == worker).map(|(_, what)| what.clone()).collect()
        };
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if said().iter().any(|what| what == "gone") {
                    return said();
                }
                changed.await;
            }
        };
        match tokio::time::timeout(SOON, wait).await {
            Ok(said) => said,
            Err(_) => panic!("nobody said that {worker} is gone, but {:?}", said()),
        }
    }

    /// Until what it gives is dropped, the observer does not get past that an instance stopped.
    pub(crate) fn hold_stopped(&self) -> std::sync::mpsc::Sender<()> {
        let (sender, held) = std::sync::mpsc::channel();
        *self.stopped.lock().unwrap() = Some(held);
        sender
    }

    /// Until what it gives is dropped, the observer has not kept yet that an instance is held back.
    pub(crate) fn hold_keeping(&self) -> oneshot::Sender<()> {
        let (sender, held) = oneshot::channel();
        *self.keeping.lock().unwrap() = Some(held);
        sender
    }

    /// How many workers are gone.
    pub(crate) fn gone(&self) -> usize {
        self.ends.lock().unwrap().iter().filter(|(_, what)| what == "gone").count()
    }

    fn end(&self, worker: WorkerId, what: String) {
        self.ends.lock().unwrap().push((worker, what));
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    fn note(&self, event: String) {
        self.events.lock().unwrap().push(event);
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Sends a request to an in-process server and gives the answer.
    pub(crate) async fn call(&self, server: &str, request: Value) -> Option<Value> {
        let server: ServerId = server.parse().unwrap();
        let (to_server, mut from_server) = self.channels.lock().unwrap().remove(&server).unwrap();
        to_server.send(Bytes::from(request.to_string())).await.ok()?;
        let answer = tokio::time::timeout(SOON, from_server.recv()).await.unwrap();
        self.channels.lock().unwrap().insert(server, (to_server, from_server));
        Some(serde_json::from_slice(&answer?).unwrap())
    }
}

impl Observer for Recorder {
    fn network_refused(&self, caller: &GateCaller, refusal: &NetworkRefusal) {
        self.refused.lock().unwrap().push((caller.key().cloned(), refusal.clone()));
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    fn outgrown(&self, _: &InstanceKey, worker: WorkerId, reason: &str) {
        self.note(format!("outgrown: {worker}: {reason}"));
    }

    fn hold_back<'a>(
        &'a self,
        _: &'a InstanceKey,
        _: &'a WorkerStatus,
        reason: &'a str,
    ) -> BoxFuture<'a, ()> {
        async move {
            self.note(format!("keeps: {reason}"));
            let held = self.keeping.lock().unwrap().take();
            if let Some(held) = held {
                let _ = held.await;
            }
        }
        .boxed()
    }

    fn state_changed(&self, key: &InstanceKey, worker: &WorkerStatus, change: StateChange) {
        assert_eq!(*key, worker.key);
        let state = match &change {
            StateChange::Starting => InstanceState::Starting,
            StateChange::Ready => InstanceState::Ready,
            StateChange::Degraded { .. } => InstanceState::Degraded,
            StateChange::Draining => InstanceState::Draining,
            StateChange::Stopped => InstanceState::Stopped,
            StateChange::Crashed { quarantine: Some(_), .. } => InstanceState::Quarantined,
            StateChange::Crashed { .. } => InstanceState::Backoff,
        };
        self.steps.lock().unwrap().push((key.clone(), state));
        if change == StateChange::Stopped
            && let Some(held) = self.stopped.lock().unwrap().take()
        {
            let _ = tokio::task::block_in_place(|| held.recv());
        }
        let change = match change {
            StateChange::Starting => "starting".to_owned(),
            StateChange::Ready => "ready".to_owned(),
            StateChange::Degraded { error } => format!("degraded: {error}"),
            StateChange::Draining => "draining".to_owned(),
            StateChange::Stopped => "stopped".to_owned(),
            StateChange::Crashed { quarantine: Some(reason), .. } => format!("quarantined: {reason}"),
            StateChange::Crashed { error, backoff, .. } => {
                let pause = if backoff.is_zero() { "at once" } else { "later" };
                format!("crashed ({pause}): {error}")
            }
        };
        self.note(change);
    }

    fn open_mcp<'a>(
        &'a self,
        _: &'a InstanceKey,
        _: WorkerId,
        server: ServerId,
        transport: McpTransport,
    ) -> BoxFuture<'a, Result<(), String>> {
        let initialize =
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} }).to_string();
        async move {
            if self.ignored.lock().unwrap().contains(&server.to_string()) {
                return futures::future::pending().await;
            }
            let failed = |_| String::from("the connection was closed");
            match transport {
                McpTransport::Channel { to_server, mut from_server } => {
                    to_server
                        .send(initialize.into())
                        .await
                        .map_err(|_| String::from("the server is gone"))?;
                    from_server.recv().await.ok_or("the server ended")?;
                    self.channels.lock().unwrap().insert(server.clone(), (to_server, from_server));
                }
                McpTransport::Stdio { mut stdin, stdout } => {
                    let mut lines = BufReader::new(stdout).lines();
                    stdin.write_all(format!("{initialize}\n").as_bytes()).await.map_err(failed)?;
                    lines.next_line().await.map_err(failed)?.ok_or("the server ended")?;
                    self.pipes.lock().unwrap().insert(server.clone(), (stdin, lines));
                }
                McpTransport::Network { kind, connector } => {
                    let mut stream = connector.connect().await.map_err(failed)?;
                    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.map_err(failed)?;
                    let mut said = String::new();
                    stream.read_to_string(&mut said).await.map_err(failed)?;
                    let said = said.rsplit('\n').next().unwrap_or_default();
                    if said != kind.as_str() {
                        return Err(format!("it speaks `{said}`"));
                    }
                }
            }
            self.note(format!("opened {server}"));
            Ok(())
        }
        .boxed()
    }

    fn worker_gone(&self, _: &InstanceKey, worker: WorkerId) {
        self.end(worker, "gone".into());
    }

    fn close_mcp(&self, _: &InstanceKey, worker: WorkerId, server: &ServerId) {
        self.end(worker, format!("closed {server}"));
        self.note(format!("closed {server}"));
    }

    fn update_auth<'a>(
        &'a self,
        _: &'a InstanceKey,
        _: WorkerId,
        credentials: Credentials,
    ) -> BoxFuture<'a, Result<(), String>> {
        self.credentials.lock().unwrap().push(credentials);
        async { Ok(()) }.boxed()
    }

    fn update_registration<'a>(
        &'a self,
        key: &'a InstanceKey,
        _: WorkerId,
        registration: Box<RawValue>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        let (text, plugin) = (registration.get().to_owned(), key.plugin.to_string());
        async move {
            self.note(format!("{plugin} registers {text}"));
            if !text.contains("wrong") {
                return Ok(());
            }
            Err(Refusal {
                problems: Problem::error("metadata.routes", "is wrong").hint("mend it").into(),
                ..Refusal::new(FailureReason::Configuration, "not valid")
            })
        }
        .boxed()
    }

    fn kv<'a>(
        &'a self,
        _: &'a InstanceKey,
        _: WorkerId,
        operation: KvOperation,
    ) -> BoxFuture<'a, Result<Option<String>, Refusal>> {
        async move {
            let mut values = self.values.lock().unwrap();
            Ok(match operation {
                KvOperation::Get { key } => values.get(&key).cloned(),
                KvOperation::Set { key, value, ttl_seconds } => {
                    values.insert(key, format!("{value} for {ttl_seconds:?}"));
                    None
                }
                KvOperation::Delete { key } => {
                    values.remove(&key);
                    None
                }
            })
        }
        .boxed()
    }

    fn report_use<'a>(
        &'a self,
        _: &'a InstanceKey,
        _: WorkerId,
        uses: Vec<CapabilityUse>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        async move {
            for CapabilityUse { capability, count, denied } in uses {
                self.note(format!("used {capability} {count} {denied}"));
            }
            Ok(())
        }
        .boxed()
    }
}
