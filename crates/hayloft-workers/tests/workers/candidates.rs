//! New values are tried beside the old ones.

use std::pin::pin;
use std::time::Duration;

use hayloft_model::plugin::UpdateStrategy;
use hayloft_model::{InstanceKey, Revision, WorkerId};
use hayloft_workers::{CandidateError, HookCall, HookError, StartStage, Verdict, Worker};
use serde_json::json;

use crate::support::{House, SOON, values};

const ECHO: &str = "
    const revision = (w) => w.bound.config.key;
    exports.configUpdate = (w) => { if (revision(w) === 'refused') throw new Error('no'); };
    exports.validateAuth = (w) => revision(w) === 'wrong' ? { valid: false, error: 'wrong key' } : { valid: true };
    exports.start = (w) => { if (revision(w) === 'dies') process.exit(4); if (revision(w) === 'weak') throw new Error('weak'); };
    exports.connected = (w) => ({ key: revision(w) });
    exports.cron = () => new Promise((done) => setTimeout(done, 600));";

#[tokio::test]
async fn a_good_candidate_takes_over() {
    let house = House::new();
    let instance = house.plugin(ECHO);
    let mut launch = house.source.launch_of(&instance);
    let old = house.workers.ensure(&instance).await.unwrap();
    let call = old.activity();

    launch.binding.revision = Revision(2);
    launch.binding.config = values(json!({ "key": "new" }));
    let candidate = house.workers.candidate(&instance, launch).await.unwrap();
    assert_eq!(house.workers.statuses().await.len(), 2);
    candidate.enable().await.unwrap();
    assert_eq!(candidate.validate_auth().await, Ok(Verdict { valid: true, error: None }));
    // Until it is promoted the old one serves.
    assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), old.id());
    let new = candidate.promote().await.unwrap();
    assert_eq!(new.revision(), Revision(2));
    assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), new.id());
    assert_eq!(new.call_hook(HookCall::Connected).await, Ok(json!({ "key": "new" })));
    // The old one ends when its call has.
    assert!(old.is_alive());
    drop(call);
    while house.workers.statuses().await.len() > 1 {
        tokio::task::yield_now().await;
    }
    assert!(!old.is_alive() && new.is_alive());
    // The old one's end is no news of the instance.
    assert_eq!(house.observer.events(), ["starting", "ready", "ready"]);
    house.close().await;
}

#[tokio::test]
async fn a_bad_candidate_changes_nothing() {
    let house = House::quick();
    let instance = house.plugin(ECHO);
    let old = house.workers.ensure(&instance).await.unwrap();
    let with = |key: &str| {
        let mut launch = house.source.launch_of(&instance);
        launch.binding.config = values(json!({ "key": key }));
        house.workers.candidate(&instance, launch)
    };

    let refused = with("refused").await.unwrap_err();
    assert!(
        matches!(&refused, CandidateError::Hook { hook: "onConfigUpdate", error: HookError::Failed(_) }),
        "{refused}"
    );
    let wrong = with("wrong").await.unwrap();
    assert_eq!(wrong.validate_auth().await, Ok(Verdict { valid: false, error: Some("wrong key".into()) }));
    wrong.discard();
    let dies = with("dies").await.unwrap().promote().await.unwrap_err();
    assert_eq!(dies, CandidateError::Gone { reason: "the worker failed: it ended with exit code 4".into() });
    let mut broken = house.source.launch_of(&instance);
    broken.package = house.package("hay-plugin-other", "throw new Error('broken');");
    let Err(CandidateError::StartFailed(failure)) = house.workers.candidate(&instance, broken).await else {
        panic!("it runs")
    };
    assert_eq!(failure.stage, StartStage::Load);

    assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), old.id());
    while house.workers.statuses().await.len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.observer.events(), ["starting", "ready"]);
    house.close().await;
}

#[tokio::test]
async fn a_candidate_of_a_stopped_instance_starts_it() {
    let house = House::new();
    let instance = house.plugin(ECHO);
    let mut launch = house.source.launch_of(&instance);
    launch.binding.config = values(json!({ "key": "weak" }));
    let worker = house.workers.candidate(&instance, launch).await.unwrap().promote().await.unwrap();
    assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), worker.id());
    house.observer.event("degraded").await;
    assert_eq!(house.observer.events(), ["starting", "degraded: weak"]);
    house.close().await;
}

