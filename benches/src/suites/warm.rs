//! The first tool call to a plugin that is stopped, where a worker is ready before it is known for whom, beside a Node
//! process of the same version that does nothing.

use std::time::{Duration, Instant};

use anyhow::ensure;
use hayloft_sandbox::Tier;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::start::start_nothing;
use crate::direct_worker::Plugin;
use crate::ground::Ground;
use crate::load::quantile;
use crate::metric::Metric;
use crate::options::Options;
use crate::programs::{HELLO_PLUGIN, HELLO_THROUGH_HAYLOFT, Hayloft, hello_tool, tool_of};

/// First calls in a round, each in another organization.
const CALLS: usize = 10;

/// How long one waits for a worker to be ready, and how often one looks.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let unjailed = Ground::start(options, Tier::Off)?;
    let Plugin { root, .. } = hello_tool();
    let empty = unjailed.jail(&root).await?;
    let mut hayloft = Hayloft::start_with(options, |server| server.warm_pool("512MiB")).await?;
    let mut organizations = Vec::new();
    // One more starts the plugin first: what nobody has needed lately is not made ready.
    for number in 0..=CALLS {
        let organization = hayloft.server.organization(&format!("organization {number}")).await;
        organization.enable(HELLO_PLUGIN, json!({})).await;
        organizations.push(organization);
    }
    let (mut first, mut slowest, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds() {
        // After that no plugin runs.
        hayloft.server.restart().await;
        let (mut calls, mut floors) = (Vec::new(), Vec::new());
        for (number, organization) in organizations.iter().enumerate() {
            if number > 0 {
                ready(&hayloft).await?;
            }
            let target = tool_of(&hayloft.server, organization, HELLO_THROUGH_HAYLOFT)?;
            let mut caller = target.connect().await?;
            let start = Instant::now();
            caller.call().await?;
            if number > 0 {
                calls.push(start.elapsed());
                floors.push(start_nothing(&unjailed, &empty).await?);
            }
        }
        calls.sort_unstable();
        floors.sort_unstable();
        first.push(quantile(&calls, 0.5));
        slowest.push(quantile(&calls, 1.0));
        nothing.push(quantile(&floors, 0.5));
    }
    empty.end().await?;
    Ok(vec![
        Metric::ratio_of(
            "warm.first-call",
            "first tool call to a stopped plugin, with a worker ready ÷ `node -e 0`",
            &first,
            &nothing,
        ),
        Metric::ratio_of(
            "warm.first-call-slowest",
            "the same, the slowest of ten ÷ `node -e 0`",
            &slowest,
            &nothing,
        ),
    ])
}

/// Waits until a worker is ready and nothing else is being started. Nothing of this is measured.
async fn ready(hayloft: &Hayloft) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let listed = hayloft.server.admin().get("/v1/workers").await.expect(200).json();
        let workers = listed["workers"].as_array().cloned().unwrap_or_default();
        let in_state = |state: &str| workers.iter().filter(|worker| worker["workerState"] == state).count();
        let unowned = workers.iter().filter(|worker| worker["org"] == Value::Null).count();
        if in_state("warm") > 0 && in_state("warm") == unowned && in_state("starting") == 0 {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "no worker was made ready: {listed:#}");
        sleep(LOOK).await;
    }
}
