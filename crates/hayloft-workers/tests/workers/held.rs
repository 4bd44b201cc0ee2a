//! What crashes too often is held back: everybody learns why, and nobody before that will last.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hayloft_model::InstanceKey;
use hayloft_workers::{CandidateError, HookCall, LaunchRefused, Settings, Unavailable, Worker};

use crate::support::{House, SOON, key};

const PLUGIN: &str = "hay-plugin-test";

/// A house in which so many crashes are too often.
fn house(crashes: usize) -> House {
    House::with(|settings: &mut Settings| settings.crashes.count = NonZeroUsize::new(crashes).unwrap())
}

fn asked(house: &House) -> usize {
    house.source.asked.load(Ordering::SeqCst)
}

fn is_held(error: &Unavailable) -> bool {
    matches!(error, Unavailable::Refused(LaunchRefused::Quarantined { .. }))
}

#[tokio::test]
async fn who_crashes_too_often_is_held_back_until_a_person_comes() {
    let house = house(3);
    let instance = house.plugin("process.exit(7)");
    let neighbour = house.plugin_named("hay-plugin-neighbour", "");
    let crash = async || loop {
        match house.workers.ensure(&instance).await {
            Err(Unavailable::Backoff { retry_after, .. }) => tokio::time::sleep(retry_after).await,
            Err(other) => return other,
            Ok(_) => panic!("it runs"),
        }
    };
    for _ in 0..2 {
        assert!(matches!(crash().await, Unavailable::StartFailed(_)));
    }
    let held = crash().await;
    let Unavailable::Refused(LaunchRefused::Quarantined { reason }) = &held else { panic!("{held}") };
    assert!(reason.starts_with("it failed 3 times within 10 minutes, the last time so: "), "{reason}");
    assert!(reason.ends_with("it ended with exit code 7"), "{reason}");
    house.observer.event("quarantined: it failed 3 times").await;
    // From now on everybody is told why at once, and nothing is started.
    let asked_before = asked(&house);
    assert_eq!(house.workers.ensure(&instance).await.unwrap_err(), held);
    assert_eq!(asked(&house), asked_before);
    assert!(house.workers.ensure(&neighbour).await.is_ok());

    house.workers.stop(&instance, "a person restarts it").await;
    assert!(matches!(house.workers.ensure(&instance).await, Err(Unavailable::StartFailed(_))));
    house.workers.stop(&instance, "a person mends it").await;
    let mended = house.plugin("");
    assert!(house.workers.ensure(&mended).await.is_ok());
    house.close().await;
}

#[tokio::test]
async fn new_settings_release_what_was_held_back() {
    let house = house(1);
    let instance = house.plugin("exports.start = (w) => { if (!w.bound.config.good) process.exit(1); };");
    let held = house.workers.ensure(&instance).await.unwrap_err();
    assert!(matches!(held, Unavailable::Refused(LaunchRefused::Quarantined { .. })), "{held}");
    let mut launch = house.source.launch_of(&key(1, PLUGIN));
    launch.binding.config = crate::support::values(serde_json::json!({ "good": true }));
    let candidate = house.workers.candidate(&instance, launch).await.unwrap();
    // It does not help before it took over.
    assert_eq!(house.workers.ensure(&instance).await.unwrap_err(), held);
    let worker = candidate.promote().await.unwrap();
    assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), worker.id());
    house.close().await;
}