#[tokio::test]
async fn what_works_is_not_replaced_by_what_does_not_start() {
    let house = House::quick();
    let instance = house.plugin(ECHO);
    let weak = async || {
        let mut launch = house.source.launch_of(&instance);
        launch.binding.config = values(json!({ "key": "weak" }));
        house.workers.candidate(&instance, launch).await.unwrap()
    };
    let old = house.workers.ensure(&instance).await.unwrap();
    for refused in
        [weak().await.promote_if_started().await, weak().await.relieve("it had grown".into()).await]
    {
        let Err(CandidateError::StartFailed(failure)) = refused else { panic!("{refused:?}") };
        assert_eq!((failure.stage, failure.message.as_str()), (StartStage::Start, "weak"));
    }
    assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), old.id());
    while house.workers.statuses().await.len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.observer.events(), ["starting", "ready"]);

    // Where what serves is no better, the newer one serves.
    let first = weak().await.promote().await.unwrap();
    let second = weak().await.relieve("it had grown".into()).await.unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), second.id());
    house.close().await;
}

#[tokio::test]
async fn a_candidate_that_ends_with_the_host_has_not_failed() {
    let house = House::new();
    let instance = house.plugin("exports.start = () => new Promise(() => {});");
    let launch = house.source.launch_of(&instance);
    let [one, other] = [launch.clone(), launch].map(|launch| house.workers.candidate(&instance, launch));
    let (one, other) = tokio::join!(one, other);
    let mut starts = pin!(one.unwrap().promote());
    assert!(futures::poll!(&mut starts).is_pending());
    let closing = house.workers.shutdown(Duration::ZERO);
    let (promoted, ()) = tokio::join!(starts, closing);
    assert_eq!(promoted.unwrap_err(), CandidateError::ShuttingDown);
    // What is left of the other one is gone by now.
    assert_eq!(other.unwrap().promote().await.unwrap_err(), CandidateError::ShuttingDown);
    house.close().await;
}

#[tokio::test]
async fn what_was_relieved_ends_at_the_latest_when_its_successor_is_relieved() {
    let house = House::with(|settings| settings.deadlines.drain = Duration::from_millis(50));
    let instance = house.plugin("");
    let relieve = async || {
        let candidate = house.workers.candidate(&instance, house.source.launch_of(&instance)).await.unwrap();
        candidate.relieve("it had grown".into()).await.unwrap()
    };
    let first = house.workers.ensure(&instance).await.unwrap();
    let _endless = first.activity();
    let second = relieve().await;
    let _call = second.activity();
    assert!(first.is_alive(), "its call is not cut off for that alone");
    let third = relieve().await;
    house.observer.end_of(first.id()).await;
    assert!(second.is_alive() && third.is_alive());
    house.close().await;
}

#[tokio::test]
async fn a_worker_on_the_same_values_is_told_of_no_new_ones() {
    let house = House::new();
    let instance = house.plugin("exports.configUpdate = () => { throw new Error('told'); };");
    house.workers.ensure(&instance).await.unwrap();
    let launch = house.source.launch_of(&instance);
    let told = house.workers.candidate(&instance, launch.clone()).await.unwrap_err();
    assert!(told.to_string().contains("told"), "{told}");
    let fresh = house.workers.replacement(&instance, launch).await.unwrap();
    fresh.relieve("it had grown".into()).await.unwrap();
    house.close().await;
}

#[tokio::test]
async fn a_forgotten_candidate_ends() {
    let house = House::new();
    let instance = house.plugin(ECHO);
    let launch = house.source.launch_of(&instance);
    let none_is_left = async || {
        while !house.workers.statuses().await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    drop(house.workers.candidate(&instance, launch.clone()).await.unwrap());
    none_is_left().await;
    // Nor does it stay when its owner did not even wait for it.
    let impatient =
        tokio::time::timeout(Duration::from_millis(1), house.workers.candidate(&instance, launch));
    assert!(impatient.await.is_err());
    assert_eq!(house.workers.statuses().await.len(), 1);
    none_is_left().await;
    assert_eq!(house.observer.events(), Vec::<String>::new());
    house.close().await;
}

/// An instance of which there are never two workers.
fn recreated(house: &House) -> InstanceKey {
    let instance = house.plugin(ECHO);
    let mut launch = house.source.launch_of(&instance);
    launch.package.descriptor.update_strategy = UpdateStrategy::Recreate;
    house.source.set(&instance, Ok(launch));
    instance
}

/// Looks at all workers until a future is ready: there is one at most. Gives what it gave, and which there were.
async fn never_two<T>(house: &House, work: impl Future<Output = T>) -> (T, Vec<WorkerId>) {
    let mut seen: Vec<WorkerId> = Vec::new();
    let mut work = pin!(work);
    loop {
        let all = house.workers.statuses().await;
        assert!(all.len() <= 1, "{all:#?}");
        for worker in all.iter().map(|status| status.worker_id) {
            if !seen.contains(&worker) {
                seen.push(worker);
            }
        }
        tokio::select! {
            biased;
            done = &mut work => return (done, seen),
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test]
async fn a_recreated_plugin_never_has_two_workers_and_calls_wait() {
    let house = House::new();
    let instance = recreated(&house);
    let old = house.workers.ensure(&instance).await.unwrap();
    let call = old.activity();
    let mut launch = house.source.launch_of(&instance);
    launch.binding.revision = Revision(2);
    launch.binding.config = values(json!({ "key": "new" }));
    let swap = tokio::spawn({
        let (workers, instance) = (house.workers.clone(), instance.clone());
        async move { workers.candidate(&instance, launch).await.unwrap().promote().await.unwrap() }
    });
    house.observer.event("draining").await;
    // Who calls now waits, however many there are, and the call in flight has its time.
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (workers, instance) = (house.workers.clone(), instance.clone());
            tokio::spawn(async move { workers.ensure(&instance).await.unwrap().id() })
        })
        .collect();
    assert!(old.is_alive());
    drop(call);
    let (new, seen) = never_two(&house, swap).await;
    let new = new.unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap(), new.id());
    }
    assert_eq!(seen.last(), Some(&new.id()));
    assert!(seen.len() <= 2 && !old.is_alive(), "{seen:?}");
    assert_eq!(new.call_hook(HookCall::Connected).await, Ok(json!({ "key": "new" })));
    assert_eq!(house.observer.events(), ["starting", "ready", "draining", "stopped", "starting", "ready"]);

    // One that is to serve again waits for the end of the one before, too.
    let call = new.activity();
    house.workers.retire(&instance, new.id(), "for a test").await;
    let again = house.workers.ensure(&instance);
    drop(call);
    let (again, seen) = never_two(&house, again).await;
    assert!(again.unwrap().id() != new.id() && seen.len() <= 2);
    house.close().await;
}

