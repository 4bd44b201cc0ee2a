//! What a jail costs: the same worker in jails of each tier and without one, started, called and weighed in turn.
//! Two of the grounds are without a jail, so that the noise of the machine is seen as a difference of equals.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hayloft_sandbox::Tier;

use super::start::start_worker;
use crate::direct_worker::{DirectWorker, Plugin};
use crate::ground::Ground;
use crate::load::quantile;
use crate::memory;
use crate::metric::Metric;
use crate::options::Options;
use crate::programs::{HELLO, hello_tool};

/// Where workers run. The first two are equal.
const TIERS: [Tier; 5] = [Tier::Off, Tier::Off, Tier::A, Tier::B, Tier::C];
const OFF: usize = 0;
const OFF_AGAIN: usize = 1;
const STRONGEST: usize = 2;
const B: usize = 3;
const C: usize = 4;

/// Starts on each ground in a round.
const STARTS: usize = 12;

/// What the rounds gave on one ground.
#[derive(Default)]
struct Measured {
    /// Medians of each round.
    ready: Vec<Duration>,
    answered: Vec<Duration>,
    called: Vec<Duration>,
    /// Every start until it was ready.
    starts: Vec<Duration>,
    /// The memory of the worker and, where there is a jail, of its first process.
    memory: Vec<f64>,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let grounds =
        TIERS.iter().map(|tier| Ground::start(options, *tier)).collect::<anyhow::Result<Vec<_>>>()?;
    for (ground, wanted) in grounds.iter().zip(TIERS) {
        if ground.tier() != wanted {
            eprintln!(
                "this machine offers no tier {wanted}: tier {} is measured in its place",
                ground.tier()
            );
        }
    }
    let plugin = hello_tool();
    let mut measured: Vec<_> = grounds.iter().map(|_| Measured::default()).collect();
    starts(options, &grounds, &plugin, &mut measured).await?;
    calls(options, &grounds, &plugin, &mut measured).await?;
    Ok(figures(&measured))
}

async fn starts(
    options: &Options,
    grounds: &[Ground],
    plugin: &Plugin,
    measured: &mut [Measured],
) -> anyhow::Result<()> {
    for ground in grounds {
        // Files are read from the disk once.
        start_worker(ground, plugin).await?;
    }
    for _ in 0..options.rounds() {
        let mut round = vec![(Vec::new(), Vec::new()); grounds.len()];
        for turn in 0..STARTS {
            // Each goes first as often as the others: what one leaves behind must not always meet the same next one.
            for place in rotated(grounds.len(), turn) {
                let (ready, answered) = start_worker(&grounds[place], plugin).await?;
                round[place].0.push(ready);
                round[place].1.push(answered);
            }
        }
        for ((mut ready, mut answered), measured) in round.into_iter().zip(&mut *measured) {
            ready.sort_unstable();
            answered.sort_unstable();
            measured.ready.push(quantile(&ready, 0.5));
            measured.answered.push(quantile(&answered, 0.5));
            measured.starts.extend(ready);
        }
    }
    for measured in measured {
        measured.starts.sort_unstable();
    }
    Ok(())
}

async fn calls(
    options: &Options,
    grounds: &[Ground],
    plugin: &Plugin,
    measured: &mut [Measured],
) -> anyhow::Result<()> {
    let mut workers = Vec::new();
    for ground in grounds {
        let mut worker = DirectWorker::start(ground, plugin).await?;
        worker.bind().await?;
        // Nobody pays for what is only done once.
        call(&mut worker, options.calls(4_000)).await?;
        workers.push(worker);
    }
    for turn in 0..options.rounds() {
        for place in rotated(grounds.len(), turn) {
            measured[place].called.push(call(&mut workers[place], options.calls(1_000)).await?);
        }
        for (place, worker) in workers.iter().enumerate() {
            measured[place].memory.push(memory_of(worker, TIERS[place])?);
        }
    }
    for worker in workers {
        worker.stop().await?;
    }
    Ok(())
}

fn rotated(count: usize, turn: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |place| (place + turn) % count)
}

/// The median of so many calls.
async fn call(worker: &mut DirectWorker, calls: usize) -> anyhow::Result<Duration> {
    let mut latencies = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        worker.call(&HELLO).await?;
        latencies.push(start.elapsed());
    }
    latencies.sort_unstable();
    Ok(quantile(&latencies, 0.5))
}

fn memory_of(worker: &DirectWorker, tier: Tier) -> anyhow::Result<f64> {
    let pid = worker.pid().context("the worker ended")?;
    let first = if tier == Tier::Off { 0 } else { memory::proportional_kib(worker.first_pid())? };
    #[expect(clippy::cast_precision_loss, reason = "less than a terabyte")]
    let kibibytes = (memory::proportional_kib(pid)? + first) as f64;
    Ok(kibibytes)
}

fn figures(measured: &[Measured]) -> Vec<Metric> {
    let off = &measured[OFF];
    let started =
        |name, title, place: usize| Metric::difference_of(name, title, &measured[place].ready, &off.ready);
    let called =
        |name, title, place: usize| Metric::ratio_of(name, title, &measured[place].called, &off.called);
    let last = |place: usize| quantile(&measured[place].starts, 0.99);
    let equals = called("jail.call-equals", "tool call: unjailed ÷ unjailed (the noise)", OFF_AGAIN);
    let jailed = called("jail.call", "tool call: jailed ÷ unjailed, strongest tier", STRONGEST);
    let spread = equals.rounds.iter().map(|ratio| ratio.max(ratio.recip())).fold(1.0, f64::max);
    let beyond = Metric::share(
        "jail.call-beyond-noise",
        "the same ÷ the widest ratio of two that are equal",
        jailed.value / spread,
    );
    vec![
        started("jail.start", "start until ready: jailed − unjailed, strongest tier", STRONGEST),
        started("jail.start-b", "the same, tier B", B),
        started("jail.start-c", "the same, tier C", C),
        started("jail.start-equals", "the same, unjailed − unjailed (the noise)", OFF_AGAIN),
        Metric::difference_of(
            "jail.start-p99",
            "start until ready, 99th percentile: jailed − unjailed, strongest tier",
            &[last(STRONGEST)],
            &[last(OFF)],
        ),
        Metric::difference_of(
            "jail.answer",
            "start until the first answer: jailed − unjailed, strongest tier",
            &measured[STRONGEST].answered,
            &off.answered,
        ),
        jailed,
        called("jail.call-b", "the same, tier B", B),
        called("jail.call-c", "the same, tier C", C),
        equals,
        beyond,
        Metric::memory_of(
            "jail.memory",
            "memory of an idle worker with its jail − without one, strongest tier",
            &measured[STRONGEST].memory,
            &off.memory,
        ),
        Metric::memory_of(
            "jail.memory-equals",
            "the same, unjailed − unjailed (the noise)",
            &measured[OFF_AGAIN].memory,
            &off.memory,
        ),
        Metric::memory_of("jail.memory-c", "the same, tier C", &measured[C].memory, &off.memory),
    ]
}
