//! Who gets a worker when there cannot be one for everybody, and when all want one at once.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use hayloft_model::{InstanceKey, WorkerState};
use hayloft_workers::{CandidateError, HookCall, QueueLimits, Settings, Unavailable, Worker};
use serde_json::json;

use crate::support::{House, SOON, quick};

const PLUGIN: &str = "hay-plugin-test";

fn some(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// A house in which a plugin has so many workers.
fn house(places: usize, change: impl FnOnce(&mut Settings)) -> House {
    House::with(|settings| {
        settings.pools.by_plugin.insert(PLUGIN.parse().unwrap(), some(places));
        change(settings);
    })
}

async fn ensure(house: &House, key: &InstanceKey) -> Worker {
    tokio::time::timeout(SOON, house.workers.ensure(key)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_full_pool_stops_the_idle_worker_that_was_used_least_recently() {
    let house = house(2, |settings| settings.queue.deadline = SOON);
    let keys = [1, 2, 3].map(|organization| house.plugin_of(organization, ""));
    let neighbour = house.plugin_named("hay-plugin-other", "");
    let other = ensure(&house, &neighbour).await;
    let (one, two) = (ensure(&house, &keys[0]).await, ensure(&house, &keys[1]).await);
    // The first one is used once more, so the second one has to go.
    let used = one.activity();
    drop(used);
    let three = ensure(&house, &keys[2]).await;
    assert!(three.is_alive() && one.is_alive() && other.is_alive());
    assert!(!two.is_alive());
    // It makes way before another one begins: the pool is never larger.
    assert_eq!(house.observer.events().iter().filter(|event| *event == "stopped").count(), 1);
    let statuses = house.workers.statuses().await;
    assert_eq!(statuses.iter().filter(|status| status.key.plugin == keys[0].plugin).count(), 2);
    // Whoever made way comes back when there is room again.
    house.workers.stop(&keys[0], "a test says so").await;
    let again = ensure(&house, &keys[1]).await;
    assert!(three.is_alive() && again.is_alive());
    house.close().await;
}

#[tokio::test]
async fn an_idle_worker_makes_way_although_one_that_still_works_is_leaving() {
    let house = house(2, |settings| settings.queue.deadline = SOON);
    let keys = [1, 2, 3].map(|organization| house.plugin_of(organization, ""));
    let (leaving, idle) = (ensure(&house, &keys[0]).await, ensure(&house, &keys[1]).await);
    let call = leaving.activity();
    house.workers.retire(&keys[0], leaving.id(), "a test says so").await;
    let third = ensure(&house, &keys[2]).await;
    assert!(third.is_alive() && leaving.is_alive() && !idle.is_alive());
    drop(call);
    house.close().await;
}

#[tokio::test]
async fn a_worker_that_has_just_become_ready_is_there_for_whoever_waited_for_it() {
    let house = house(1, |settings| settings.queue.deadline = SOON);
    // Longer than it takes to be idle.
    let slow = "exports.start = () => new Promise((done) => setTimeout(done, 400));
                exports.enable = () => ({ fine: true });";
    let keys = [1, 2].map(|organization| house.plugin_of(organization, slow));
    let first = tokio::spawn({
        let (workers, key) = (house.workers.clone(), keys[0].clone());
        async move {
            let worker = workers.ensure(&key).await.unwrap();
            let still = workers.serving(&key).map(|serving| serving.id());
            (still == Some(worker.id()), worker.call_hook(HookCall::Enable).await)
        }
    });
    while house.workers.statuses().await.is_empty() {
        tokio::task::yield_now().await;
    }
    // Somebody waits for its place already when it becomes ready.
    let second = ensure(&house, &keys[1]);
    let (first, second) = tokio::join!(first, second);
    let (served, answer) = first.unwrap();
    assert!(served, "it was taken away from who waited for it");
    assert_eq!(answer, Ok(json!({ "fine": true })));
    assert_eq!(second.key(), &keys[1]);
    house.close().await;
}

#[tokio::test]
async fn whoever_made_way_does_not_get_its_place_back_before_those_who_wait_for_it() {
    let house = house(1, |settings| {
        settings.queue.deadline = SOON;
        settings.deadlines.stop = SOON;
    });
    // It takes its time to end: until it is told that it may.
    let lingering = "const fs = require('node:fs');
        exports.shutdown = (w) => setInterval(() => { if (fs.existsSync(w.load.plugin.root + '/end')) process.exit(0); }, 5);";
    let keys = [1, 2].map(|organization| house.plugin_of(organization, lingering));
    let asked = || house.source.asked.load(Ordering::SeqCst);
    let waiting = |key: &InstanceKey| {
        let (workers, key) = (house.workers.clone(), key.clone());
        tokio::spawn(async move { workers.ensure(&key).await.unwrap() })
    };
    let evicted = ensure(&house, &keys[0]).await;
    let mut other = waiting(&keys[1]);
    house.observer.event("draining").await;
    // It calls again while its worker still ends, and stands in the line behind the other one.
    let mut again = waiting(&keys[0]);
    while asked() < 3 {
        tokio::task::yield_now().await;
    }
    let [status] = &house.workers.statuses().await[..] else { panic!("none starts beside it") };
    assert_eq!(status.worker_id, evicted.id());
    std::fs::write(house.folder.path().join(PLUGIN).join("end"), "").unwrap();
    let first = tokio::select! {
        worker = &mut other => worker.unwrap(),
        worker = &mut again => panic!("{:?} has its place back before the other one had it", worker.unwrap()),
    };
    assert_eq!(first.key(), &keys[1]);
    // It has its turn after that.
    let second = tokio::time::timeout(SOON, again).await.unwrap().unwrap();
    assert!(second.is_alive() && second.id() != evicted.id() && !first.is_alive());
    house.close().await;
}

#[tokio::test]
async fn who_only_looks_keeps_no_worker_from_being_idle() {
    let house = House::with(|settings| settings.deadlines.idle = Duration::from_millis(300));
    let instance = house.plugin("");
    let worker = ensure(&house, &instance).await;
    let looks = async {
        while house.workers.serving(&instance).is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, looks).await.expect("it idles out");
    assert!(house.workers.engage(&instance).is_none());
    house.observer.end_of(worker.id()).await;
    house.close().await;
}

#[tokio::test]
async fn a_worker_in_use_is_not_stopped_and_its_place_is_given_when_that_ends() {
    let limits = QueueLimits { deadline: Duration::from_secs(3), ..QueueLimits::default() };
    let house = house(1, |settings| settings.queue = limits);
    let (first, second) = (house.plugin_of(1, ""), house.plugin_of(2, ""));
    let worker = ensure(&house, &first).await;
    let call = worker.activity();
    // Its time passes in the line, and it is told how long others wait.
    let Err(Unavailable::Timeout { retry_after, .. }) = house.workers.ensure(&second).await else {
        panic!("there was no place")
    };
    assert!(retry_after >= Duration::from_secs(1), "{retry_after:?}");
    assert!(worker.is_alive());

    let waiting = {
        let (workers, second) = (house.workers.clone(), second.clone());
        // Whoever is told that his time is over comes again.
        tokio::spawn(async move {
            loop {
                match workers.ensure(&second).await {
                    Ok(worker) => return worker,
                    Err(Unavailable::Timeout { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        })
    };
    drop(call);
    let next = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    assert!(next.is_alive() && !worker.is_alive());
    house.close().await;
}

#[tokio::test]
async fn new_settings_need_a_place_and_a_switch_off_needs_none() {
    let house = house(1, |settings| {
        settings.deadlines = quick();
        settings.queue.deadline = Duration::from_secs(3);
    });
    let (first, second) = (house.plugin_of(1, ""), house.plugin_of(2, ""));
    let worker = ensure(&house, &first).await;
    // Beside the own worker there is room; for another organization the idle one makes way.
    let candidate = house.workers.candidate(&first, house.source.launch_of(&first)).await.unwrap();
    assert!(worker.is_alive());
    candidate.discard();
    let launch = house.source.launch_of(&second);
    let candidate = tokio::time::timeout(SOON, house.workers.candidate(&second, launch)).await.unwrap();
    let second_worker = candidate.unwrap().promote().await.unwrap();
    assert!(!worker.is_alive());
    // With the only place in use, the first one is switched off all the same.
    let _call = second_worker.activity();
    house.source.set(&first, Ok(house.source.launch_of(&second)));
    let mut launch = house.source.launch_of(&first);
    launch.binding = crate::support::binding(1);
    launch.package = house.package(PLUGIN, "exports.disable = () => console.log('disabled');");
    house.source.set(&first, Ok(launch));
    // So it is when it stands in the line already, for somebody who gave up.
    let waited = house.workers.ensure(&first).await;
    assert!(matches!(waited, Err(Unavailable::Timeout { .. })), "{waited:?}");
    tokio::time::timeout(SOON, house.workers.disable(&first)).await.unwrap();
    assert!(house.workers.logs(&first, 10).iter().any(|line| line.message == "disabled"));
    assert!(second_worker.is_alive());
    house.close().await;
}

#[tokio::test]
async fn new_settings_for_which_there_is_no_place_wait_so_long_and_no_longer() {
    let deadline = Duration::from_secs(3);
    let house = house(1, |settings| settings.queue.deadline = deadline);
    let (first, second) = (house.plugin_of(1, ""), house.plugin_of(2, ""));
    let worker = ensure(&house, &first).await;
    let _call = worker.activity();
    let launch = house.source.launch_of(&second);
    let waited = tokio::time::timeout(SOON, house.workers.candidate(&second, launch.clone())).await.unwrap();
    assert_eq!(waited.unwrap_err(), CandidateError::NoPlace { after: deadline });
    let pools = house.workers.pools(vec![first.plugin.clone()]).await;
    assert_eq!((pools[0].in_use, pools[0].waiting), (1, 0), "nobody stands in the line any more");
    // Whoever has a worker has a place for new settings.
    let launch = house.source.launch_of(&first);
    house.workers.candidate(&first, launch).await.unwrap().promote().await.unwrap();
    house.close().await;
}

#[tokio::test]
async fn workers_that_are_kept_alive_do_not_idle_out() {
    let house = House::with(|settings| {
        settings.deadlines.idle = Duration::from_millis(100);
        settings.pools.keep_alive.insert(PLUGIN.parse().unwrap());
    });
    let kept = ensure(&house, &house.plugin("")).await;
    // Another one that came later is stopped for idleness meanwhile, twice.
    for name in ["hay-plugin-a", "hay-plugin-b"] {
        let other = ensure(&house, &house.plugin_named(name, "")).await;
        house.observer.end_of(other.id()).await;
    }
    assert!(kept.is_alive());
    house.close().await;
}

#[tokio::test]
async fn a_worker_that_asked_the_host_for_something_is_not_idle_for_a_while() {
    let script = "exports.start = (w) => w.request({ type: 'kv', op: 'get', key: 'a' });";
    let house = House::with(|settings| {
        settings.deadlines.idle = Duration::from_millis(50);
        settings.deadlines.after_asking = Duration::from_secs(3600);
    });
    let (asking, silent) = (house.plugin(script), house.plugin_named("hay-plugin-silent", ""));
    let worker = ensure(&house, &asking).await;
    let other = ensure(&house, &silent).await;
    house.observer.event("stopped").await;
    assert!(worker.is_alive() && !other.is_alive());
    house.close().await;

    let house = House::with(|settings| {
        settings.deadlines.idle = Duration::from_millis(50);
        settings.deadlines.after_asking = Duration::ZERO;
    });
    let worker = ensure(&house, &house.plugin(script)).await;
    house.observer.event("stopped").await;
    assert!(!worker.is_alive());
    house.close().await;
}

#[tokio::test]
async fn a_worker_that_only_said_what_it_serves_makes_way() {
    let script = "exports.start = async (w) => {
        await w.openMcp({ id: 'tools', kind: 'inProcess' });
        await w.request({ type: 'updateRegistration', registration: {} });
        await w.request({ type: 'updateAuth', methodId: 'key', credentials: { key: 'renewed' } });
      };";
    let house = house(1, |settings| {
        settings.queue.deadline = SOON;
        settings.deadlines.after_asking = Duration::from_secs(3600);
    });
    let (first, second) = (house.plugin_of(1, script), house.plugin_of(2, script));
    let worker = ensure(&house, &first).await;
    let next = ensure(&house, &second).await;
    assert!(next.is_alive() && !worker.is_alive());
    house.close().await;
}

#[tokio::test]
async fn no_more_plugins_are_loaded_at_once_than_the_machine_has_processors_for() {
    let house = House::with(|settings| {
        settings.starts.at_once = some(2);
        settings.starts.slot = SOON;
    });
    let slow = "exports.initialize = () => new Promise((done) => setTimeout(done, 100));";
    let keys: Vec<_> = (1..=8).map(|organization| house.plugin_of(organization, slow)).collect();
    let mut most = 0;
    let watch = async {
        loop {
            let statuses = house.workers.statuses().await;
            most = most.max(statuses.iter().filter(|one| one.state == WorkerState::Starting).count());
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = watch => {}
        started = join_all(keys.iter().map(|key| house.workers.ensure(key))) => {
            assert!(started.iter().all(Result::is_ok));
        }
    }
    assert!((1..=2).contains(&most), "{most} at once");
    house.close().await;
}

/// What computes while it is loaded keeps its slot although a slot's time is over; what waits does not.
#[tokio::test]
async fn a_load_that_needs_the_processor_keeps_its_slot() {
    let computes = "exports.initialize = (w) => w.block();";
    let waits = "exports.initialize = (w) => w.hang();";
    // The one would get a slot after a second if nobody looked, and the other one after ten.
    for (script, slot, deadline) in [(computes, 1, 2), (waits, 2, 8)] {
        let house = House::with(|settings| {
            settings.starts.at_once = some(2);
            settings.starts.slot = Duration::from_secs(slot);
            settings.deadlines.on_initialize = 10 * SOON;
            settings.queue.deadline = Duration::from_secs(deadline);
        });
        let loading: Vec<_> = (1..=2).map(|organization| house.plugin_of(organization, script)).collect();
        let loading: Vec<_> = loading
            .into_iter()
            .map(|key| {
                let workers = house.workers.clone();
                tokio::spawn(async move { workers.ensure(&key).await })
            })
            .collect();
        let slots_are_taken = async {
            while house.workers.statuses().await.len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, slots_are_taken).await.unwrap();
        let started = house.workers.ensure(&house.switched_on(3, "hay-plugin-other", "")).await;
        match script == computes {
            true => assert!(matches!(started, Err(Unavailable::Timeout { .. })), "{started:?}"),
            false => assert!(started.is_ok(), "{started:?}"),
        }
        loading.iter().for_each(|waiting| waiting.abort());
        house.close().await;
    }
}

/// One organization starts what never comes up, and starts it again and again: others get their workers meanwhile.
#[tokio::test]
async fn a_storm_of_one_organization_costs_itself() {
    let house = House::with(|settings| {
        settings.starts.at_once = some(2);
        // Nothing but the shares of organizations helps the others here.
        settings.starts.slot = 10 * SOON;
        settings.deadlines.on_initialize = 10 * SOON;
        settings.starts.rate = NonZeroU32::new(1).unwrap();
        settings.starts.burst = NonZeroU32::new(6).unwrap();
    });
    let hanging = "exports.initialize = (w) => { console.log('hangs'); return w.hang(); };";
    let crashing = "process.exit(1)";
    let mut storm: Vec<_> = Vec::new();
    for (index, script) in [hanging, crashing].into_iter().cycle().take(10).enumerate() {
        storm.push(house.plugin_named(&format!("hay-plugin-{index}"), script));
    }
    let victims: Vec<_> = (2..=5).map(|organization| house.plugin_of(organization, "")).collect();
    let raging = join_all(storm.iter().map(async |key| {
        loop {
            // A person who restarts it takes each pause away.
            let _ = house.workers.ensure(key).await;
            house.workers.stop(key, "once more").await;
        }
    }));
    let served = async {
        for victim in &victims {
            ensure(&house, victim).await;
        }
    };
    tokio::select! {
        _ = raging => {}
        served = tokio::time::timeout(SOON, served) => served.unwrap(),
    }
    house.close().await;
}
