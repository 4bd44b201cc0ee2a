//! Starts of jailed workers, beside a Node process of the same version that does nothing: workers alone, and behind
//! Hayloft as the first call to a plugin that is stopped.

use std::time::{Duration, Instant};

use hayloft_sandbox::{Jail, Tier};
use serde_json::json;

use crate::callers::Target;
use crate::callers::mcp::USUAL_REVISION;
use crate::direct_worker::{DirectWorker, Plugin};
use crate::ground::Ground;
use crate::load::quantile;
use crate::metric::Metric;
use crate::options::Options;
use crate::programs::{HELLO, HELLO_PLUGIN, HELLO_THROUGH_HAYLOFT, Hayloft, hello_tool};

/// Starts of each kind in a round. Nine rounds have more than a hundred, so that their 99th percentile is not the slowest.
const STARTS: usize = 12;

/// One round's starts of each kind, sorted.
#[derive(Default)]
struct Round {
    nothing: Vec<Duration>,
    ready: Vec<Duration>,
    answered: Vec<Duration>,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let strongest = Ground::start(options, Tier::A)?;
    let unjailed = Ground::start(options, Tier::Off)?;
    let plugin = hello_tool();
    strongest.compile(&plugin).await?;
    // Nothing but Node itself is in its times: what it starts in is there already.
    let empty = unjailed.jail(&plugin.root).await?;
    // Files are read from the disk once.
    for _ in 0..3 {
        start_worker(&strongest, &plugin).await?;
        start_nothing(&unjailed, &empty).await?;
    }
    let mut rounds = Vec::new();
    for _ in 0..options.rounds() {
        let mut round = Round::default();
        for _ in 0..STARTS {
            round.nothing.push(start_nothing(&unjailed, &empty).await?);
            let (ready, answered) = start_worker(&strongest, &plugin).await?;
            round.ready.push(ready);
            round.answered.push(answered);
        }
        round.nothing.sort_unstable();
        round.ready.sort_unstable();
        round.answered.sort_unstable();
        rounds.push(round);
    }
    let each = |kind: fn(&Round) -> &Vec<Duration>| {
        rounds.iter().map(|round| quantile(kind(round), 0.5)).collect::<Vec<_>>()
    };
    let nothing = each(|round| &round.nothing);
    let mut metrics = vec![
        Metric::ratio_of(
            "start.ready",
            "jailed worker start, until it has loaded its plugin ÷ `node -e 0`",
            &each(|round| &round.ready),
            &nothing,
        ),
        Metric::ratio_of(
            "start.answer",
            "jailed worker start, until its first tool call is answered ÷ `node -e 0`",
            &each(|round| &round.answered),
            &nothing,
        ),
        Metric::ratio_of(
            "start.answer-p99",
            "the same, 99th percentile of all starts ÷ that of `node -e 0`",
            &[tail(&rounds, |round| &round.answered)],
            &[tail(&rounds, |round| &round.nothing)],
        ),
    ];
    metrics.push(first_calls(options, &unjailed, &empty).await?);
    empty.end().await?;
    Ok(metrics)
}

/// The 99th percentile of the starts of a kind in all rounds together. A median of each round's slowest would leave out
/// what happens in fewer than half of the rounds.
fn tail(rounds: &[Round], kind: fn(&Round) -> &Vec<Duration>) -> Duration {
    let mut all: Vec<_> = rounds.iter().flat_map(kind).copied().collect();
    all.sort_unstable();
    quantile(&all, 0.99)
}

/// The first tool call to a plugin that is stopped, in one organization after the other. After Hayloft itself was
/// started again no plugin runs.
async fn first_calls(options: &Options, unjailed: &Ground, empty: &Jail) -> anyhow::Result<Metric> {
    let mut hayloft = Hayloft::start(options).await?;
    let mut organizations = Vec::new();
    for number in 0..STARTS {
        let organization = hayloft.server.organization(&format!("organization {number}")).await;
        organization.enable(HELLO_PLUGIN, json!({})).await;
        organizations.push(organization);
    }
    let (mut first, mut nothing) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds() {
        hayloft.server.restart().await;
        let address = hayloft.server.url().trim_start_matches("http://").parse()?;
        let (mut calls, mut floors) = (Vec::new(), Vec::new());
        for organization in &organizations {
            let target = Target::Mcp {
                address,
                path: "/v1/mcp".to_owned(),
                token: Some(organization.token.clone()),
                revision: USUAL_REVISION,
                tool: HELLO_THROUGH_HAYLOFT,
            };
            let mut caller = target.connect().await?;
            let start = Instant::now();
            caller.call().await?;
            calls.push(start.elapsed());
            floors.push(start_nothing(unjailed, empty).await?);
        }
        calls.sort_unstable();
        floors.sort_unstable();
        first.push(quantile(&calls, 0.5));
        nothing.push(quantile(&floors, 0.5));
    }
    Ok(Metric::ratio_of(
        "start.first-call",
        "first tool call to a stopped plugin through Hayloft ÷ `node -e 0`",
        &first,
        &nothing,
    ))
}

/// A worker of the smallest plugin: the time until it is ready, and until its first tool call is answered.
pub(super) async fn start_worker(ground: &Ground, plugin: &Plugin) -> anyhow::Result<(Duration, Duration)> {
    let start = Instant::now();
    let mut worker = DirectWorker::start(ground, plugin).await?;
    let ready = start.elapsed();
    worker.bind().await?;
    worker.call(&HELLO).await?;
    let answered = start.elapsed();
    worker.stop().await?;
    Ok((ready, answered))
}

/// `node -e 0`, from its start to its end.
pub(super) async fn start_nothing(ground: &Ground, empty: &Jail) -> anyhow::Result<Duration> {
    let start = Instant::now();
    ground.nothing(empty).await?.wait().await;
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slow_in_a_few_rounds_is_in_the_tail() {
        let round = |slowest| Round {
            answered: [40; STARTS - 1].into_iter().chain([slowest]).map(Duration::from_millis).collect(),
            ..Round::default()
        };
        let rounds: Vec<_> = [40, 40, 40, 40, 40, 40, 40, 600, 620].map(round).into();
        assert_eq!(tail(&rounds, |round| &round.answered), Duration::from_millis(600));
    }
}
