//! Whoever calls or restarts a plugin as often as it can gets one worker for it, and no more starts than its share; other
//! organizations get theirs meanwhile.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use hayloft_testkit::PluginFolder;
use serde_json::{Value, json};

use crate::harness::{HOSTILE, PATIENCE, Setup, Verdicts, World, until};

in_every_setup!(a_thousand_calls_start_one_worker, a_storm_of_restarts_is_paced);

/// What an organization may start at once in these tests, and in a second after that.
const BURST: f64 = 2.0;
const RATE: f64 = 1.0;

/// So often the neighbour of a storm starts its plugin anew, and so long that may take.
const RESTARTS: usize = 5;
const BOUND: Duration = Duration::from_secs(8);

/// Code that waits until a file is there.
fn waits_for(file: &Path) -> String {
    let code = "const { existsSync, watch } = await import('node:fs');
      await new Promise((resolve) => {
        const look = () => existsSync('FOLDER/gate') && (watcher.close(), resolve());
        const watcher = watch('FOLDER', look);
        look();
      });";
    code.replace("FOLDER", file.parent().unwrap().to_str().unwrap())
}

async fn a_thousand_calls_start_one_worker(setup: Setup) {
    let gates = PluginFolder::new();
    let gate = gates.path().join("gate");
    let open = || fs::write(&gate, "").unwrap();
    let mut world = World::start_with(setup, |builder| {
        builder.environment("HAYLOFT_JAIL_PATHS", gates.path().to_str().unwrap())
    })
    .await;
    let mut verdicts = Verdicts::new(setup);
    open();
    world.attacker.enable(HOSTILE, json!({ "onStart": waits_for(&gate) })).await;
    // After that no plugin runs. It starts when more calls have come than may wait for that, or all could.
    world.server.restart().await;
    fs::remove_file(&gate).unwrap();
    let identity = "return String(performance.timeOrigin)";
    let call = async || {
        let answer = world.try_run(&world.attacker, "hostile__run", identity, Value::Null).await;
        open();
        answer
    };
    let (answers, neighbour) = futures::join!(
        join_all((0..1000).map(|_| call())),
        world.try_run(&world.victim, "hostile__run", identity, Value::Null),
    );
    verdicts.check(neighbour.status == 200, || format!("the neighbour: {}", neighbour.text()));
    let mut workers = BTreeSet::new();
    let mut refused = 0;
    for answer in &answers {
        match answer.status.as_u16() {
            200 => drop(workers.insert(answer.json()["content"][0]["text"].to_string())),
            // More may not wait, and it is told when to come again.
            503 => {
                refused += 1;
                let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
                verdicts.check(seconds >= Some(1), || format!("come again when? {}", answer.text()));
                verdicts.check(answer.json()["reason"] == "overloaded", || answer.text());
                let kind = answer.header("content-type");
                verdicts.check(kind == Some("application/problem+json"), || format!("refused as {kind:?}"));
            }
            other => verdicts.check(false, || format!("{other}: {}", answer.text())),
        }
    }
    verdicts.check(refused > 0, || String::from("all of them could wait"));
    verdicts.check(workers.len() == 1, || format!("answered by {workers:?}"));
    let running = world.server.admin().get("/v1/workers").await.json();
    let own = |worker: &&Value| worker["org"] == world.attacker.id.as_str();
    let running = running["workers"].as_array().unwrap().iter().filter(own).count();
    verdicts.check(running == 1, || format!("{running} workers run"));
    verdicts.done();
    world.end().await;
}

/// The ids of the workers that are ready for whoever comes next.
async fn ready(world: &World) -> BTreeSet<String> {
    let listed = world.server.admin().get("/v1/workers").await.expect(200).json();
    let warm = listed["workers"].as_array().unwrap().iter().filter(|worker| worker["workerState"] == "warm");
    warm.map(|worker| worker["workerId"].as_str().unwrap().to_owned()).collect()
}

async fn a_storm_of_restarts_is_paced(setup: Setup) {
    let world = World::start_with(setup, |builder| {
        builder
            .warm_pool("512MiB")
            .environment("HAYLOFT_LIMITS_START_RATE", &RATE.to_string())
            .environment("HAYLOFT_LIMITS_START_BURST", &BURST.to_string())
    })
    .await;
    let mut verdicts = Verdicts::new(setup);
    // One for each of the two: the storm must not take the other one's as well.
    let mut warm = BTreeSet::new();
    until("workers that are ready", PATIENCE, async || {
        warm = ready(&world).await;
        warm.len() >= 2
    })
    .await;
    let restart = format!("plugins/{HOSTILE}/restart");
    let (begun, is_over) = (Instant::now(), Cell::new(false));
    let storm = async {
        let mut restarts = 0.0;
        while !is_over.get() {
            world.try_run(&world.attacker, "hostile__run", "process.exit(1)", Value::Null).await;
            let answer = world.attacker.post(&restart, &json!({})).await.expect(200).json();
            if answer["state"] == "ready" {
                restarts += 1.0;
            }
        }
        restarts
    };
    // The other one restarts its own as often as it may, and each time it serves.
    let neighbour = async {
        let mut served = Vec::new();
        for _ in 0..RESTARTS {
            warm.extend(ready(&world).await);
            let answer = world.victim.post(&restart, &json!({})).await.expect(200).json();
            assert_eq!(answer["state"], "ready", "{answer:#}");
            served.push(world.worker(&world.victim).await["workerId"].as_str().unwrap().to_owned());
            world.victim_works().await;
        }
        (served, warm)
    };
    let neighbour = async {
        let served = tokio::time::timeout(BOUND, neighbour).await;
        is_over.set(true);
        served
    };
    let (restarts, served) = futures::join!(storm, neighbour);
    let allowed = BURST + RATE * begun.elapsed().as_secs_f64() + 1.0;
    match served {
        Ok((served, warm)) => verdicts.check(served.iter().any(|worker| warm.contains(worker)), || {
            format!("the neighbour got none of the workers that were ready: {served:?}, and {warm:?} were")
        }),
        Err(_) => verdicts.check(false, || format!("the neighbour was not served within {BOUND:?}")),
    }
    verdicts.check(restarts > 0.0, || String::from("nothing was started at all"));
    verdicts.check(restarts <= allowed, || format!("{restarts} starts, and {allowed} were allowed"));
    verdicts.done();
    world.end().await;
}
