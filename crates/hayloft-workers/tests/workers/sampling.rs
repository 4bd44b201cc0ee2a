//! One task measures all workers: who computes much goes last until it is calm, and who grows too large is told of and
//! replaced without a call noticing it.

use std::time::Duration;

use hayloft_model::WorkerState;
use hayloft_workers::{HookCall, Sampling, WorkerStatus};
use serde_json::json;

use crate::support::{House, SOON};

/// Computes for so many milliseconds of processor time, however long that takes.
const BUSY: &str = "
    const used = () => process.cpuUsage().user / 1000;
    exports.cron = (w, milliseconds) => {
      const end = used() + Number(milliseconds);
      while (used() < end);
      return { done: true };
    };
    exports.enable = () => ({ fine: true });";

/// Holds so many MiB more for ever.
const LEAK: &str = "
    const held = [];
    exports.cron = (w, mebibytes) => {
      held.push(Buffer.alloc(Number(mebibytes) << 20, 1));
      return { held: held.length };
    };
    exports.enable = () => ({ held: held.length });";

fn often() -> Sampling {
    Sampling { interval: Duration::from_millis(20), throttle_above: 5, recycle_pause: Duration::ZERO }
}

/// Waits until a worker's status is as it should be.
async fn until(house: &House, id: &str, mut holds: impl FnMut(&WorkerStatus) -> bool) -> WorkerStatus {
    let mut last = None;
    let wait = async {
        loop {
            let statuses = house.workers.statuses().await;
            let found = statuses.into_iter().find(|status| status.key.plugin.to_string() == id);
            if let Some(status) = found {
                if holds(&status) {
                    return status;
                }
                last = Some(status);
            }
            tokio::task::yield_now().await;
        }
    };
    match tokio::time::timeout(SOON, wait).await {
        Ok(status) => status,
        Err(_) => panic!("it never came to that: {last:?}"),
    }
}

#[tokio::test]
async fn who_computes_goes_last_until_it_is_calm() {
    let house = House::with(|settings| settings.sampling.pace = often());
    let busy = house.plugin_named("hay-plugin-busy", BUSY);
    let calm = house.plugin_named("hay-plugin-calm", BUSY);
    let worker = house.workers.ensure(&busy).await.unwrap();
    let neighbour = house.workers.ensure(&calm).await.unwrap();
    // What a start takes is over the line as well.
    until(&house, "hay-plugin-busy", |status| status.processor_time.is_some() && !status.throttled).await;
    let before = until(&house, "hay-plugin-calm", |status| !status.throttled).await;

    let call = tokio::spawn({
        let worker = worker.clone();
        async move { worker.call_hook(HookCall::Cron("600".into())).await }
    });
    if house.grouped {
        until(&house, "hay-plugin-busy", |status| status.throttled).await;
        let lines = house.workers.logs(&busy, 10);
        assert!(lines.iter().any(|line| line.message.contains("more than 5 % of a core")), "{lines:?}");
    }
    assert_eq!(neighbour.call_hook(HookCall::Enable).await, Ok(json!({ "fine": true })));
    // Who goes last still gets there.
    assert_eq!(call.await.unwrap(), Ok(json!({ "done": true })));
    let used = Duration::from_millis(600);
    let after =
        until(&house, "hay-plugin-busy", |status| status.processor_time.is_some_and(|time| time >= used))
            .await;
    assert!(after.rss_bytes.is_some_and(|bytes| bytes > 1 << 20), "{after:?}");
    until(&house, "hay-plugin-busy", |status| !status.throttled).await;
    let neighbour = until(&house, "hay-plugin-calm", |_| true).await;
    assert!(neighbour.processor_time < after.processor_time, "{before:?} {neighbour:?}");
    house.close().await;
}

#[tokio::test]
async fn who_grows_is_told_of_and_relieved_without_cutting_a_call() {
    let house = House::with(|settings| {
        settings.sampling.pace = often();
        settings.sampling.plugin_soft_memory =
            [("hay-plugin-leak".parse().unwrap(), 256 << 20)].into_iter().collect();
        // Far less than the call takes: only a worker that ends for another reason has to keep to it.
        settings.deadlines.drain = Duration::from_millis(10);
    });
    let instance = house.plugin_named("hay-plugin-leak", LEAK);
    let other = house.plugin_named("hay-plugin-other", LEAK);
    let (old, bystander) =
        (house.workers.ensure(&instance).await.unwrap(), house.workers.ensure(&other).await.unwrap());
    for held in 1..=6 {
        for worker in [&old, &bystander] {
            let answer = worker.call_hook(HookCall::Cron("50".into())).await;
            assert_eq!(answer, Ok(json!({ "held": held })));
        }
    }
    let told = house.observer.event("outgrown").await;
    assert!(told.contains(&old.id().to_string()) && told.contains("beyond 256MiB"), "{told}");
    // It serves until somebody has another one.
    assert_eq!(house.workers.serving(&instance).unwrap().id(), old.id());

    let call = old.activity();
    let candidate = house.workers.candidate(&instance, house.source.launch_of(&instance)).await.unwrap();
    let fresh = candidate.relieve("it had grown".into()).await.unwrap();
    assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), fresh.id());
    assert_eq!(fresh.call_hook(HookCall::Enable).await, Ok(json!({ "held": 0 })));
    let statuses = house.workers.statuses().await;
    let reason = |id| statuses.iter().find(|status| status.worker_id == id).unwrap().recycle_reason.clone();
    assert_eq!(reason(fresh.id()).as_deref(), Some("it had grown"));
    assert_eq!((reason(old.id()), reason(bystander.id())), (None, None));

    // A whole further life of another worker is longer than the drain's time, which ends the call in its way.
    let replaced = house.workers.ensure(&other).await.unwrap();
    let cut_off = replaced.activity();
    let candidate = house.workers.candidate(&other, house.source.launch_of(&other)).await.unwrap();
    candidate.promote().await.unwrap();
    house.observer.end_of(replaced.id()).await;
    drop(cut_off);
    let states = house.workers.statuses().await;
    let state = states.iter().find(|status| status.worker_id == old.id()).map(|status| status.state);
    assert_eq!(state, Some(WorkerState::Draining), "its call is not over");
    drop(call);
    house.observer.end_of(old.id()).await;

    // Who may hold that much is not told of.
    let told = house.observer.events();
    let mut told = told.iter().filter(|event| event.starts_with("outgrown"));
    assert!(told.all(|event| event.contains(&old.id().to_string())));
    house.close().await;
}
