//! Ten thousand starts and stops of a plugin: the host's memory and descriptors stay where they were, and no process
//! outlives its worker. Takes many minutes, and is run only when it is asked for.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::try_join_all;
use hayloft_sandbox::Tier;
use hayloft_testkit::{Organization, TestServer, workspace};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::start::start_nothing;
use crate::ground::Ground;
use crate::load::quantile;
use crate::memory::{descriptors_of, kib_at_rest};
use crate::metric::{Metric, Unit};
use crate::options::Options;
use crate::programs::{HELLO_PLUGIN, hello_tool};

/// Organizations that take turns at once.
const AT_ONCE: usize = 4;

/// So many parts have the cycles. After half of them the host has what it needs; what comes on top is growth.
const PARTS: usize = 10;

/// How long processes may take to be gone once their plugins were switched off.
const FALL: Duration = Duration::from_secs(30);
const PULSE: Duration = Duration::from_millis(20);

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let cycles = options.count(10_000, 80);
    let unjailed = Ground::start(options, Tier::Off)?;
    let empty = unjailed.jail(&hello_tool().root).await?;
    let mut server = TestServer::builder()
        .binary(&options.hayloft)
        .plugins(workspace::example_plugins())
        // Here a few organizations start as much as thousands would.
        .environment("HAYLOFT_LIMITS_START_RATE", "100000")
        .environment("HAYLOFT_LIMITS_START_BURST", "100000")
        .start()
        .await;
    let mut organizations = Vec::new();
    for number in 0..AT_ONCE {
        organizations.push(server.organization(&format!("organization {number}")).await);
    }
    let part = cycles.div_ceil(PARTS);
    let [mut times, mut nothing] = [const { Vec::new() }; 2];
    let [mut half, mut last] = [(0.0, 0.0); 2];
    for number in 1..=PARTS {
        let took = try_join_all(organizations.iter().map(|own| turn(own, part / AT_ONCE))).await?;
        let orphans = left(&server).await;
        ensure!(orphans == 0, "{orphans} processes outlived their workers");
        let mut took: Vec<_> = took.into_iter().flatten().collect();
        took.sort_unstable();
        times.push(quantile(&took, 0.5));
        nothing.push(start_nothing(&unjailed, &empty).await?);
        last = (kib_at_rest(&[server.pid()]).await?, descriptors_of(server.pid())?);
        if number == PARTS / 2 {
            half = last;
        }
    }
    empty.end().await?;
    server.terminate().await;
    Ok(vec![
        Metric::count(
            "cycles.done",
            "starts and stops, after none of which a process was left",
            PARTS * (part / AT_ONCE) * AT_ONCE,
        ),
        Metric::ratio_of(
            "cycles.time",
            "switched on, called and switched off, 4 at once ÷ `node -e 0`",
            &times,
            &nothing,
        ),
        Metric::memory_of(
            "cycles.memory",
            "memory of the host after all of them − after half of them",
            &[last.0],
            &[half.0],
        ),
        Metric::plain(
            "cycles.descriptors",
            "descriptors of the host that came on top",
            Unit::Count,
            &[last.1 - half.1],
        ),
    ])
}

/// Switches the plugin on, calls it, and switches it off, so many times. Gives what each took.
async fn turn(organization: &Organization, cycles: usize) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(cycles);
    for _ in 0..cycles {
        let start = Instant::now();
        let detail = organization.enable(HELLO_PLUGIN, json!({})).await;
        ensure!(detail["state"] == "ready", "it did not start: {detail:#}");
        let answer = organization.call_tool("hello_tool__hello", json!({ "name": "Ada" })).await;
        ensure!(answer.status == 200, "it did not answer: {}", answer.text());
        let path = format!("plugins/{HELLO_PLUGIN}");
        let answer = organization.put(&path, &json!({ "enabled": false })).await;
        ensure!(answer.status == 200, "it did not stop: {}", answer.text());
        times.push(start.elapsed());
    }
    Ok(times)
}

/// How many processes are left once there was time for them to end.
async fn left(server: &TestServer) -> usize {
    let gone = async {
        while !server.processes().is_empty() {
            sleep(PULSE).await;
        }
    };
    // Whether that came true is seen by looking once more.
    let _ = timeout(FALL, gone).await;
    server.processes().len()
}