/// A worker that has grown is no reason to let go of what crashes.
#[tokio::test]
async fn a_fresh_worker_on_the_same_settings_releases_nothing() {
    let house = house(2);
    let instance = house.plugin("exports.disable = () => process.exit(7);");
    let crash = async |worker: &Worker| worker.call_hook(HookCall::Disable).await.unwrap_err();
    let fresh = async |launch| {
        let fresh = house.workers.replacement(&instance, launch).await.unwrap();
        fresh.relieve("it had grown".into()).await
    };
    let first = house.workers.ensure(&instance).await.unwrap();
    crash(&first).await;
    house.observer.event("crashed").await;
    house.workers.ensure(&instance).await.unwrap();
    // Crashes before it count.
    let relieving = fresh(house.source.launch_of(&instance)).await.unwrap();
    crash(&relieving).await;
    house.observer.event("quarantined: it failed 2 times").await;
    let held = house.workers.ensure(&instance).await.unwrap_err();
    assert!(is_held(&held), "{held}");

    // Nor does one that comes up only after the other was held back.
    house.workers.stop(&instance, "a person restarts it").await;
    let crashing = house.workers.ensure(&instance).await.unwrap();
    crash(&crashing).await;
    let crashing = house.workers.ensure(&instance).await.unwrap();
    let mut launch = house.source.launch_of(&instance);
    launch.package = house.package(
        "hay-plugin-slow",
        "const fs = require('node:fs');
         exports.start = (w) => new Promise((done) => {
           console.log('starting');
           const look = setInterval(() => {
             if (fs.existsSync(w.load.plugin.root + '/go')) { clearInterval(look); done(); }
           }, 5);
         });",
    );
    let go = launch.package.root.join("go");
    let (late, held) = tokio::join!(fresh(launch), async {
        while !house.workers.logs(&instance, 100).iter().any(|line| line.message == "starting") {
            tokio::task::yield_now().await;
        }
        crash(&crashing).await;
        let held = house.workers.ensure(&instance).await.unwrap_err();
        std::fs::write(go, "").unwrap();
        held
    });
    assert!(is_held(&held), "{held}");
    let reason = String::from("the plugin is held back after too many crashes");
    assert_eq!(late.unwrap_err(), CandidateError::Gone { reason });
    assert_eq!(house.workers.ensure(&instance).await.unwrap_err(), held);
    assert!(house.workers.statuses().await.is_empty());
    house.close().await;
}

fn ensure(house: &House, instance: &InstanceKey) -> tokio::task::JoinHandle<Result<Worker, Unavailable>> {
    let (workers, instance) = (house.workers.clone(), instance.clone());
    tokio::spawn(async move { workers.ensure(&instance).await })
}

#[tokio::test]
async fn nobody_learns_that_it_is_held_back_before_that_lasts() {
    let house = house(1);
    let instance = house.plugin("process.exit(7)");
    let kept = house.observer.hold_keeping();
    let first = ensure(&house, &instance);
    house.observer.event("keeps: it failed 1 times").await;
    // Who comes meanwhile waits as well, and nothing is started for it.
    let asked_before = asked(&house);
    let second = ensure(&house, &instance);
    while !house.workers.statuses().await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(!first.is_finished() && !second.is_finished());
    let events = house.observer.events();
    assert!(!events.iter().any(|event| event.starts_with("quarantined")), "{events:?}");
    drop(kept);
    for waiting in [first, second] {
        let held = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap_err();
        assert!(is_held(&held), "{held}");
    }
    // Whoever is told was told after the observer.
    house.observer.event("quarantined").await;
    assert_eq!(asked(&house), asked_before);
    house.close().await;
}

#[tokio::test]
async fn who_releases_it_meanwhile_is_answered_when_nothing_holds_it_any_more() {
    let house = house(1);
    let instance = house.plugin("process.exit(7)");
    let kept = house.observer.hold_keeping();
    let first = ensure(&house, &instance);
    house.observer.event("keeps").await;
    let stop = tokio::spawn({
        let (workers, instance) = (house.workers.clone(), instance.clone());
        async move { workers.stop(&instance, "a person restarts it").await }
    });
    // Who waited is told of the stop; the one who asked for it is not answered before the observer was told.
    assert!(matches!(first.await.unwrap(), Err(Unavailable::Stopped { .. })));
    house.plugin("");
    let next = ensure(&house, &instance);
    house.workers.statuses().await;
    assert!(!stop.is_finished() && !next.is_finished());
    drop(kept);
    tokio::time::timeout(SOON, stop).await.unwrap().unwrap();
    let worker = tokio::time::timeout(SOON, next).await.unwrap().unwrap().unwrap();
    assert!(worker.is_alive());
    let expected = ["starting", "keeps", "quarantined", "starting", "ready"];
    house.observer.event("ready").await;
    let events = house.observer.events();
    assert!(
        events.iter().zip(expected).all(|(event, start)| event.starts_with(start)) && events.len() == 5,
        "{events:?}"
    );
    house.close().await;
}

#[tokio::test]
async fn an_end_of_the_host_waits_until_it_lasts() {
    let house = house(1);
    let instance = house.plugin("process.exit(7)");
    let kept = house.observer.hold_keeping();
    let first = ensure(&house, &instance);
    house.observer.event("keeps").await;
    let end = tokio::spawn({
        let workers = house.workers.clone();
        async move { workers.shutdown(Duration::ZERO).await }
    });
    assert!(matches!(first.await.unwrap(), Err(Unavailable::ShuttingDown)));
    house.workers.statuses().await;
    assert!(!end.is_finished());
    drop(kept);
    tokio::time::timeout(SOON, end).await.unwrap().unwrap();
    house.close().await;
}
