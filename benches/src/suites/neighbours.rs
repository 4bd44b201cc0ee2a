//! What an organization feels of a hostile plugin of another one: its tool calls and the health check, quiet and under
//! each attack on a resource, in turn.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::callers::{Caller, Target};
use crate::cpu;
use crate::load::quantile;
use crate::metric::Metric;
use crate::options::Options;
use crate::programs::{HELLO_PLUGIN, HELLO_THROUGH_HAYLOFT, HOSTILE_PLUGIN, Hayloft};

/// How the plugin attacks: by its own name for it, with the figures' names and titles.
struct Attack {
    kind: &'static str,
    /// The processor time that shows that it took place.
    force: Duration,
    slowest: (&'static str, &'static str),
    median: (&'static str, &'static str),
}

macro_rules! attack {
    ($kind:literal, $force:ident, $what:literal) => {
        Attack {
            kind: $kind,
            force: $force,
            slowest: (
                concat!("neighbours.", $kind),
                concat!("a neighbour's tool call, 99th percentile: under ", $what, " ÷ quiet"),
            ),
            median: (concat!("neighbours.", $kind, "-p50"), "the same, median"),
        }
    };
}

const ATTACKS: [Attack; 11] = [
    // How far two quiet moments differ.
    attack!("nothing", NOTHING, "no attack"),
    attack!("processor", COMPUTES, "64 processes that compute"),
    attack!("memory", COMPUTES, "processes that take all memory"),
    attack!("processes", COMPUTES, "a fork bomb"),
    attack!("logs", WAITS, "a flood of log lines"),
    attack!("descriptors", COMPUTES, "exhausted descriptors"),
    attack!("connections", WAITS, "900 connections to the gate"),
    attack!("event-loop", COMPUTES, "a blocked event loop"),
    attack!("channel", WAITS, "a flood of notifications"),
    attack!("tool-lists", WAITS, "a flood of changed tool lists"),
    attack!("temporary", COMPUTES, "a full temporary folder"),
];

/// How long the neighbour is watched in each state.
const WATCH: Duration = Duration::from_millis(1_500);
/// How long an attack may take until it is in full swing.
const RISE: Duration = Duration::from_millis(1_000);
/// A worker that only starts takes more than this.
const NOTHING: Duration = Duration::ZERO;
/// What an attack takes of the processor at least, in its first second or until its end.
const COMPUTES: Duration = Duration::from_millis(300);
/// The same for a flood, which can only be as fast as the host lets it.
const WAITS: Duration = Duration::from_millis(60);
/// Between two health checks.
const PULSE: Duration = Duration::from_millis(10);
/// How long the processes of an attack may outlive it.
const FALL: Duration = Duration::from_secs(30);

/// What the neighbour felt for a while.
struct Felt {
    median: Duration,
    slowest: Duration,
    health: Duration,
}

/// The neighbour, with a connection for each of the two things that it does.
struct Neighbour {
    calls: Caller,
    health: Caller,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let hayloft = Hayloft::start(options).await?;
    hayloft.enable(HELLO_PLUGIN).await;
    let health = Target::Route {
        address: hayloft.address,
        method: Method::GET,
        path: "/health".to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
    };
    let mut neighbour = Neighbour {
        calls: hayloft.mcp("the neighbour", HELLO_THROUGH_HAYLOFT).target.connect().await?,
        health: health.connect().await?,
    };
    neighbour.feel(WATCH).await?;
    let known: Vec<_> = ATTACKS.iter().map(|attack| attack.kind).collect();
    for wanted in &options.attacks {
        ensure!(known.contains(&wanted.as_str()), "`{wanted}` is no attack; there are {known:?}");
    }
    let wanted = |attack: &Attack| {
        options.attacks.is_empty() || options.attacks.iter().any(|name| name == attack.kind)
    };
    let rounds = options.rounds().div_ceil(2);
    let mut metrics = Vec::new();
    let mut health = (vec![Duration::ZERO; rounds], vec![Duration::ZERO; rounds]);
    for attack in ATTACKS.into_iter().filter(wanted) {
        let (mut quiet, mut under) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let calm = neighbour.feel(WATCH).await?;
            let harm = felt_under(&hayloft, &attack, round, &mut neighbour)
                .await
                .with_context(|| format!("the neighbour was hit by the attack `{}`", attack.kind))?;
            health.0[round] = health.0[round].max(harm.health);
            health.1[round] = health.1[round].max(calm.health);
            quiet.push(calm);
            under.push(harm);
        }
        let side = |felt: &[Felt], of: fn(&Felt) -> Duration| felt.iter().map(of).collect::<Vec<_>>();
        for ((name, title), of) in [
            (attack.slowest, (|felt| felt.slowest) as fn(&Felt) -> Duration),
            (attack.median, |felt| felt.median),
        ] {
            metrics.push(Metric::ratio_of(name, title, &side(&under, of), &side(&quiet, of)));
        }
    }
    metrics.push(Metric::time_of(
        "neighbours.health",
        "the slowest answer of the health check under any attack",
        &health.0,
    ));
    metrics.push(Metric::time_of("neighbours.health-quiet", "the same, quiet", &health.1));
    Ok(metrics)
}

