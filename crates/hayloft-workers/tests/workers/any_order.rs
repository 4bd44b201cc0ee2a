//! Whatever happens to instances, in whatever order: each goes from state to state as the drawing says, everybody gets an
//! answer, and in the end no process is left.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::poll;
use hayloft_model::plugin::UpdateStrategy;
use hayloft_model::{InstanceKey, InstanceState, WorkerState};
use hayloft_workers::{Unavailable, WarmLimits, Worker, Workers};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::processes;
use crate::support::{House, SOON, quick};

mod events;

use events::{Event, Fate, Scene, WELL, What, assert_runs, bring_in, event, happen};

/// So many orders are tried, as many at a time as this: most of what they take is waiting.
const ORDERS: u32 = 18;
const AT_A_TIME: u32 = 3;

/// How the host ends, and after how many events.
#[derive(Clone, Debug)]
enum End {
    /// Everything is stopped first.
    AtRest,
    /// It is told to, and calls in flight have so long; what happens after that happens meanwhile.
    Shutdown(usize, Duration),
    /// Calls in flight have all the time that they want, but so long after it is told once more, and is gone at once.
    Killed(usize, Duration),
}

fn end() -> impl Strategy<Value = End> {
    let time = |most: u64| (0..most).prop_map(Duration::from_millis);
    prop_oneof![
        2 => Just(End::AtRest),
        1 => (0..20_usize, time(500)).prop_map(|(after, calls)| End::Shutdown(after, calls)),
        1 => (0..20_usize, time(200)).prop_map(|(after, then)| End::Killed(after, then)),
    ]
}

#[test]
fn any_order_of_events_ends_in_a_legal_state_and_an_empty_process_table() {
    let cases = ORDERS / AT_A_TIME;
    let config = Config { cases, max_shrink_iters: 10, failure_persistence: None, ..Config::default() };
    let run = || {
        let orders = (prop::collection::vec((event(), any::<bool>()), 1..25), end());
        TestRunner::new(config.clone())
            .run(&orders, |(order, end)| {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
                let killed = runtime.block_on(live(order, end));
                // Nothing of the host runs any more, as after the end of its process.
                drop(runtime);
                if let Some((folder, owner)) = killed {
                    all_are_gone(folder.path(), &owner);
                }
                Ok(())
            })
            .unwrap();
    };
    std::thread::scope(|scope| (0..AT_A_TIME).for_each(|_| drop(scope.spawn(run))));
}

/// An event, and whoever waits for what comes of it.
type Happening = (Event, JoinHandle<()>);

/// Lets it all happen. Gives what is left of a host that was killed: its folder, and the name of its processes.
async fn live(mut order: Vec<(Event, bool)>, end: End) -> Option<(TempDir, String)> {
    let house = House::with(|settings| {
        settings.deadlines = quick();
        // Two organizations share the only place of each plugin.
        settings.pools.workers = std::num::NonZeroUsize::new(1).unwrap();
        settings.starts.at_once = std::num::NonZeroUsize::new(2).unwrap();
        settings.crashes.count = std::num::NonZeroUsize::new(3).unwrap();
        settings.queue.deadline = Duration::from_secs(3);
        settings.warm = WarmLimits { pause: Duration::ZERO, ..WarmLimits::default() };
    });
    let scene = Scene::new(&house);
    let watch = tokio::spawn(never_two(scene.clone()));
    let mut beside = Vec::new();
    let rest = match end {
        End::AtRest => Vec::new(),
        End::Shutdown(after, _) | End::Killed(after, _) => order.split_off(after.min(order.len())),
    };
    play(&scene, order, &mut beside).await;
    let _call = match end {
        End::AtRest => None,
        End::Shutdown(..) | End::Killed(..) => crowd(&scene, &mut beside).await,
    };
    match end {
        End::AtRest => {
            answered(beside).await;
            rest_and_start(&scene).await;
            until_nobody_is_left(&house).await;
        }
        End::Shutdown(_, calls) => {
            let ended = tokio::time::timeout(SOON / 2, shut_down(&scene, calls));
            let (ended, ()) = tokio::join!(ended, play(&scene, rest, &mut beside));
            ended.expect("the end of all workers");
            house.nothing_is_left();
            answered(beside).await;
            assert_eq!(scene.workers.statuses().await, []);
        }
        End::Killed(_, then) => {
            let told = async { tokio::join!(shut_down(&scene, 10 * SOON), play(&scene, rest, &mut beside)) };
            // Whether all has ended by then is all the same.
            let _ = tokio::time::timeout(then, told).await;
            return Some((house.folder, house.owner));
        }
    }
    watch.abort();
    assert!(watch.await.unwrap_err().is_cancelled(), "two workers of a plugin that never has two");
    for key in scene.keys() {
        house.workers.told(key).await;
    }
    follow(&house.observer.steps.lock().unwrap());
    house.nothing_is_left();
    house.close().await;
    None
}

/// One event after the other. What need not be waited for happens beside the rest.
async fn play(scene: &Scene, order: Vec<(Event, bool)>, beside: &mut Vec<Happening>) {
    for (number, (event, waits)) in order.into_iter().enumerate() {
        let happening = (event.clone(), tokio::spawn(happen(scene.clone(), event, number % 2)));
        match waits {
            true => answered([happening]).await,
            false => beside.push(happening),
        }
    }
}

