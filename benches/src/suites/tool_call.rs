//! Tool calls through the organization's MCP endpoint: of a server in the worker, of one beside it, and of one elsewhere.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hayloft_testkit::{Organization, PluginFolder, TestServerBuilder};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::callers::mcp::LATEST_REVISION;
use crate::callers::pipe::Pipe;
use crate::callers::{Target, Tool};
use crate::load::{Burst, Subject, interleaved};
use crate::metric::Metric;
use crate::options::Options;
use crate::programs::{
    Baseline, ECHO, ECHO_THROUGH_HAYLOFT, HELLO, HELLO_THROUGH_HAYLOFT, Hayloft, baseline_file,
};

/// Places in the list of subjects.
const STDIO: usize = 0;
const STDIO_OVER_HTTP: usize = 1;
const STDIO_PIPE: usize = 2;
const IN_PROCESS: usize = 3;
const IN_PROCESS_OVER_HTTP: usize = 4;
const ELSEWHERE: usize = 5;
const ELSEWHERE_DIRECTLY: usize = 6;

/// A plugin that is nothing but the reference server over HTTP.
const ELSEWHERE_PLUGIN: &str = "hay-plugin-elsewhere";

/// A call of that server's tool by the name that the organization's endpoint gives it.
const ECHO_ELSEWHERE: Tool = Tool { name: "elsewhere__echo", ..ECHO };

/// The name under which Hayloft reaches that server.
const ELSEWHERE_HOST: &str = "everything.bench.test";

/// How long one waits for that server's tools, and how often one looks.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let everything = Baseline::start("everything-http.mjs")?;
    let elsewhere = Elsewhere::at(&everything)?;
    let hayloft = Hayloft::start_with(options, |server| elsewhere.known_to(server)).await?;
    for plugin in ["hay-plugin-everything", "hay-plugin-hello-tool", ELSEWHERE_PLUGIN] {
        hayloft.enable(plugin).await;
    }
    listed(&hayloft.organization, &ECHO_ELSEWHERE).await?;
    let hello = Baseline::start("hello-http.mjs")?;
    let script = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";
    let pipe = Pipe::start(&baseline_file(script), &["stdio"]).await?;
    let pipe_pid = pipe.pid();
    let subjects = [
        hayloft.mcp("a stdio server through Hayloft", ECHO_THROUGH_HAYLOFT),
        everything.mcp("the same server over HTTP", ECHO),
        Subject {
            name: "the same server by its pipes",
            target: Target::Pipe { pipe, tool: ECHO },
            pid: pipe_pid,
        },
        hayloft.mcp("an in-process server through Hayloft", HELLO_THROUGH_HAYLOFT),
        hello.mcp("the same tool over HTTP", HELLO),
        hayloft.mcp("a server elsewhere through Hayloft", ECHO_ELSEWHERE),
        // In this revision the server says first where an answer that breaks off can be had again, which takes it a while.
        everything.mcp_in(LATEST_REVISION, "the same server as Hayloft speaks to it", ECHO),
    ];
    let alone = interleaved(&subjects, 1, options.calls(1_000), options.rounds()).await?;
    let crowd = interleaved(&subjects, 32, options.calls(8_000), options.rounds()).await?;
    let half = |burst: &Burst| burst.quantile(0.5);
    Ok(vec![
        Metric::ratio(
            "tool-call.stdio",
            "tool call, 1 caller: stdio server ÷ the same over HTTP directly",
            &alone[STDIO],
            &alone[STDIO_OVER_HTTP],
            half,
        ),
        Metric::ratio(
            "tool-call.stdio-pipe",
            "tool call, 1 caller: stdio server ÷ its pipes directly",
            &alone[STDIO],
            &alone[STDIO_PIPE],
            half,
        ),
        Metric::ratio(
            "tool-call.in-process",
            "tool call, 1 caller: in-process server ÷ the same over HTTP directly",
            &alone[IN_PROCESS],
            &alone[IN_PROCESS_OVER_HTTP],
            half,
        ),
        Metric::ratio(
            "tool-call.http",
            "tool call, 1 caller: HTTP server ÷ the same directly",
            &alone[ELSEWHERE],
            &alone[ELSEWHERE_DIRECTLY],
            half,
        ),
        Metric::time(
            "tool-call.stdio-cpu",
            "processor time of the host per call, 32 callers: stdio server",
            &crowd[STDIO],
            Burst::cpu_per_call,
        ),
        Metric::time(
            "tool-call.in-process-cpu",
            "processor time of the host per call, 32 callers: in-process server",
            &crowd[IN_PROCESS],
            Burst::cpu_per_call,
        ),
        Metric::time(
            "tool-call.http-cpu",
            "processor time of the host per call, 32 callers: HTTP server",
            &crowd[ELSEWHERE],
            Burst::cpu_per_call,
        ),
        Metric::ratio(
            "tool-call.stdio-throughput",
            "time per call, 32 callers: stdio server ÷ its pipes directly",
            &crowd[STDIO],
            &crowd[STDIO_PIPE],
            Burst::time_per_call,
        ),
        Metric::ratio(
            "tool-call.in-process-throughput",
            "time per call, 32 callers: in-process server ÷ the same over HTTP directly",
            &crowd[IN_PROCESS],
            &crowd[IN_PROCESS_OVER_HTTP],
            Burst::time_per_call,
        ),
        Metric::ratio(
            "tool-call.http-throughput",
            "time per call, 32 callers: HTTP server ÷ the same directly",
            &crowd[ELSEWHERE],
            &crowd[ELSEWHERE_DIRECTLY],
            Burst::time_per_call,
        ),
        Metric::time(
            "tool-call.stdio-p99",
            "99th percentile, 32 callers: stdio server",
            &crowd[STDIO],
            |burst| burst.quantile(0.99),
        ),
        Metric::time(
            "tool-call.in-process-p99",
            "99th percentile, 32 callers: in-process server",
            &crowd[IN_PROCESS],
            |burst| burst.quantile(0.99),
        ),
    ])
}

