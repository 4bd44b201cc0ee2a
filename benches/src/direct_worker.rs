//! A worker started and spoken to without Hayloft: the same process, the same protocol, nobody in between.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use hayloft_sandbox::{Jail, Process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::callers::Tool;
use crate::ground::{COLLECTED, Ground};

/// The descriptors that a worker expects.
const CHANNEL: i32 = 3;
const ROUTES: i32 = 4;

/// The kinds of frames.
const CONTROL: u8 = 1;
const MCP: u8 = 2;

/// A plugin as a worker is told of it.
#[derive(Clone, Debug)]
pub(crate) struct Plugin {
    pub(crate) root: PathBuf,
    pub(crate) entry: &'static str,
}

/// A running worker.
#[derive(Debug)]
pub(crate) struct DirectWorker {
    process: Process,
    jail: Jail,
    channel: UnixStream,
    /// Where it serves its routes.
    pub(crate) routes: SocketAddr,
    server: Option<String>,
    next_id: u64,
}

impl DirectWorker {
    /// Starts a worker and waits until it has loaded its plugin.
    pub(crate) async fn start(ground: &Ground, plugin: &Plugin) -> anyhow::Result<Self> {
        Self::launch(ground, plugin, None).await
    }

    /// The same, and the worker writes to this file what Node compiled of the plugin.
    pub(crate) async fn start_collecting(
        ground: &Ground,
        plugin: &Plugin,
        compiled: OwnedFd,
    ) -> anyhow::Result<Self> {
        Self::launch(ground, plugin, Some(compiled)).await
    }

    async fn launch(ground: &Ground, plugin: &Plugin, compiled: Option<OwnedFd>) -> anyhow::Result<Self> {
        let (own, theirs) = std::os::unix::net::UnixStream::pair()?;
        own.set_nonblocking(true)?;
        // Its routes are reached by TCP like those of the baselines.
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let routes = listener.local_addr()?;
        let mut descriptors = vec![(OwnedFd::from(theirs), CHANNEL), (OwnedFd::from(listener), ROUTES)];
        let mut channel = UnixStream::from_std(own)?;
        let mut load = load(plugin);
        if let Some(compiled) = compiled {
            load["compiled"] = COLLECTED.into();
            descriptors.push((compiled, COLLECTED));
        }
        write(&mut channel, CONTROL, &load).await?;
        let jail = ground.jail(&plugin.root).await?;
        let process = ground.worker(&jail, &plugin.root, descriptors).await?;
        let mut worker = Self { process, jail, channel, routes, server: None, next_id: 1 };
        let Err(error) = worker.await_control("ready").await else { return Ok(worker) };
        worker.jail.end().await?;
        let mut said = String::new();
        if let Some(mut stderr) = worker.process.take_stderr() {
            stderr.read_to_string(&mut said).await?;
        }
        Err(error.context(format!("a worker of tier {} did not start: {}", ground.tier(), said.trim())))
    }

    /// Gives it an organization, runs `onStart`, and opens the MCP server that the plugin starts, if any.
    pub(crate) async fn bind(&mut self) -> anyhow::Result<()> {
        let bind = json!({
            "type": "bind",
            "id": self.take_id(),
            "organization": { "id": "org_00000000000000000000000000000001" },
            "config": {},
            "auth": null,
            "environment": {},
        });
        write(&mut self.channel, CONTROL, &bind).await?;
        self.await_control("result").await?;
        let start = json!({ "type": "hook", "id": self.take_id(), "hook": "start" });
        write(&mut self.channel, CONTROL, &start).await?;
        self.await_control("result").await?;
        Ok(())
    }

    /// Calls a tool of the server that the plugin started.
    pub(crate) async fn call(&mut self, tool: &Tool) -> anyhow::Result<()> {
        let id = self.take_id();
        let request: Value = serde_json::from_str(&tool.request(id))?;
        let answer = self.mcp(&request).await?;
        tool.check_message(id, answer.to_string().as_bytes())
    }

    /// Ends it and all that it started.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        Ok(self.jail.end().await?)
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// The first process of its jail.
    pub(crate) fn first_pid(&self) -> u32 {
        self.jail.pid()
    }

    /// Reads up to a control message of this type, doing meanwhile what a host does for the plugin.
    async fn await_control(&mut self, wanted: &str) -> anyhow::Result<Value> {
        loop {
            let (kind, message) = read(&mut self.channel).await?;
            ensure!(kind == CONTROL, "an MCP message in place of `{wanted}`: {message}");
            match message["type"].as_str() {
                Some(kind) if kind == wanted => return Ok(message),
                Some("hello" | "metadata" | "ready") => {}
                Some("openMcp") => self.open_mcp(&message).await?,
                _ => bail!("`{wanted}` was expected, not {message}"),
            }
        }
    }

    async fn open_mcp(&mut self, request: &Value) -> anyhow::Result<()> {
        self.server = Some(request["server"]["id"].as_str().context("a server without an id")?.to_owned());
        let initialize = json!({
            "jsonrpc": "2.0",
            "id": self.take_id(),
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": { "name": "hayloft-bench", "version": "1.0.0" },
            },
        });
        let answer = self.mcp(&initialize).await?;
        ensure!(answer["result"].is_object(), "`initialize` was answered with {answer}");
        let server = &self.server;
        let initialized = json!({
            "server": server,
            "message": { "jsonrpc": "2.0", "method": "notifications/initialized" },
        });
        write(&mut self.channel, MCP, &initialized).await?;
        let opened = json!({ "type": "result", "id": request["id"], "value": {} });
        write(&mut self.channel, CONTROL, &opened).await
    }

    async fn mcp(&mut self, request: &Value) -> anyhow::Result<Value> {
        let server = self.server.as_ref().context("the plugin started no server")?;
        write(&mut self.channel, MCP, &json!({ "server": server, "message": request })).await?;
        loop {
            let (kind, mut message) = read(&mut self.channel).await?;
            if kind == MCP && message["message"]["id"] == request["id"] {
                return Ok(message["message"].take());
            }
        }
    }

    const fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }
}

fn load(plugin: &Plugin) -> Value {
    json!({
        "type": "load",
        "protocol": 1,
        "workerId": "wrk_00000000000000000000000000000001",
        "plugin": {
            "id": "hay-plugin-bench",
            "root": plugin.root,
            "entry": plugin.entry,
            "format": "hay-package",
            "env": [],
            "capabilities": ["mcp", "routes"],
        },
        "deadlines": {
            "onInitialize": 10_000,
            "onStart": 30_000,
            "onValidateAuth": 15_000,
            "onConfigUpdate": 10_000,
            "onDisable": 10_000,
        },
    })
}

async fn write(channel: &mut UnixStream, kind: u8, message: &Value) -> anyhow::Result<()> {
    let payload = message.to_string();
    let mut frame = u32::try_from(payload.len())?.to_be_bytes().to_vec();
    frame.push(kind);
    frame.extend(payload.into_bytes());
    channel.write_all(&frame).await.context("the worker ended")
}

async fn read(channel: &mut UnixStream) -> anyhow::Result<(u8, Value)> {
    let length = channel.read_u32().await.context("the worker ended")?;
    let kind = channel.read_u8().await?;
    let mut payload = vec![0; usize::try_from(length)?];
    channel.read_exact(&mut payload).await?;
    Ok((kind, serde_json::from_slice(&payload)?))
}
