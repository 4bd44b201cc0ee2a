//! Who is told when workers leave: those who asked for it, the observer, and nobody else.

use std::sync::Arc;
use std::time::Duration;

use hayloft_model::Revision;
use hayloft_workers::{CandidateError, HookCall, LaunchRefused, Unavailable};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{House, SOON, quick};

#[tokio::test]
async fn a_stop_waits_for_nobody_who_came_later() {
    let house = House::with(|settings| settings.deadlines.drain = Duration::from_secs(600));
    let instance = house.plugin("");
    let old = house.workers.ensure(&instance).await.unwrap();
    let call = old.activity();
    let stopped = tokio::spawn({
        let (workers, instance) = (house.workers.clone(), instance.clone());
        async move { workers.stop(&instance, "a test says so").await }
    });
    house.observer.event("draining").await;
    let new = house.workers.ensure(&instance).await.unwrap();
    assert_ne!(new.id(), old.id());
    assert!(!stopped.is_finished());
    drop(call);
    tokio::time::timeout(SOON, stopped).await.unwrap().unwrap();
    assert!(!old.is_alive() && new.is_alive());
    assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), new.id());
    house.close().await;
}

#[tokio::test]
async fn a_start_after_a_stop_is_not_answered_with_that_stop() {
    let house = House::with(|settings| settings.deadlines.stop = Duration::from_secs(1));
    let instance = house.plugin(
        "exports.initialize = (w) => { console.log('begun'); return w.hang(); }; exports.shutdown = () => {};",
    );
    let (first, second) = tokio::join!(house.workers.ensure(&instance), async {
        while house.workers.logs(&instance, 1).is_empty() {
            tokio::task::yield_now().await;
        }
        let mut launch = house.source.launch_of(&instance);
        launch.package = house.package("hay-plugin-mended", "");
        house.source.set(&instance, Ok(launch));
        let (workers, stopped) = (&house.workers, house.workers.stop(&instance, "changed my mind"));
        // Both are asked before the first one has ended.
        let (second, ()) = tokio::join!(
            async {
                house.observer.event("draining").await;
                workers.ensure(&instance).await
            },
            stopped
        );
        second
    });
    assert_eq!(first.unwrap_err(), Unavailable::Stopped { reason: "changed my mind".into() });
    assert!(second.unwrap().is_alive());
    house.close().await;
}

#[tokio::test]
async fn a_promotion_does_not_undo_a_stop() {
    let house = House::with(|settings| settings.deadlines = quick());
    // It gets well only when it is told to end.
    let instance = house.plugin(
        "let well; exports.start = () => new Promise((done) => { well = done; console.log('begun'); });
         exports.shutdown = () => { well(); setTimeout(() => process.exit(0), 50); };",
    );
    let launch = house.source.launch_of(&instance);
    let candidate = house.workers.candidate(&instance, launch).await.unwrap();
    let (promoted, ()) = tokio::join!(candidate.promote(), async {
        while house.workers.logs(&instance, 1).is_empty() {
            tokio::task::yield_now().await;
        }
        house.workers.stop(&instance, "a test says so").await;
    });
    assert_eq!(promoted.unwrap_err(), CandidateError::Gone { reason: "a test says so".into() });
    assert!(house.workers.serving(&instance).is_none());
    assert_eq!(house.observer.events(), Vec::<String>::new());
    house.close().await;
}

#[tokio::test]
async fn a_promotion_that_nobody_waits_for_is_finished() {
    let house = House::new();
    let instance = house.plugin("exports.start = () => console.log('begun');");
    let launch = house.source.launch_of(&instance);
    let candidate = house.workers.candidate(&instance, launch).await.unwrap();
    let id = candidate.id();
    {
        let promotion = candidate.promote();
        tokio::pin!(promotion);
        assert!(futures::poll!(promotion.as_mut()).is_pending());
    }
    house.observer.event("ready").await;
    let worker = house.workers.ensure(&instance).await.unwrap();
    assert_eq!(worker.id(), id);
    assert!(worker.call_hook(HookCall::Enable).await.is_ok());
    house.close().await;
}

