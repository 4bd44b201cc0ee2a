//! Whoever calls or restarts a plugin as often as it can gets one worker for it, and no more starts than its share; other
//! organizations get theirs meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::harness::{HOSTILE, Setup, Verdicts, World};

in_every_setup!(a_thousand_calls_start_one_worker, a_storm_of_restarts_is_paced);

/// What an organization may start at once in these tests, and in a second after that.
const BURST: f64 = 2.0;
const RATE: f64 = 1.0;

async fn a_thousand_calls_start_one_worker(setup: Setup) {
    let mut world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    // After that no plugin runs.
    world.server.restart().await;
    let identity = "return String(performance.timeOrigin)";
    let (answers, neighbour) = futures::join!(
        join_all((0..1000).map(|_| world.try_run(&world.attacker, "hostile__run", identity, Value::Null))),
        world.try_run(&world.victim, "hostile__run", identity, Value::Null),
    );
    verdicts.check(neighbour.status == 200, || format!("the neighbour: {}", neighbour.text()));
    let mut workers = BTreeSet::new();
    for answer in &answers {
        match answer.status.as_u16() {
            200 => drop(workers.insert(answer.json()["content"][0]["text"].to_string())),
            // More may not wait, and it is told when to come again.
            503 => {
                let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
                verdicts.check(seconds >= Some(1), || format!("come again when? {}", answer.text()));
                verdicts.check(answer.json()["reason"] == "overloaded", || answer.text());
            }
            other => verdicts.check(false, || format!("{other}: {}", answer.text())),
        }
    }
    verdicts.check(workers.len() == 1, || format!("answered by {workers:?}"));
    let running = world.server.admin().get("/v1/workers").await.json();
    let own = |worker: &&Value| worker["org"] == world.attacker.id.as_str();
    let running = running["workers"].as_array().unwrap().iter().filter(own).count();
    verdicts.check(running == 1, || format!("{running} workers run"));
    verdicts.done();
    world.end().await;
}

async fn a_storm_of_restarts_is_paced(setup: Setup) {
    let world = World::start_with(setup, |builder| {
        builder
            .environment("HAYLOFT_LIMITS_START_RATE", &RATE.to_string())
            .environment("HAYLOFT_LIMITS_START_BURST", &BURST.to_string())
    })
    .await;
    let mut verdicts = Verdicts::new(setup);
    let restart = format!("plugins/{HOSTILE}/restart");
    let begun = Instant::now();
    let storm = async {
        let mut restarts = 0.0;
        while begun.elapsed() < Duration::from_secs(8) {
            world.try_run(&world.attacker, "hostile__run", "process.exit(1)", Value::Null).await;
            let answer = world.attacker.post(&restart, &json!({})).await.expect(200).json();
            if answer["state"] == "ready" {
                restarts += 1.0;
            }
        }
        restarts
    };
    // The other one restarts its own as often as it may at once, and each time it serves.
    let neighbour = async {
        for _ in 0..3 {
            let answer = world.victim.post(&restart, &json!({})).await.expect(200).json();
            assert_eq!(answer["state"], "ready", "{answer:#}");
            world.victim_works().await;
        }
    };
    let (restarts, ()) = futures::join!(storm, neighbour);
    let allowed = BURST + RATE * begun.elapsed().as_secs_f64() + 1.0;
    verdicts.check(restarts > 0.0, || String::from("nothing was started at all"));
    verdicts.check(restarts <= allowed, || format!("{restarts} starts, and {allowed} were allowed"));
    verdicts.done();
    world.end().await;
}