/// The plugin that is nothing but a server elsewhere, and the grant without which no plugin reaches this machine.
struct Elsewhere {
    plugins: PluginFolder,
    config: String,
    _settings: TempDir,
}

impl Elsewhere {
    fn at(server: &Baseline) -> anyhow::Result<Self> {
        let url = format!("http://{ELSEWHERE_HOST}{}", server.path);
        let manifest = json!({
            "id": ELSEWHERE_PLUGIN, "name": "Elsewhere", "version": "1.0.0", "description": "x", "author": "x",
            "type": ["mcp-connector"], "entry": "./index.js",
            "capabilities": { "mcp": { "connection": { "type": "remote", "url": url }, "transport": "http" } },
        });
        let plugins = PluginFolder::new();
        plugins.plugin(ELSEWHERE_PLUGIN).file("manifest.json", manifest.to_string());
        let settings = tempfile::tempdir()?;
        let file = settings.path().join("hayloft.toml");
        let grant = format!("{ELSEWHERE_HOST}:80={}", server.address);
        fs::write(&file, format!("[network.private]\n{ELSEWHERE_PLUGIN} = [{}]\n", json!(grant)))?;
        let config = file.to_str().context("a temporary folder without a plain name")?.to_owned();
        Ok(Self { plugins, config, _settings: settings })
    }

    fn known_to(&self, server: TestServerBuilder) -> TestServerBuilder {
        server.plugins(self.plugins.path()).environment("HAYLOFT_CONFIG", &self.config)
    }
}

/// Waits until a tool is listed: a server elsewhere is asked for its tools when its plugin is ready. Nothing of this is
/// measured.
async fn listed(organization: &Organization, tool: &Tool) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let tools = organization.get("tools").await.expect(200).text();
        if tools.contains(tool.name) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "`{}` was never listed: {tools}", tool.name);
        sleep(LOOK).await;
    }
}
