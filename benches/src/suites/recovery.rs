//! What comes back after `kill -9`, and how soon. Of a worker: until its organization's next call is answered, beside
//! the start of a Node process that does nothing. Of the host: until nothing of it is left, and from its next launch
//! until a call is answered, beside the same after it was ended in order.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hayloft_sandbox::Tier;
use hayloft_testkit::process::Process;
use hayloft_testkit::{Organization, TestServer};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::start::start_nothing;
use crate::ground::Ground;
use crate::metric::Metric;
use crate::options::Options;
use crate::programs::{HELLO_PLUGIN, hello_tool, organizations, serve_examples};

/// How long a plugin may be away.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let rounds = options.rounds();
    let mut server = serve_examples(options).await;
    // One for each kill: whose plugin crashes again soon has to wait, and that is not what is measured.
    let organizations = organizations(&server, rounds + 1, &[HELLO_PLUGIN.to_owned()]).await?;
    let mut metrics = workers(options, &server, &organizations).await?;
    metrics.extend(hosts(rounds, &mut server, &organizations[0]).await?);
    Ok(metrics)
}

async fn workers(
    options: &Options,
    server: &TestServer,
    organizations: &[Organization],
) -> anyhow::Result<Vec<Metric>> {
    let unjailed = Ground::start(options, Tier::Off)?;
    let empty = unjailed.jail(&hello_tool().root).await?;
    let (mut recovered, mut nothing, mut lost) = (Vec::new(), Vec::new(), 0);
    for (round, organization) in organizations.iter().enumerate() {
        answered(organization).await?;
        let worker = worker_of(server, organization).await?;
        let start = Instant::now();
        worker.signal(Signal::KILL);
        let failed = answered(organization).await?;
        let took = start.elapsed();
        let floor = start_nothing(&unjailed, &empty).await?;
        // The first one only warms up.
        if round > 0 {
            lost += failed;
            recovered.push(took);
            nothing.push(floor);
        }
    }
    empty.end().await?;
    Ok(vec![
        Metric::ratio_of(
            "recovery.worker",
            "worker killed, until its organization's next answer ÷ `node -e 0`",
            &recovered,
            &nothing,
        ),
        Metric::count("recovery.refused", "calls meanwhile that were told of the crash", lost),
    ])
}

async fn hosts(
    rounds: usize,
    server: &mut TestServer,
    organization: &Organization,
) -> anyhow::Result<Vec<Metric>> {
    let (mut gone, mut killed, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        answered(organization).await?;
        let start = Instant::now();
        server.kill_9().await;
        server.assert_nothing_left().await;
        let cleared = start.elapsed();
        let after_kill = back(server, organization).await?;
        server.terminate().await;
        let after_end = back(server, organization).await?;
        if round > 0 {
            gone.push(cleared);
            killed.push(after_kill);
            ended.push(after_end);
        }
    }
    Ok(vec![
        Metric::time_of("recovery.orphans", "host killed, until no process of its workers is left", &gone),
        Metric::ratio_of(
            "recovery.host",
            "launch until the first answer: after a kill ÷ after an end in order",
            &killed,
            &ended,
        ),
    ])
}

/// From the launch until a call is answered.
async fn back(server: &mut TestServer, organization: &Organization) -> anyhow::Result<Duration> {
    let start = Instant::now();
    server.restart().await;
    let failed = answered(organization).await?;
    ensure!(failed == 0, "{failed} calls failed after the launch");
    Ok(start.elapsed())
}

/// Calls until there is an answer; gives how many calls had none.
async fn answered(organization: &Organization) -> anyhow::Result<usize> {
    let start = Instant::now();
    let mut failed = 0;
    loop {
        let answer = organization.call_tool("hello_tool__hello", json!({ "name": "Ada" })).await;
        if answer.status == 200 {
            return Ok(failed);
        }
        failed += 1;
        ensure!(start.elapsed() < PATIENCE, "it stays away: {}", answer.text());
    }
}

/// The process of an organization's worker.
async fn worker_of(server: &TestServer, organization: &Organization) -> anyhow::Result<Process> {
    let listed = server.admin().get("/v1/workers").await.expect(200).json();
    let own = |worker: &&Value| worker["org"] == organization.id.as_str();
    let worker = listed["workers"].as_array().and_then(|workers| workers.iter().find(own));
    let pid = worker.and_then(|worker| worker["pid"].as_u64()).context("a worker that runs")?;
    Process::find(u32::try_from(pid)?).context("the worker's process")
}