#[tokio::test]
async fn one_worker_is_retired_and_no_other() {
    let house = House::with(|settings| settings.deadlines.drain = Duration::from_secs(600));
    let instance = house.plugin("exports.enable = () => ({ fine: true });");
    let old = house.workers.ensure(&instance).await.unwrap();
    let call = old.activity();
    let candidate = house.workers.candidate(&instance, house.source.launch_of(&instance)).await.unwrap();

    // It answers while the worker's call still runs.
    tokio::time::timeout(SOON, house.workers.retire(&instance, old.id(), "it lost a server")).await.unwrap();
    assert!(old.is_alive());
    assert!(house.workers.serving(&instance).is_none());
    candidate.enable().await.unwrap();
    let new = house.workers.ensure(&instance).await.unwrap();
    assert_ne!(new.id(), old.id());

    // What serves no more, or never did, is left alone, and so is everything else.
    for worker in [old.id(), candidate.id()] {
        house.workers.retire(&instance, worker, "again").await;
        assert_eq!(house.workers.serving(&instance).unwrap().id(), new.id());
    }
    drop(call);
    assert_eq!(house.observer.end_of(old.id()).await, ["gone"]);
    candidate.enable().await.unwrap();
    assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), new.id());
    assert_eq!(house.observer.events(), ["starting", "ready", "draining", "starting", "ready"]);

    // One that was replaced meanwhile stays replaced.
    let promoted = candidate.promote().await.unwrap();
    house.workers.retire(&instance, new.id(), "too late").await;
    assert_eq!(house.workers.serving(&instance).unwrap().id(), promoted.id());
    house.close().await;
}

#[tokio::test]
async fn the_end_of_a_retired_worker_is_no_answer_for_a_newer_start() {
    let house = House::new();
    let instance = house.plugin("");
    let old = house.workers.ensure(&instance).await.unwrap();
    let call = old.activity();
    // The newer one does not get ready before it is allowed to.
    let mut launch = house.source.launch_of(&instance);
    launch.package = house.package(
        "hay-plugin-newer",
        "const fs = require('node:fs');
         exports.start = (w) => new Promise((done) => {
           const look = setInterval(() => {
             if (fs.existsSync(w.load.plugin.root + '/go')) { clearInterval(look); done(); }
           }, 5);
         });",
    );
    let go = launch.package.root.join("go");
    house.source.set(&instance, Ok(launch));
    house.workers.retire(&instance, old.id(), "it lost a server").await;
    let (answer, ()) = tokio::join!(house.workers.ensure(&instance), async {
        while house.workers.statuses().await.len() < 2 {
            tokio::task::yield_now().await;
        }
        drop(call);
        house.observer.end_of(old.id()).await;
        std::fs::write(go, "").unwrap();
    });
    assert_ne!(answer.unwrap().id(), old.id());
    assert_eq!(house.observer.events(), ["starting", "ready", "draining", "starting", "ready"]);
    house.close().await;
}

