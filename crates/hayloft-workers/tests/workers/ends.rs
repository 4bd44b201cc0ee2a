//! How workers end in order, with everything that they started.

use std::time::{Duration, Instant};

use hayloft_model::{InstanceState, WorkerState};
use hayloft_workers::{HookCall, LaunchRefused, Unavailable, WorkerStatus};
use serde_json::json;

use crate::processes::{beside, is_running, parent, tree, until_gone};
use crate::support::{House, SOON, quick};

/// A plugin whose children try to get away: one in a session of its own, one without an environment, one orphaned.
const ESCAPING: &str = "
    const { spawn } = require('node:child_process');
    exports.start = (w) => Promise.all([
      ['sh', ['-c', 'echo up; exec sleep 1000'], { detached: true }],
      ['env', ['-i', '/bin/sh', '-c', 'echo up; exec /bin/sleep 1001'], { detached: true }],
      ['sh', ['-c', '(setsid env -i /bin/sh -c \"echo up; exec /bin/sleep 1002\" &)'], { detached: true }],
    ].map(([command, args, options]) => new Promise((resolve) => {
      const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'ignore'] });
      child.stdout.once('data', resolve);
      child.unref();
    })));";

#[tokio::test]
async fn a_stop_ends_the_whole_tree() {
    let house = House::new();
    let instance = house
        .plugin(&format!("{ESCAPING} process.on('SIGTERM', () => {{}}); exports.shutdown = () => {{}};"));
    house.workers.ensure(&instance).await.unwrap();
    assert_eq!(house.observer.event("ready").await, "ready");
    let pid = house.workers.statuses().await[0].pid.unwrap();
    // The orphan has come back to the first process of the jail, which is the worker's parent.
    let tree = tree(parent(pid).unwrap());
    assert!(tree.len() >= 5, "{tree:?}");
    tokio::time::timeout(SOON, house.workers.stop(&instance, "a test says so")).await.unwrap();
    for pid in tree {
        assert!(!is_running(pid), "{pid} still runs");
    }
    assert_eq!(house.observer.event("stopped").await, "stopped");
    assert_eq!(house.observer.events(), ["starting", "ready", "draining", "stopped"]);
    house.nothing_is_left();
    house.close().await;
}

