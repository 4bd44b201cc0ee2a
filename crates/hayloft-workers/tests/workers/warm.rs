//! Workers that are ready before it is known for whom: given away once, never to who wants something else, and gone when
//! nobody wants them.

use std::collections::HashSet;
use std::fs;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::DateTime;
use futures::future::join_all;
use hayloft_model::plugin::{NetworkTarget, PluginLimits};
use hayloft_model::{ContentHash, InstanceKey, Secret, WorkerId, WorkerState};
use hayloft_workers::{HookCall, Launch, Pooling, Settings, WarmLimits, WarmWorker, Worker};
use serde_json::json;

use crate::support::{House, SOON, quick, values};

/// A plugin that says what it knows, and when it learned it.
const TELLING: &str = "
    console.log('loaded');
    const seen = JSON.stringify(process.env);
    exports.enable = (w) => ({ organization: w.bound.organization.id, config: w.bound.config, seen, pid: process.pid });";

/// A house that keeps one worker of each plugin ready, without pauses between those that one instance takes.
fn house() -> House {
    with(|_| {})
}

fn with(change: impl FnOnce(&mut Settings)) -> House {
    House::with(|settings| {
        settings.deadlines = quick();
        settings.warm =
            WarmLimits { pause: Duration::ZERO, of_plugin: NonZeroUsize::MIN, ..WarmLimits::default() };
        change(settings);
    })
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// The workers that are ready, once there are so many and no other is on its way.
async fn warm(house: &House, count: usize) -> Vec<WarmWorker> {
    let mut ready = Vec::new();
    until("warm workers", async || {
        ready = house.workers.warm_workers().await;
        ready.len() == count && ready.iter().all(|worker| worker.state == WorkerState::Warm)
    })
    .await;
    ready
}

async fn ensure(house: &House, key: &InstanceKey) -> Worker {
    tokio::time::timeout(SOON, house.workers.ensure(key)).await.unwrap().unwrap()
}

/// The same plugin with something else about it.
fn changed(house: &House, key: &InstanceKey, change: impl FnOnce(&mut Launch)) {
    let mut launch = house.source.launch_of(key);
    change(&mut launch);
    house.source.set(key, Ok(launch));
}

#[tokio::test]
async fn the_next_one_is_started_a_moment_after_the_last_was_taken() {
    let house = house();
    let begun = tokio::time::Instant::now();
    let (first, second) = (house.plugin_of(1, TELLING), house.plugin_of(2, TELLING));
    ensure(&house, &first).await;
    let ready = warm(&house, 1).await.remove(0).worker_id;
    let before = begun.elapsed();
    assert_eq!(ensure(&house, &second).await.id(), ready);
    // By the clock of the house, which began before.
    let started = warm(&house, 1).await.remove(0).started_at - DateTime::UNIX_EPOCH;
    assert!(started.to_std().unwrap() >= before + Duration::from_millis(100), "{started} after {before:?}");
    house.close().await;
}

#[tokio::test]
async fn whoever_comes_next_gets_the_one_that_is_ready() {
    let house = house();
    let (first, second) = (house.plugin_of(1, TELLING), house.plugin_of(2, TELLING));
    changed(&house, &second, |launch| {
        launch.binding.config = values(json!({ "key": "canary-second" }));
        launch.binding.environment = vec![("TOKEN".into(), Secret::new("canary-token".into()))];
    });
    let cold = ensure(&house, &first).await;
    let ready = warm(&house, 1).await.remove(0);
    assert_ne!(ready.worker_id, cold.id());
    assert!(house.workers.statuses().await.iter().all(|status| status.worker_id == cold.id()));

    let given = ensure(&house, &second).await;
    assert_eq!(given.id(), ready.worker_id);
    let told = given.call_hook(HookCall::Enable).await.unwrap();
    assert_eq!(told["organization"], second.organization.to_string());
    assert_eq!(told["config"], json!({ "key": "canary-second" }));
    // When it was loaded nothing of that was there.
    let seen = told["seen"].as_str().unwrap();
    assert!(!seen.contains("canary") && !seen.contains(&second.organization.to_string()), "{seen}");
    let status = house.workers.statuses().await;
    let status = status.iter().find(|status| status.worker_id == given.id()).unwrap();
    assert_eq!((&status.key, status.pid, status.state), (&second, ready.pid, WorkerState::Bound));
    // What it wrote before is its organization's to read, and nobody else's.
    let lines = |key| house.workers.logs(key, 100);
    assert!(lines(&second).iter().any(|line| line.worker == given.id() && line.message == "loaded"));
    assert!(lines(&first).iter().all(|line| line.worker == cold.id()));
    // The next one is made ready meanwhile, and the record of those that serve has it no more.
    let next = warm(&house, 1).await.remove(0);
    assert_ne!(next.worker_id, given.id());
    house.close().await;
}

#[tokio::test]
async fn all_who_come_at_once_get_one_each() {
    let house = with(|settings| settings.warm.of_plugin = NonZeroUsize::new(2).unwrap());
    let keys: Vec<_> = (1..=6).map(|organization| house.plugin_of(organization, TELLING)).collect();
    for key in &keys[..2] {
        ensure(&house, key).await;
    }
    let ready: HashSet<WorkerId> = warm(&house, 2).await.iter().map(|worker| worker.worker_id).collect();
    for key in &keys[..2] {
        house.workers.stop(key, "a test says so").await;
    }
    let workers = join_all(keys.iter().map(|key| ensure(&house, key))).await;
    let ids: HashSet<WorkerId> = workers.iter().map(Worker::id).collect();
    assert_eq!(ids.len(), keys.len(), "one for each");
    assert!(ready.is_subset(&ids), "those that were ready were given away");
    for (key, worker) in keys.iter().zip(&workers) {
        let told = worker.call_hook(HookCall::Enable).await.unwrap();
        assert_eq!(told["organization"], key.organization.to_string());
    }
    house.close().await;
}

#[tokio::test]
async fn new_settings_are_tried_in_one_that_is_ready() {
    let house = house();
    let key = house.plugin(TELLING);
    ensure(&house, &key).await;
    let ready = warm(&house, 1).await.remove(0);
    let candidate = house.workers.candidate(&key, house.source.launch_of(&key)).await.unwrap();
    assert_eq!(candidate.id(), ready.worker_id);
    let promoted = candidate.promote().await.unwrap();
    assert_eq!(house.workers.serving(&key).unwrap().id(), promoted.id());
    house.close().await;
}

#[tokio::test]
async fn nobody_gets_one_that_is_ready_for_something_else() {
    let house = house();
    let first = house.plugin_of(1, TELLING);
    ensure(&house, &first).await;
    let ready = warm(&house, 1).await.remove(0).worker_id;
    let others: [fn(&mut Launch); 6] = [
        |launch| launch.package.content_hash = ContentHash::from_bytes([8; 32]),
        |launch| {
            launch.package.descriptor.network = Some(vec!["example.com".parse::<NetworkTarget>().unwrap()])
        },
        |launch| {
            launch.package.descriptor.limits =
                PluginLimits { memory: Some(600 << 20), ..PluginLimits::default() };
        },
        |launch| launch.package.descriptor.env = vec!["TOKEN".into()],
        |launch| launch.package.start.compiled = Some(launch.package.root.join("compiled")),
        |launch| launch.pooling = Pooling::Never,
    ];
    for (number, change) in (2..).zip(others) {
        let key = house.plugin_of(number, TELLING);
        changed(&house, &key, change);
        let worker = ensure(&house, &key).await;
        assert_ne!(worker.id(), ready, "change {number}");
        house.workers.stop(&key, "a test says so").await;
    }
    // It is there still, for who wants just this.
    assert_eq!(ensure(&house, &house.plugin_of(9, TELLING)).await.id(), ready);
    house.close().await;
}

#[tokio::test]
async fn one_that_does_not_take_its_organization_costs_nobody_a_failure() {
    // Whether somebody wants it to fail is seen when it is bound; one that was started afterwards does not.
    let script = |act: &str| {
        format!(
            "const fs = require('node:fs');
             const refuses = () => fs.existsSync(__dirname + '/refuse');
             const late = refuses();
             exports.bind = (w) => {{ if (!late && refuses()) {{ {act} }} }};"
        )
    };
    for (number, act) in ["throw new Error('no');", "process.exit(3);", "w.block();"].into_iter().enumerate()
    {
        let house = house();
        let id = format!("hay-plugin-{number}");
        let (first, second) =
            (house.switched_on(1, &id, &script(act)), house.switched_on(2, &id, &script(act)));
        ensure(&house, &first).await;
        let ready = warm(&house, 1).await.remove(0).worker_id;
        fs::write(house.package(&id, &script(act)).root.join("refuse"), "").unwrap();
        let worker = ensure(&house, &second).await;
        assert_ne!(worker.id(), ready, "{act}");
        assert!(worker.is_alive());
        let events = house.observer.events();
        assert!(events.iter().all(|event| !event.starts_with("crashed")), "{act}: {events:?}");
        let statuses = house.workers.statuses().await;
        let status = statuses.iter().find(|status| status.worker_id == worker.id()).unwrap();
        assert_eq!((status.restarts, &status.last_error), (0, &None), "{act}");
        // New settings fare alike.
        let candidate = house.workers.candidate(&second, house.source.launch_of(&second)).await.unwrap();
        candidate.discard();
        house.close().await;
    }
}

#[tokio::test]
async fn one_that_is_killed_is_not_given_away_and_another_one_is_made_ready() {
    let house = house();
    let (first, second) = (house.plugin_of(1, TELLING), house.plugin_of(2, TELLING));
    ensure(&house, &first).await;
    let killed = warm(&house, 1).await.remove(0);
    let pid = rustix::process::Pid::from_raw(killed.pid.unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    // Whether that is known already or not, nobody is told of it.
    let worker = ensure(&house, &second).await;
    assert_ne!(worker.id(), killed.worker_id);
    assert!(house.observer.events().iter().all(|event| !event.starts_with("crashed")));
    assert_ne!(warm(&house, 1).await.remove(0).worker_id, killed.worker_id);
    house.close().await;
}

#[tokio::test]
async fn a_plugin_that_is_let_go_has_none_until_somebody_needs_it() {
    let house = house();
    let (key, other) = (house.plugin(TELLING), house.plugin_named("hay-plugin-other", TELLING));
    ensure(&house, &key).await;
    ensure(&house, &other).await;
    warm(&house, 2).await;
    house.workers.cool(&key.plugin, "a test says so");
    let left = warm(&house, 1).await;
    assert_eq!(left[0].plugin, other.plugin);
    house.workers.stop(&key, "a test says so").await;
    ensure(&house, &key).await;
    warm(&house, 2).await;
    house.close().await;
}

/// What ran before a plugin was let go makes none ready when it goes for want of use.
#[tokio::test]
async fn a_plugin_that_is_let_go_has_none_because_an_older_worker_goes() {
    for cooled in [false, true] {
        let house = with(|settings| {
            settings.deadlines.idle = Duration::from_millis(300);
            settings.deadlines.after_asking = Duration::ZERO;
        });
        let key = house.plugin(TELLING);
        let call = ensure(&house, &key).await.activity();
        warm(&house, 1).await;
        if cooled {
            house.workers.cool(&key.plugin, "a test says so");
            warm(&house, 0).await;
        }
        drop(call);
        house.observer.event("stopped").await;
        assert_eq!(house.workers.warm_workers().await.len(), usize::from(!cooled));
        house.close().await;
    }
}

/// Nor does what was looked up before and starts afterwards.
#[tokio::test]
async fn a_plugin_that_is_let_go_has_none_because_of_a_start_that_had_begun() {
    for (waits, cooled) in [(false, false), (false, true), (true, false), (true, true)] {
        let house = with(|settings| settings.pools.workers = NonZeroUsize::new(2).unwrap());
        let key = house.plugin_of(1, TELLING);
        let other = house.plugin_named("hay-plugin-other", TELLING);
        let call = ensure(&house, &house.plugin_of(2, TELLING)).await.activity();
        let full = waits.then(|| house.plugin_of(3, TELLING));
        let full = match &full {
            Some(full) => Some(ensure(&house, full).await.activity()),
            None => None,
        };
        let held = house.source.hold();
        let asked = house.source.asked.load(Ordering::SeqCst);
        let start = tokio::spawn({
            let (workers, key) = (house.workers.clone(), key.clone());
            async move { workers.ensure(&key).await.unwrap() }
        });
        until("the question", async || house.source.asked.load(Ordering::SeqCst) > asked).await;
        let held = Some(held).filter(|_| !waits);
        if waits {
            let plugins = || vec![key.plugin.clone()];
            until("the line", async || house.workers.pools(plugins()).await[0].waiting == 1).await;
        }
        warm(&house, 1).await;
        if cooled {
            house.workers.cool(&key.plugin, "a test says so");
            warm(&house, 0).await;
        }
        drop((held, full));
        tokio::time::timeout(SOON, start).await.unwrap().unwrap();
        // One of another plugin comes first, since that is asked for last, and others follow in the same moment.
        ensure(&house, &other).await;
        let mut ready = Vec::new();
        until("a warm worker of the other plugin", async || {
            ready = house.workers.warm_workers().await;
            ready.iter().any(|one| one.plugin == other.plugin && one.state == WorkerState::Warm)
        })
        .await;
        let own = ready.iter().filter(|one| one.plugin == key.plugin).count();
        assert_eq!(own, usize::from(!cooled), "waits: {waits}, let go: {cooled}");
        drop(call);
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_too_large_is_let_go_and_not_tried_again() {
    let large = "globalThis.kept = Buffer.alloc(160 << 20, 1);";
    let house = with(|settings| settings.warm.memory = 128 << 20);
    let (key, small) = (house.plugin(large), house.plugin_named("hay-plugin-small", TELLING));
    ensure(&house, &key).await;
    let mut seen = HashSet::new();
    until("the large one to be let go", async || {
        let now = house.workers.warm_workers().await;
        let gone = !seen.is_empty() && now.is_empty();
        seen.extend(now.iter().map(|worker| worker.worker_id));
        gone
    })
    .await;
    // There is room for another plugin's again, and only for that.
    ensure(&house, &small).await;
    assert_eq!(warm(&house, 1).await[0].plugin, small.plugin);
    assert_eq!(seen.len(), 1, "{seen:?}");
    house.close().await;
}

/// Whoever stands in the line when it becomes ready is given it, and it is bound once.
#[tokio::test]
async fn one_that_becomes_ready_is_given_to_who_waits_already() {
    let house = with(|settings| {
        settings.starts.at_once = NonZeroUsize::MIN;
        settings.starts.slot = 10 * SOON;
        settings.deadlines.on_initialize = 10 * SOON;
    });
    let held = "
        const held = require('node:path').join(__dirname, 'held');
        while (require('node:fs').existsSync(held)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);";
    let (first, second) = (house.plugin_of(1, held), house.plugin_of(2, held));
    let launch = house.source.launch_of(&second);
    let mark = launch.package.root.join("held");
    ensure(&house, &first).await;
    let ready = warm(&house, 1).await.remove(0).worker_id;
    fs::write(&mark, "").unwrap();
    assert_eq!(ensure(&house, &house.plugin_of(3, held)).await.id(), ready);
    let mut loading = None;
    until("the next one", async || {
        loading = house.workers.warm_workers().await.first().map(|worker| worker.worker_id);
        loading.is_some()
    })
    .await;
    let hanging = house.package("hay-plugin-hanging", "exports.initialize = (w) => w.hang();");
    let mut probing = Box::pin(house.workers.probe(&hanging));
    assert!(futures::poll!(&mut probing).is_pending());
    let mut waiting = Box::pin(house.workers.candidate(&second, launch));
    assert!(futures::poll!(&mut waiting).is_pending());
    tokio::task::yield_now().await;
    // Both have asked before this is answered, and the first of them has the only slot.
    assert!(house.workers.warm_workers().await.iter().all(|worker| worker.state != WorkerState::Warm));
    fs::remove_file(mark).unwrap();
    let candidate = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(Some(candidate.id()), loading);
    candidate.promote().await.unwrap();
    drop(probing);
    house.close().await;
}

#[tokio::test]
async fn one_that_does_not_come_up_is_in_nobodys_way() {
    let house = with(|settings| settings.deadlines.on_initialize = 10 * SOON);
    let hangs = "
        const mark = require('node:path').join(__dirname, 'hangs');
        exports.initialize = (w) => require('node:fs').existsSync(mark) ? w.hang() : undefined;";
    let (key, other) = (house.plugin(hangs), house.plugin_named("hay-plugin-other", TELLING));
    ensure(&house, &key).await;
    fs::write(house.source.launch_of(&key).package.root.join("hangs"), "").unwrap();
    until("the one that hangs", async || !house.workers.warm_workers().await.is_empty()).await;
    ensure(&house, &other).await;
    let mut seen = Vec::new();
    until("a warm worker of the other plugin", async || {
        seen = house.workers.warm_workers().await;
        seen.iter().any(|one| one.plugin == other.plugin && one.state == WorkerState::Warm)
    })
    .await;
    assert!(seen.iter().any(|one| one.plugin == key.plugin && one.state == WorkerState::Starting));
    house.close().await;
}

/// Who waits for a place in a full pool keeps nobody's next worker from being made ready.
#[tokio::test]
async fn who_waits_for_a_place_is_in_nobodys_way() {
    let house = with(|settings| {
        settings.pools.workers = NonZeroUsize::MIN;
        settings.queue.deadline = 10 * SOON;
    });
    let (busy, waiting) = (house.plugin_of(1, TELLING), house.plugin_of(2, TELLING));
    let other = house.plugin_named("hay-plugin-other", TELLING);
    let call = ensure(&house, &busy).await.activity();
    let waits = tokio::spawn({
        let (workers, waiting) = (house.workers.clone(), waiting.clone());
        async move { workers.ensure(&waiting).await.is_ok() }
    });
    until("somebody who waits", async || {
        house.workers.pools(vec![waiting.plugin.clone()]).await[0].waiting == 1
    })
    .await;
    ensure(&house, &other).await;
    until("a warm worker of the other plugin", async || {
        house.workers.warm_workers().await.iter().any(|worker| worker.plugin == other.plugin)
    })
    .await;
    assert!(!waits.is_finished());
    drop(call);
    house.close().await;
}

#[tokio::test]
async fn what_crashes_takes_nothing_from_the_others() {
    let house = house();
    let crashing = "exports.enable = () => process.exit(1);";
    let (bad, good) = (house.plugin_of(1, crashing), house.plugin_of(2, crashing));
    let worker = ensure(&house, &bad).await;
    let ready = warm(&house, 1).await.remove(0).worker_id;
    worker.call_hook(HookCall::Enable).await.unwrap_err();
    house.observer.event("crashed").await;
    let again = ensure(&house, &bad).await;
    assert_ne!(again.id(), ready);
    assert_eq!(ensure(&house, &good).await.id(), ready);
    house.close().await;
}

#[tokio::test]
async fn an_instance_takes_one_in_a_while() {
    let house = with(|settings| settings.warm.pause = SOON);
    let key = house.plugin(TELLING);
    ensure(&house, &key).await;
    let first = warm(&house, 1).await.remove(0).worker_id;
    house.workers.stop(&key, "a test says so").await;
    assert_eq!(ensure(&house, &key).await.id(), first);
    let second = warm(&house, 1).await.remove(0).worker_id;
    house.workers.stop(&key, "a test says so").await;
    assert_ne!(ensure(&house, &key).await.id(), second);
    assert_eq!(ensure(&house, &house.plugin_of(2, TELLING)).await.id(), second);
    house.close().await;
}