/// What the neighbour feels of an attack. Nothing of it is left when this returns.
async fn felt_under(
    hayloft: &Hayloft,
    attack: &Attack,
    round: usize,
    neighbour: &mut Neighbour,
) -> anyhow::Result<Felt> {
    let before = hayloft.server.processes();
    // A new organization each time: whose plugin crashes often has to wait longer and longer.
    let attacker = hayloft.server.organization(&format!("{} {round}", attack.kind)).await;
    attacker.enable(HOSTILE_PLUGIN, json!({})).await;
    let end = Instant::now() + RISE + WATCH;
    let assault = async {
        loop {
            let left = end.saturating_duration_since(Instant::now()).as_millis();
            let arguments = json!({ "kind": attack.kind, "milliseconds": left });
            // It may fail as it likes; then it tries again.
            attacker.call_tool("hostile__attack", arguments).await;
            sleep(PULSE).await;
        }
    };
    let force = || {
        let own = hayloft.server.processes().into_iter().filter(|process| !before.contains(process));
        own.map(|process| cpu::time_with_children(process.pid)).sum::<Duration>()
    };
    let felt = async {
        sleep(RISE).await;
        let early = force();
        let felt = neighbour.feel(WATCH).await?;
        anyhow::Ok((felt, early.max(force())))
    };
    let (felt, force) = tokio::select! {
        felt = felt => felt?,
        never = assault => never,
    };
    ensure!(force > attack.force, "there was no attack: it took {force:?} of the processor");
    // A call that came after a crash may have started it once more.
    attacker.put(&format!("plugins/{HOSTILE_PLUGIN}"), &json!({ "enabled": false })).await;
    let gone = async {
        while hayloft.server.processes().iter().any(|process| !before.contains(process)) {
            sleep(PULSE).await;
        }
    };
    ensure!(timeout(FALL, gone).await.is_ok(), "its processes outlived it by {FALL:?}");
    Ok(felt)
}

impl Neighbour {
    /// Calls its tool and asks for the health for a while. Every answer must be right.
    async fn feel(&mut self, duration: Duration) -> anyhow::Result<Felt> {
        let end = Instant::now() + duration;
        let latencies = RefCell::new(Vec::new());
        let Self { calls, health } = self;
        calls.reopen().await?;
        health.reopen().await?;
        let calling = async {
            while Instant::now() < end {
                let start = Instant::now();
                calls.call().await?;
                latencies.borrow_mut().push(start.elapsed());
            }
            anyhow::Ok(())
        };
        let asking = async {
            let mut slowest = Duration::ZERO;
            while Instant::now() < end {
                let start = Instant::now();
                health.call().await?;
                slowest = slowest.max(start.elapsed());
                sleep(PULSE).await;
            }
            anyhow::Ok(slowest)
        };
        let ((), health) = tokio::try_join!(calling, asking)?;
        let mut latencies = latencies.into_inner();
        ensure!(!latencies.is_empty(), "not one call was answered");
        latencies.sort_unstable();
        Ok(Felt { median: quantile(&latencies, 0.5), slowest: quantile(&latencies, 0.99), health })
    }
}