/// Many wait for many things, for places that are taken among them. Gives a call that has no end, if it found a worker.
async fn crowd(scene: &Scene, beside: &mut Vec<Happening>) -> Option<impl Sized + use<>> {
    let [key, _] = &scene.plugins[0].keys;
    let call = scene.workers.ensure(key).await.ok().map(|worker| (worker.activity(), worker));
    let wishes = [
        (0, What::Ensure),
        (8, What::Candidate(Fate::Promoted)),
        (0, What::Candidate(Fate::Relieves)),
        (0, What::Probe),
        (4, What::Disable),
        (9, What::Disable),
    ];
    for (plugin, what) in wishes {
        for of in [0, 1] {
            let event = Event { plugin, what: what.clone() };
            beside.push((event.clone(), tokio::spawn(happen(scene.clone(), event, of))));
        }
    }
    // The source and the line are asked by tasks, which have to run. That all had a place is possible, too.
    for _ in 0..200 {
        if scene.workers.pools(vec![key.plugin.clone()]).await[0].waiting > 0 {
            break;
        }
    }
    call
}

async fn answered(happenings: impl IntoIterator<Item = Happening>) {
    for (event, happening) in happenings {
        let answer = tokio::time::timeout(SOON, happening).await;
        answer.unwrap_or_else(|_| panic!("no answer to {event:?}")).unwrap();
    }
}

/// Tells the host to end; what is asked for from then on comes after that.
async fn shut_down(scene: &Scene, calls: Duration) {
    let mut ended = Box::pin(scene.workers.shutdown(calls));
    let at_once = poll!(&mut ended);
    scene.closing.store(true, Ordering::SeqCst);
    if at_once.is_pending() {
        ended.await;
    }
    scene.closed.store(true, Ordering::SeqCst);
}

/// Stops everything, which releases what is held back: whatever can come up does, and as what its folder holds.
async fn rest_and_start(scene: &Scene) {
    let stop = async |key| {
        tokio::time::timeout(SOON, scene.workers.stop(key, "the end")).await.expect("a stop");
    };
    for key in scene.keys() {
        stop(key).await;
    }
    for key in scene.keys() {
        let launch = scene.source.launch_of(key);
        if fs::read_to_string(launch.package.root.join("entry.cjs")).unwrap() == WELL {
            let worker = tokio::time::timeout(SOON, come_up(&scene.workers, key)).await.expect("a worker");
            assert_runs(&scene.workers, worker.id(), &launch).await;
            stop(key).await;
        }
    }
    newer_than_what_is_ready(scene).await;
    for key in scene.keys() {
        scene.workers.cool(&key.plugin, "the end");
    }
}

/// A plugin's code changes and nobody tells the pool, which has a worker of the older code: nobody gets that.
async fn newer_than_what_is_ready(scene: &Scene) {
    let plugin = &scene.plugins[8];
    let [first, second] = &plugin.keys;
    bring_in(scene, plugin, WELL, true).await;
    come_up(&scene.workers, first).await;
    // After what was done to it, the pool may not try again for a while.
    for _ in 0..100 {
        let warm = scene.workers.warm_workers().await;
        if warm.iter().any(|worker| worker.plugin == first.plugin && worker.state == WorkerState::Warm) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bring_in(scene, plugin, WELL, false).await;
    scene.workers.stop(first, "the end").await;
    let worker = come_up(&scene.workers, second).await;
    assert_runs(&scene.workers, worker.id(), &scene.source.launch_of(second)).await;
    scene.workers.stop(second, "the end").await;
}

/// A worker, however long that takes on a busy machine.
async fn come_up(workers: &Workers, key: &InstanceKey) -> Worker {
    loop {
        match workers.ensure(key).await {
            Ok(worker) => return worker,
            Err(Unavailable::Timeout { .. }) => {}
            Err(error) => panic!("{key} does not come up: {error}"),
        }
    }
}

/// A worker that was only asked what it registers has answered before it is gone, and is in no list.
async fn until_nobody_is_left(house: &House) {
    let nobody = async {
        while !house.workers.statuses().await.is_empty()
            || !house.workers.warm_workers().await.is_empty()
            || !is_empty(house.folder.path())
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, nobody).await.expect("the end of all workers");
}

/// Waits until no process of a host that is no more is left.
fn all_are_gone(folder: &Path, owner: &str) {
    let begun = Instant::now();
    while !processes::that_see(folder).is_empty() {
        assert!(begun.elapsed() < SOON, "processes outlive the host");
        std::thread::yield_now();
    }
    assert_eq!(hayloft_sandbox::sweep(owner).unwrap(), [], "processes were left");
}

/// Looks all the time whether an organization has two workers of a plugin that never has two.
async fn never_two(scene: Scene) {
    loop {
        let mut counts = HashMap::new();
        for status in scene.workers.statuses().await {
            let launch = scene.source.launch_of(&status.key);
            if launch.package.descriptor.update_strategy == UpdateStrategy::Recreate {
                let count = counts.entry(status.key).or_insert(0);
                *count += 1;
                assert!(*count < 2);
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether no worker has a process or a folder.
fn is_empty(folder: &Path) -> bool {
    let homes = fs::read_dir(folder.join("scratch")).unwrap();
    homes.count() == 0 && processes::that_see(folder).is_empty()
}

/// The state that the last word about each instance made of it, checked step by step.
fn follow(steps: &[(InstanceKey, InstanceState)]) {
    let mut states = HashMap::new();
    for (key, to) in steps {
        let from = states.insert(key, *to).unwrap_or(InstanceState::Stopped);
        assert!(from.step(*to).is_ok(), "{key} went from {from} to {to}");
    }
    for (key, state) in states {
        let still = [InstanceState::Stopped, InstanceState::Backoff, InstanceState::Quarantined];
        assert!(still.contains(&state), "{key} is left in {state}");
    }
}
