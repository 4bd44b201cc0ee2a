//! Callers that share the pipes of one stdio MCP server, without anybody in between.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hayloft_testkit::workspace;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

use super::Tool;

/// A running server. Clones share it; it is killed with the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Pipe(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    process: Child,
    requests: mpsc::UnboundedSender<String>,
    waiting: Arc<Waiting>,
    next_id: AtomicU64,
}

type Waiting = Mutex<HashMap<u64, oneshot::Sender<Bytes>>>;

impl Pipe {
    /// Starts a Node program and initializes it.
    pub(crate) async fn start(script: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "a baseline runs without Hayloft")]
        let mut command = Command::new(workspace::node());
        command.arg(script).args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().with_context(|| format!("failed to start {}", script.display()))?;
        let (input, output) = process.stdin.take().zip(process.stdout.take()).context("no pipes")?;
        let (requests, outbox) = mpsc::unbounded_channel();
        let waiting = Arc::default();
        tokio::spawn(write(input, outbox));
        tokio::spawn(read(output, Arc::clone(&waiting)));
        let pipe = Self(Arc::new(Shared { process, requests, waiting, next_id: AtomicU64::new(1) }));
        let answer = pipe
            .request(|id| {
                format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"2025-06-18","capabilities":{{}},"clientInfo":{{"name":"hayloft-bench","version":"1.0.0"}}}}}}"#
                )
            })
            .await?;
        ensure!(answer.1.windows(8).any(|part| part == b"\"result\""), "`initialize` failed");
        pipe.0.requests.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned())?;
        Ok(pipe)
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.0.process.id()
    }

    async fn request(&self, message: impl FnOnce(u64) -> String) -> anyhow::Result<(u64, Bytes)> {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        self.0.requests.send(message(id))?;
        Ok((id, receiver.await.context("the server ended")?))
    }
}

async fn write(mut input: ChildStdin, mut outbox: mpsc::UnboundedReceiver<String>) {
    while let Some(mut lines) = outbox.recv().await {
        lines.push('\n');
        // What queued up meanwhile goes along in one write.
        while let Ok(line) = outbox.try_recv() {
            lines.push_str(&line);
            lines.push('\n');
        }
        if input.write_all(lines.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(output: ChildStdout, waiting: Arc<Waiting>) {
    #[derive(Deserialize)]
    struct Answer {
        id: Option<u64>,
    }
    let mut output = BufReader::with_capacity(64 * 1024, output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        if let Ok(Answer { id: Some(id) }) = serde_json::from_slice(&line)
            && let Some(caller) = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
        {
            let _nobody_waits = caller.send(Bytes::copy_from_slice(&line));
        }
        line.clear();
    }
    // Those who still wait learn that nothing will come.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// One of those who share a server.
#[derive(Debug)]
pub(crate) struct PipeCaller {
    pipe: Pipe,
    tool: Tool,
}

impl PipeCaller {
    pub(crate) const fn new(pipe: Pipe, tool: Tool) -> Self {
        Self { pipe, tool }
    }

    pub(crate) async fn call(&mut self) -> anyhow::Result<()> {
        let (id, answer) = self.pipe.request(|id| self.tool.request(id)).await?;
        self.tool.check_message(id, &answer)
    }
}