#[tokio::test]
async fn every_worker_is_said_to_be_gone_once() {
    let house = House::new();
    let script = "exports.start = (w) => w.openMcp({ id: 'tools', kind: 'inProcess' });
                  exports.enable = (w) => w.openMcp({ id: 'early', kind: 'inProcess' });";
    let instance = house.plugin(script);
    let launch = house.source.launch_of(&instance);
    let replaced = house.workers.ensure(&instance).await.unwrap();
    let discarded = house.workers.candidate(&instance, launch.clone()).await.unwrap();
    discarded.enable().await.unwrap();
    let discarded_id = discarded.id();
    discarded.discard();
    let expected = ["closed early", "gone"];
    assert_eq!(house.observer.end_of(discarded_id).await, expected);

    let promoted = house.workers.candidate(&instance, launch.clone()).await.unwrap().promote().await.unwrap();
    let expected = ["closed tools", "gone"];
    assert_eq!(house.observer.end_of(replaced.id()).await, expected);

    kill(&house, promoted.id()).await;
    assert_eq!(house.observer.end_of(promoted.id()).await, expected);
    let stopped = house.workers.ensure(&instance).await.unwrap();
    house.workers.stop(&instance, "a test says so").await;
    assert_eq!(house.observer.end_of(stopped.id()).await, expected);
    assert_eq!(house.observer.gone(), 4);

    // One that was asked what it registers belongs to nobody, so nobody keeps anything for it.
    house.workers.probe(&launch.package).await.unwrap();
    // One that does not start was announced, so its end is, too.
    let mut broken = launch;
    broken.package = house.package("hay-plugin-broken", "throw new Error('broken');");
    house.source.set(&instance, Ok(broken));
    assert!(house.workers.ensure(&instance).await.is_err());
    house.workers.shutdown(Duration::ZERO).await;
    let other = house.observer.clone();
    tokio::time::timeout(SOON, async {
        while other.gone() < 5 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(house.observer.gone(), 5);
    house.close().await;
}

#[tokio::test]
async fn an_instance_stops_with_its_last_worker_even_if_that_was_a_candidate() {
    let house = House::with(|settings| settings.deadlines.idle = Duration::from_millis(100));
    let instance = house.plugin("");
    let serving = house.workers.ensure(&instance).await.unwrap();
    let call = serving.activity();
    let mut launch = house.source.launch_of(&instance);
    launch.binding.revision = Revision(2);
    let candidate = house.workers.candidate(&instance, launch).await.unwrap();
    drop(call);
    house.observer.end_of(serving.id()).await;
    assert_eq!(house.observer.events(), ["starting", "ready", "draining"]);
    kill(&house, candidate.id()).await;
    house.observer.event("stopped").await;
    assert_eq!(house.observer.events(), ["starting", "ready", "draining", "stopped"]);
    house.close().await;
}

#[tokio::test]
async fn nothing_is_kept_of_an_instance_that_stands_still() {
    let house = House::with(|settings| settings.deadlines.idle = Duration::from_millis(100));
    // Every instance that is kept tells the observer through a task of its own, which holds it.
    let kept_for_nobody = Arc::strong_count(&house.observer);
    let until_nothing_is_kept = async || {
        let nothing = async {
            while Arc::strong_count(&house.observer) > kept_for_nobody {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, nothing).await.expect("something is kept");
    };
    let instance = house.plugin("exports.start = () => console.log('here');");

    // Idle.
    house.workers.ensure(&instance).await.unwrap();
    assert!(Arc::strong_count(&house.observer) > kept_for_nobody);
    house.observer.event("stopped").await;
    until_nothing_is_kept().await;
    // Its lines stay, in the order in which they came.
    assert!(house.workers.logs(&instance, 10).iter().any(|line| line.message == "here"));

    // Stopped, disabled, never allowed to run, a candidate that was only tried.
    house.workers.ensure(&instance).await.unwrap();
    house.workers.stop(&instance, "a test says so").await;
    until_nothing_is_kept().await;
    house.workers.ensure(&instance).await.unwrap();
    house.workers.disable(&instance).await;
    until_nothing_is_kept().await;
    drop(house.workers.candidate(&instance, house.source.launch_of(&instance)).await.unwrap());
    until_nothing_is_kept().await;
    let launch = house.source.launch_of(&instance);
    house.source.set(&instance, Err(LaunchRefused::NotEnabled));
    assert!(house.workers.ensure(&instance).await.is_err());
    house.workers.disable(&instance).await;
    until_nothing_is_kept().await;

    // A crash is remembered until somebody takes the pause away.
    house.source.set(&instance, Ok(launch));
    // On a busy machine a pause may be over before it is seen; the next one is twice as long.
    loop {
        match house.workers.ensure(&instance).await {
            Ok(worker) => {
                kill(&house, worker.id()).await;
                house.observer.end_of(worker.id()).await;
            }
            Err(Unavailable::Backoff { .. }) => break,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(Arc::strong_count(&house.observer) > kept_for_nobody);
    house.workers.stop(&instance, "a test says so").await;
    until_nothing_is_kept().await;

    house.workers.forget(&instance);
    assert_eq!(house.workers.logs(&instance, 10), []);
    let worker = house.workers.ensure(&instance).await.unwrap();
    assert!(worker.call_hook(HookCall::Enable).await.is_ok());
    assert_eq!(house.workers.logs(&instance, 10).len(), 1);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_an_instance_was_is_told_before_what_it_becomes() {
    let house = House::new();
    let instance = house.plugin("");
    house.workers.ensure(&instance).await.unwrap();
    let observer = Arc::clone(&house.observer);
    let late = observer.hold_stopped();
    // The first life has ended, and the second one serves already, before the observer takes the end of the first.
    house.workers.stop(&instance, "again").await;
    house.workers.ensure(&instance).await.unwrap();
    assert_eq!(house.observer.events(), ["starting", "ready", "draining"]);
    drop(late);
    let all = async {
        while observer.events().len() < 6 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, all).await.unwrap();
    assert_eq!(house.observer.events(), ["starting", "ready", "draining", "stopped", "starting", "ready"]);
    house.close().await;
}

async fn kill(house: &House, worker: hayloft_model::WorkerId) {
    let statuses = house.workers.statuses().await;
    let status = statuses.iter().find(|status| status.worker_id == worker).unwrap();
    let pid = Pid::from_raw(i32::try_from(status.pid.unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}
