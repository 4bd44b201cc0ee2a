//! Tool calls through the organization's MCP endpoint.

use crate::callers::Target;
use crate::callers::pipe::Pipe;
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

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let hayloft = Hayloft::start(options).await?;
    hayloft.enable("hay-plugin-everything").await;
    hayloft.enable("hay-plugin-hello-tool").await;
    let everything = Baseline::start("everything-http.mjs")?;
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
