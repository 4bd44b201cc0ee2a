//! Many callers and many sessions at once, what they leave behind in the host's memory, and how soon the host tells the
//! health of a plugin whose worker is blocked. A lost call is no figure: it fails the suite.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use futures::future::{join, try_join_all};
use hayloft_testkit::TestServerBuilder;
use http::Method;
use serde_json::json;

use crate::callers::mcp::{McpCaller, USUAL_REVISION};
use crate::callers::{Caller, Target};
use crate::load::{Burst, Subject, interleaved};
use crate::memory::kib_at_rest;
use crate::metric::Metric;
use crate::options::Options;
use crate::programs::{
    BLOCKING_PLUGIN, Baseline, ECHO_THROUGH_HAYLOFT, HELLO, HELLO_PLUGIN, HELLO_THROUGH_HAYLOFT, Hayloft,
};

/// How many sessions are open at once when memory is measured.
const SESSIONS: usize = 100;

/// How long each hook and each call of [`BLOCKING_PLUGIN`] stands still.
const BLOCKED: Duration = Duration::from_secs(1);

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    // What is saved is answered when its hooks have run.
    let patient = |server: TestServerBuilder| server.environment("HAYLOFT_LIMITS_SAVE_ANSWER", "60s");
    let mut hayloft = Hayloft::start_with(options, patient).await?;
    hayloft.enable(HELLO_PLUGIN).await;
    hayloft.enable("hay-plugin-everything").await;
    // What it took to make plugins ready is not what it holds when it knows them.
    hayloft.restart().await?;
    let idle = kib_at_rest(&[hayloft.server.pid()]).await?;
    let mut metrics =
        vec![Metric::memory_of("crowd.memory-idle", "memory of the host, idle", &[idle], &[0.0])];
    metrics.extend(crowds(options, &hayloft).await?);
    metrics.push(held(&hayloft, idle).await?);
    metrics.extend(sessions(options, &hayloft).await?);
    metrics.extend(lists(options, &hayloft).await?);
    metrics.push(health_of_the_blocked(options, &hayloft).await?);
    Ok(metrics)
}

/// A million calls by a hundred callers, a tenth of it quickly, and a tenth of that by a thousand.
async fn crowds(options: &Options, hayloft: &Hayloft) -> anyhow::Result<Vec<Metric>> {
    let calls = if options.quick { 100_000 } else { 1_000_000 };
    let each = calls / options.rounds();
    let subject = [hayloft.mcp("an in-process server through Hayloft", HELLO_THROUGH_HAYLOFT)];
    let hundred = interleaved(&subject, 100, each, options.rounds()).await?.remove(0);
    let thousand = interleaved(&subject, 1_000, each / 10, options.rounds()).await?.remove(0);
    let stdio = [hayloft.mcp("a stdio server through Hayloft", ECHO_THROUGH_HAYLOFT)];
    let stdio = interleaved(&stdio, 100, each / 10, options.rounds()).await?.remove(0);
    let answered = [&hundred, &thousand, &stdio].into_iter().flatten().map(Burst::calls).sum();
    let of = |share: f64| hundred.iter().map(|burst| burst.quantile(share)).collect::<Vec<_>>();
    Ok(vec![
        // A call without its answer ends the run.
        Metric::count("crowd.answered", "calls by 100 and 1,000 callers, each of them answered", answered),
        Metric::ratio_of(
            "crowd.hundred-tail",
            "100 callers: 99th percentile ÷ median, in-process server",
            &of(0.99),
            &of(0.5),
        ),
        Metric::time(
            "crowd.hundred-stdio-p99",
            "99th percentile, 100 callers: stdio server",
            &stdio,
            |burst| burst.quantile(0.99),
        ),
        Metric::time(
            "crowd.hundred-p99",
            "99th percentile, 100 callers: in-process server",
            &hundred,
            |burst| burst.quantile(0.99),
        ),
        Metric::time("crowd.thousand-p99", "99th percentile, 1,000 callers", &thousand, |burst| {
            burst.quantile(0.99)
        }),
        Metric::ratio(
            "crowd.thousand",
            "time per call: 1,000 callers ÷ 100 callers",
            &thousand,
            &hundred,
            Burst::time_per_call,
        ),
    ])
}

/// What the host holds more than before, after all those calls and with so many sessions open.
async fn held(hayloft: &Hayloft, idle: f64) -> anyhow::Result<Metric> {
    let target = hayloft.mcp("a session", HELLO_THROUGH_HAYLOFT).target;
    let mut open = try_join_all((0..SESSIONS).map(|_| target.connect())).await?;
    for caller in &mut open {
        caller.call().await?;
    }
    let now = kib_at_rest(&[hayloft.server.pid()]).await?;
    let title = "memory of the host after the calls and with 100 sessions, beyond idle";
    Ok(Metric::memory_of("crowd.memory", title, &[now], &[idle]))
}