#[tokio::test]
async fn a_crash_ends_the_whole_tree() {
    let house = House::new();
    let instance = house.plugin(
        "const { spawn } = require('node:child_process');
         exports.start = () => new Promise((resolve) => {
           const child = spawn('sh', ['-c', 'echo $$; exec sleep 1000'], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
           child.stdout.once('data', (pid) => { console.log(String(pid).trim()); resolve(); });
         });
         exports.enable = () => process.abort();",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    let inside = house.workers.logs(&instance, 1)[0].message.parse().unwrap();
    let child = beside(house.workers.statuses().await[0].pid.unwrap(), inside);
    assert!(is_running(child));
    assert!(worker.call_hook(HookCall::Enable).await.is_err());
    house.observer.event("crashed").await;
    assert!(!is_running(child));
    house.close().await;
}

#[tokio::test]
async fn an_idle_worker_is_stopped_but_never_in_a_call() {
    let house = House::with(|settings| settings.deadlines.idle = Duration::from_millis(100));
    let instance = house.plugin("");
    let worker = house.workers.ensure(&instance).await.unwrap();
    let call = worker.activity();
    // Twice the idle time passes for another worker, which is stopped meanwhile; the busy one is not.
    let other = house.plugin_named("hay-plugin-other", "");
    house.workers.ensure(&other).await.unwrap();
    house.observer.event("stopped").await;
    assert!(worker.is_alive());
    drop(call);
    tokio::time::timeout(SOON, async {
        while !house.workers.statuses().await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert!(!worker.is_alive());
    assert!(house.workers.ensure(&instance).await.is_ok());
    house.close().await;
}

#[tokio::test]
async fn a_drain_waits_for_calls_but_not_for_ever() {
    let house = House::with(|settings| settings.deadlines.drain = Duration::from_secs(60));
    let instance = house.plugin("exports.enable = (w) => new Promise((done) => setTimeout(done, 300));");
    let worker = house.workers.ensure(&instance).await.unwrap();
    let slow = tokio::spawn({
        let worker = worker.clone();
        async move { worker.call_hook(HookCall::Enable).await }
    });
    while house.workers.statuses().await[0].in_flight == 0 {
        tokio::task::yield_now().await;
    }
    house.workers.stop(&instance, "a test says so").await;
    assert!(slow.await.unwrap().is_ok());
    house.close().await;

    let house = House::quick();
    let instance = house.plugin("");
    let worker = house.workers.ensure(&instance).await.unwrap();
    let _call = worker.activity();
    tokio::time::timeout(SOON, house.workers.stop(&instance, "a test says so")).await.unwrap();
    assert!(!worker.is_alive());
    house.close().await;
}

/// Whoever was given a worker just before it was told to end begins his call a moment later.
#[tokio::test]
async fn who_has_just_found_a_worker_is_served_although_it_is_to_end() {
    let house = House::new();
    let instance = house.plugin("exports.connected = () => ({ fine: true });");
    // A machine that takes longer than whoever finds a worker has shows nothing.
    let in_time = Duration::from_millis(80);
    let (taken, answer) = loop {
        house.workers.ensure(&instance).await.unwrap();
        let begun = Instant::now();
        let worker = house.workers.engage(&instance).unwrap();
        let stop = tokio::spawn({
            let (workers, instance) = (house.workers.clone(), instance.clone());
            async move { workers.stop(&instance, "a test says so").await }
        });
        let draining = |status: &WorkerStatus| status.state == WorkerState::Draining;
        while !house.workers.statuses().await.first().is_none_or(draining) {
            tokio::task::yield_now().await;
        }
        let (taken, answer) = tokio::join!(async { begun.elapsed() }, worker.call_hook(HookCall::Connected));
        stop.await.unwrap();
        if taken < in_time {
            break (taken, answer);
        }
    };
    assert_eq!(answer, Ok(json!({ "fine": true })), "after {taken:?}");
    house.close().await;
}

#[tokio::test]
async fn disabling_runs_the_hook_whatever_the_state() {
    let house = House::quick();
    let script =
        "exports.disable = () => console.log('disabled'); exports.start = () => { throw new Error('no'); };";
    let instance = house.plugin(script);
    let disabled = |count: usize| {
        let lines = house.workers.logs(&instance, 100);
        assert_eq!(lines.iter().filter(|line| line.message == "disabled").count(), count);
    };
    // Running, even if degraded.
    house.workers.ensure(&instance).await.unwrap();
    house.workers.disable(&instance).await;
    disabled(1);
    assert_eq!(house.workers.statuses().await, []);
    // Stopped.
    house.workers.disable(&instance).await;
    disabled(2);
    // Called meanwhile.
    let (answer, ()) = tokio::join!(
        async {
            while house.workers.statuses().await.is_empty() {
                tokio::task::yield_now().await;
            }
            house.workers.ensure(&instance).await
        },
        house.workers.disable(&instance)
    );
    assert_eq!(answer.unwrap_err(), Unavailable::Refused(LaunchRefused::NotEnabled));
    disabled(3);
    // Not to be had at all.
    house.source.set(&instance, Err(LaunchRefused::Failed { reason: "gone".into() }));
    house.workers.disable(&instance).await;
    disabled(3);
    house.close().await;
}

#[tokio::test]
async fn a_disable_hook_cannot_keep_its_plugin_on() {
    for script in [
        "exports.disable = (w) => w.block();",
        "exports.disable = () => process.exit(1);",
        "exports.disable = () => { throw 1; };",
    ] {
        let house = House::quick();
        let instance = house.plugin(script);
        house.workers.ensure(&instance).await.unwrap();
        tokio::time::timeout(SOON, house.workers.disable(&instance)).await.unwrap();
        assert_eq!(house.workers.statuses().await, []);
        house.close().await;
    }
}

#[tokio::test]
async fn a_start_that_is_called_off_leaves_nothing() {
    let house = House::with(|settings| settings.deadlines.stop = Duration::from_millis(200));
    let instance = house.plugin("exports.initialize = (w) => { console.log('begun'); return w.hang(); };");
    let (answer, ()) = tokio::join!(house.workers.ensure(&instance), async {
        while house.workers.logs(&instance, 1).is_empty() {
            tokio::task::yield_now().await;
        }
        house.workers.stop(&instance, "changed my mind").await;
    });
    assert_eq!(answer.unwrap_err(), Unavailable::Stopped { reason: "changed my mind".into() });
    assert_eq!(house.workers.statuses().await, []);
    house.close().await;
}

#[tokio::test]
async fn a_shutdown_ends_all_and_starts_no_more() {
    let house = House::with(|settings| settings.deadlines = quick());
    let keys: Vec<_> = (0..5)
        .map(|index| house.plugin_named(&format!("hay-plugin-{index}"), "exports.shutdown = () => {};"))
        .collect();
    for key in &keys {
        house.workers.ensure(key).await.unwrap();
    }
    tokio::time::timeout(SOON, house.workers.shutdown(Duration::ZERO)).await.unwrap();
    assert_eq!(house.workers.ensure(&keys[0]).await.unwrap_err(), Unavailable::ShuttingDown);
    house.nothing_is_left();
    house.close().await;
}

#[tokio::test]
async fn dropping_the_handle_ends_all() {
    let house = House::new();
    let instance = house.plugin("");
    house.workers.ensure(&instance).await.unwrap();
    let pid = house.workers.statuses().await[0].pid.unwrap();
    let House { workers, folder: _folder, .. } = house;
    drop(workers);
    until_gone(&[pid], SOON).await;
}

#[tokio::test]
async fn states_follow_the_serving_worker() {
    let house = House::new();
    let instance = house.plugin("");
    house.workers.ensure(&instance).await.unwrap();
    house.workers.stop(&instance, "once").await;
    house.workers.ensure(&instance).await.unwrap();
    assert_eq!(house.workers.statuses().await[0].instance_state, InstanceState::Ready);
    house.observer.event("stopped").await;
    let events = house.observer.events();
    assert_eq!(events, ["starting", "ready", "draining", "stopped", "starting", "ready"]);
    house.close().await;
}

/// Whoever switches a plugin off in the moment in which its worker is being cleared away gets another one to run
/// `onDisable` with, as if it had stood still.
#[tokio::test]
async fn a_plugin_is_switched_off_while_its_crashed_worker_is_cleared_away() {
    let house = House::new();
    for organization in 1..=20 {
        let instance =
            house.plugin_of(organization, "exports.disable = () => { console.log('cleaned up'); };");
        house.workers.ensure(&instance).await.unwrap();
        let status =
            house.workers.statuses().await.into_iter().find(|status| status.key == instance).unwrap();
        kill(status.pid.unwrap());
        let begun = Instant::now();
        while house.workers.serving(&instance).is_some() && begun.elapsed() < SOON {
            tokio::task::yield_now().await;
        }
        tokio::time::timeout(SOON, house.workers.disable(&instance)).await.unwrap();
        let said = house.workers.logs(&instance, 100);
        assert!(said.iter().any(|line| line.message == "cleaned up"), "{said:?}");
    }
    house.close().await;
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