#[tokio::test]
async fn a_recreated_plugin_is_retired_between_calls() {
    let house = House::with(|settings| settings.deadlines.drain = Duration::from_millis(50));
    let instance = recreated(&house);
    let old = house.workers.ensure(&instance).await.unwrap();
    let retire = |worker: &Worker| {
        let (workers, worker) = (house.workers.clone(), worker.clone());
        tokio::spawn(async move { workers.retire_unused(&worker, "it had grown").await })
    };
    let other_call = old.activity();
    // Far longer than a drain.
    let call = tokio::spawn({
        let worker = old.clone();
        async move { worker.call_hook(HookCall::Cron("slow".into())).await }
    });
    while house.workers.statuses().await[0].in_flight < 2 {
        tokio::task::yield_now().await;
    }
    let retired = retire(&old);
    for _ in 0..10 {
        assert_eq!(old.call_hook(HookCall::Connected).await, Ok(json!({})));
        assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), old.id(), "whoever calls is served");
    }
    drop(other_call);
    assert!(call.await.unwrap().is_ok(), "no call is cut off for that alone");
    assert!(retired.await.unwrap());
    let (fresh, seen) = never_two(&house, house.workers.ensure(&instance)).await;
    assert!(fresh.unwrap().id() != old.id() && seen.len() <= 2);
    assert!(!retire(&old).await.unwrap(), "it does not serve any more");
    house.close().await;

    // What has no end has one nevertheless.
    let house = House::with(|settings| {
        settings.deadlines.drain = Duration::from_millis(50);
        settings.deadlines.recycle_drain = Duration::from_millis(300);
    });
    let instance = recreated(&house);
    let old = house.workers.ensure(&instance).await.unwrap();
    let _endless = old.activity();
    assert!(tokio::time::timeout(SOON, house.workers.retire_unused(&old, "it had grown")).await.unwrap());
    assert_ne!(house.workers.ensure(&instance).await.unwrap().id(), old.id());
    house.close().await;
}

#[tokio::test]
async fn the_old_values_of_a_recreated_plugin_serve_again_when_the_new_ones_do_not() {
    let house = House::quick();
    let instance = recreated(&house);
    let old = house.workers.ensure(&instance).await.unwrap();
    for key in ["refused", "dies"] {
        let mut launch = house.source.launch_of(&instance);
        launch.binding.config = values(json!({ "key": key }));
        let swap = async {
            match house.workers.candidate(&instance, launch).await {
                Ok(candidate) => candidate.promote().await.map(drop),
                Err(error) => Err(error),
            }
        };
        let (failed, _) = never_two(&house, swap).await;
        assert!(failed.is_err(), "{key}");
        let (worker, seen) = never_two(&house, house.workers.ensure(&instance)).await;
        let worker = worker.unwrap();
        assert!(worker.id() != old.id() && seen.len() <= 2, "{key}: {seen:?}");
        assert_eq!(worker.call_hook(HookCall::Connected).await, Ok(json!({})), "{key}");
    }
    house.close().await;
}