/// Opening a session, connection included, beside the same at the server itself.
async fn sessions(options: &Options, hayloft: &Hayloft) -> anyhow::Result<Vec<Metric>> {
    let direct = Baseline::start("hello-http.mjs")?;
    let through = hayloft.mcp("a session through Hayloft", HELLO_THROUGH_HAYLOFT);
    let direct = direct.mcp("a session with the server itself", HELLO);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds() {
        ours.push(opening(&through, options.calls(400)).await?);
        theirs.push(opening(&direct, options.calls(400)).await?);
    }
    let title = "open a session ÷ the same at the server itself over HTTP";
    Ok(vec![Metric::ratio_of("crowd.session", title, &ours, &theirs)])
}

/// What opening one session takes on average.
async fn opening(subject: &Subject, count: usize) -> anyhow::Result<Duration> {
    let start = Instant::now();
    for _ in 0..count {
        drop(subject.target.connect().await?);
    }
    Ok(start.elapsed() / u32::try_from(count)?)
}

/// Lists of tools beside calls of one of them.
async fn lists(options: &Options, hayloft: &Hayloft) -> anyhow::Result<Vec<Metric>> {
    let token = &hayloft.organization.token;
    let opened =
        McpCaller::open(hayloft.address, "/v1/mcp", Some(token), USUAL_REVISION, HELLO_THROUGH_HAYLOFT)
            .await?;
    let list = Subject {
        name: "lists of tools",
        target: Target::Route {
            address: hayloft.address,
            method: Method::POST,
            path: "/v1/mcp".to_owned(),
            headers: opened.session_headers()?,
            body: Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#),
        },
        pid: Some(hayloft.server.pid()),
    };
    let subjects = [list, hayloft.mcp("calls of a tool", HELLO_THROUGH_HAYLOFT)];
    let alone = interleaved(&subjects, 1, options.calls(2_000), options.rounds()).await?;
    let crowd = interleaved(&subjects, 32, options.calls(16_000), options.rounds()).await?;
    let half = |burst: &Burst| burst.quantile(0.5);
    Ok(vec![
        Metric::time("crowd.list", "list of tools, 1 caller", &alone[0], half),
        Metric::time("crowd.list-throughput", "time per list, 32 callers", &crowd[0], Burst::time_per_call),
        Metric::ratio(
            "crowd.list-ratio",
            "time per list ÷ time per call of an in-process tool, 32 callers",
            &crowd[0],
            &crowd[1],
            Burst::time_per_call,
        ),
    ])
}

/// The slowest answer about the health of a plugin while its event loop stands still, in each of its hooks and in a call.
async fn health_of_the_blocked(options: &Options, hayloft: &Hayloft) -> anyhow::Result<Metric> {
    let mut slowest = Vec::new();
    for round in 0..options.rounds().div_ceil(3) {
        let organization = hayloft.server.organization(&format!("blocked {round}")).await;
        let (plugin, call) = (format!("plugins/{BLOCKING_PLUGIN}"), "tools/blocks__wait/call");
        let target = Target::Route {
            address: hayloft.address,
            method: Method::GET,
            path: organization.path(&format!("{plugin}/health")),
            headers: vec![("authorization", format!("Bearer {}", organization.token))],
            body: Bytes::new(),
        };
        let mut caller = target.connect().await?;
        let mut of_round = Duration::ZERO;
        // `onInitialize`, `onEnable` or `onConfigUpdate`, `onValidateAuth`, `onStart`; a call; `onDisable`.
        for (method, path, body, blocks) in [
            (Method::PUT, plugin.as_str(), json!({ "enabled": true }), 4),
            (Method::PUT, &plugin, json!({ "config": { "greeting": "hello" } }), 4),
            (Method::POST, call, json!({ "arguments": {} }), 1),
            (Method::PUT, &plugin, json!({ "enabled": false }), 1),
        ] {
            let began = Instant::now();
            let path = organization.path(path);
            let act = organization.api.send(
                &method,
                &path,
                &[("content-type", "application/json")],
                body.to_string(),
            );
            let (answer, watched) = watch(act, &mut caller).await?;
            let took = began.elapsed();
            ensure!(
                answer.status.is_success() && took >= BLOCKED * blocks,
                "{method} {path} {body} did not run {blocks} hooks in {took:?}: {} {}",
                answer.status,
                answer.text()
            );
            of_round = of_round.max(watched);
        }
        slowest.push(of_round);
    }
    ensure!(!slowest.is_empty(), "there was no round");
    let title = "the slowest answer about the health of a plugin whose event loop is blocked";
    Ok(Metric::time_of("crowd.health", title, &slowest).by_worst_round())
}

/// Asks again and again until something has ended. Gives its result and the slowest answer.
async fn watch<T>(act: impl Future<Output = T>, caller: &mut Caller) -> anyhow::Result<(T, Duration)> {
    let ended = Cell::new(false);
    let act = async {
        let result = act.await;
        ended.set(true);
        result
    };
    let watch = async {
        let mut slowest = Duration::ZERO;
        while !ended.get() {
            slowest = slowest.max(asked(caller).await?);
        }
        anyhow::Ok(slowest)
    };
    let (result, slowest) = join(act, watch).await;
    Ok((result, slowest?))
}

async fn asked(caller: &mut Caller) -> anyhow::Result<Duration> {
    let start = Instant::now();
    caller.call().await?;
    Ok(start.elapsed())
}
