//! What a jail costs: the same worker in jails of each tier and without one, started, called and weighed in turn.
//! Two of the grounds are without a jail, so that the noise of the machine is seen as a difference of equals.
//!
//! Calls are measured with caller and worker on one core, and on two. Left alone, the scheduler moves them together and
//! apart, and a call takes 20 µs or 70 by that, in a jail or not.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hayloft_sandbox::Tier;

use super::start::start_worker;
use crate::cores::{self, Cores};
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
    called: Called,
    /// Every start until it was ready.
    starts: Vec<Duration>,
    /// The memory of the worker and, where there is a jail, of its first process.
    memory: Vec<f64>,
}

/// Calls to one worker.
#[derive(Default)]
struct Called {
    /// Caller and worker share a core.
    together: Vec<Duration>,
    /// Each has its own. Empty where there is only one.
    apart: Vec<Duration>,
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
    let cores = Cores::usable()?;
    let (core, other) = cores.two();
    let own = std::process::id();
    cores::keep(own, core)?;
    for turn in 0..options.rounds() {
        for place in rotated(grounds.len(), turn) {
            let (worker, called) = (&mut workers[place], &mut measured[place].called);
            let pid = worker.pid().context("the worker ended")?;
            cores::keep(pid, core)?;
            called.together.push(call(worker, options.calls(1_000)).await?);
            if let Some(other) = other {
                cores::keep(pid, other)?;
                called.apart.push(call(worker, options.calls(1_000)).await?);
            }
        }
        for (place, worker) in workers.iter().enumerate() {
            measured[place].memory.push(memory_of(worker, TIERS[place])?);
        }
    }
    cores.release(own)?;
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
    let last = |place: usize| quantile(&measured[place].starts, 0.99);
    let mut metrics = vec![
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
    ];
    metrics.extend(calls_on(&TOGETHER, measured, |called| &called.together));
    if !off.called.apart.is_empty() {
        metrics.extend(calls_on(&APART, measured, |called| &called.apart));
    }
    metrics
}

/// Names and titles of what calls give.
struct Names {
    jailed: [(&'static str, &'static str); 3],
    equals: (&'static str, &'static str),
    beyond: (&'static str, &'static str),
}

const TOGETHER: Names = Names {
    jailed: [
        ("jail.call", "tool call, caller and worker on one core: jailed ÷ unjailed, strongest tier"),
        ("jail.call-b", "the same, tier B"),
        ("jail.call-c", "the same, tier C"),
    ],
    equals: ("jail.call-equals", "the same, unjailed ÷ unjailed (the noise)"),
    beyond: ("jail.call-beyond-noise", "strongest tier ÷ the widest ratio of two that are equal"),
};

const APART: Names = Names {
    jailed: [
        ("jail.call-apart", "tool call, caller and worker on two cores: jailed ÷ unjailed, strongest tier"),
        ("jail.call-apart-b", "the same, tier B"),
        ("jail.call-apart-c", "the same, tier C"),
    ],
    equals: ("jail.call-apart-equals", "the same, unjailed ÷ unjailed (the noise)"),
    beyond: ("jail.call-apart-beyond-noise", "strongest tier ÷ the widest ratio of two that are equal"),
};

fn calls_on(names: &Names, measured: &[Measured], of: fn(&Called) -> &Vec<Duration>) -> Vec<Metric> {
    let called = |(name, title), place: usize| {
        Metric::ratio_of(name, title, of(&measured[place].called), of(&measured[OFF].called))
    };
    let equals = called(names.equals, OFF_AGAIN);
    let spread = equals.rounds.iter().map(|ratio| ratio.max(ratio.recip())).fold(1.0, f64::max);
    let mut metrics: Vec<_> =
        names.jailed.into_iter().zip([STRONGEST, B, C]).map(|(name, place)| called(name, place)).collect();
    let beyond = Metric::share(names.beyond.0, names.beyond.1, metrics[0].value / spread);
    metrics.extend([equals, beyond]);
    metrics
}
