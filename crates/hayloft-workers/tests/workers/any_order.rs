//! Whatever happens to instances, in whatever order: each goes from state to state as the drawing says, everybody gets an
//! answer, and in the end no process is left.

use std::fs;
use std::time::Duration;

use hayloft_model::{InstanceKey, InstanceState};
use hayloft_workers::WarmLimits;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::processes;
use crate::support::{HEIR, House, SOON, quick};

/// Scripts of plugins that behave, and of those that do not.
const SCRIPTS: [&str; 8] = [
    "",
    "exports.start = () => { throw new Error('weak'); };",
    "process.exit(0);",
    "exports.initialize = (w) => w.hang();",
    "exports.enable = () => process.exit(1); process.on('SIGTERM', () => {}); exports.shutdown = () => {};",
    "exports.start = (w) => { setTimeout(() => w.raw(Buffer.alloc(64, 255)), 20); };",
    "require('node:child_process').spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' }).unref();
     exports.bind = () => setTimeout(() => process.exit(3), 30);",
    HEIR,
];

#[derive(Clone, Debug)]
enum Event {
    Ensure(usize),
    Use(usize),
    Stop(usize),
    Retire(usize),
    Disable(usize),
    Candidate(usize, Fate),
    Kill(usize),
    Forget(usize),
    Cool(usize),
    KillWarm(usize),
    /// How many organizations may have workers of it changes.
    Limit(usize, Option<usize>),
    /// It is asked what it registers.
    Probe(usize),
}

#[derive(Clone, Debug)]
enum Fate {
    Promoted,
    /// It takes the place of one that has grown, on the same values.
    Relieves,
    Discarded,
    Abandoned,
}

fn event() -> impl Strategy<Value = Event> {
    let plugin = 0..SCRIPTS.len();
    prop_oneof![
        4 => plugin.clone().prop_map(Event::Ensure),
        2 => plugin.clone().prop_map(Event::Use),
        2 => plugin.clone().prop_map(Event::Stop),
        1 => plugin.clone().prop_map(Event::Retire),
        1 => plugin.clone().prop_map(Event::Disable),
        2 => (plugin.clone(), fate())
            .prop_map(|(plugin, fate)| Event::Candidate(plugin, fate)),
        1 => plugin.clone().prop_map(Event::Kill),
        1 => plugin.clone().prop_map(Event::Forget),
        1 => plugin.clone().prop_map(Event::Cool),
        1 => plugin.clone().prop_map(Event::KillWarm),
        1 => (plugin.clone(), prop::option::of(1..3_usize)).prop_map(|(plugin, limit)| Event::Limit(plugin, limit)),
        1 => plugin.prop_map(Event::Probe),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Promoted), Just(Fate::Relieves), Just(Fate::Discarded), Just(Fate::Abandoned)]
}

#[test]
fn any_order_of_events_ends_in_a_legal_state_and_an_empty_process_table() {
    let config = Config { cases: 6, max_shrink_iters: 20, failure_persistence: None, ..Config::default() };
    let orders = prop::collection::vec((event(), any::<bool>()), 1..25);
    TestRunner::new(config)
        .run(&orders, |order| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(live(order));
            Ok(())
        })
        .unwrap();
}

/// Lets it all happen. What need not be waited for happens beside the rest.
async fn live(order: Vec<(Event, bool)>) {
    let house = House::with(|settings| {
        settings.deadlines = quick();
        settings.pools.workers = std::num::NonZeroUsize::new(1).unwrap();
        settings.starts.at_once = std::num::NonZeroUsize::new(2).unwrap();
        settings.crashes.count = std::num::NonZeroUsize::new(3).unwrap();
        settings.queue.deadline = Duration::from_secs(3);
        settings.warm = WarmLimits { pause: Duration::ZERO, ..WarmLimits::default() };
    });
    // Two organizations share the only place of each plugin.
    let keys: Vec<InstanceKey> = SCRIPTS
        .iter()
        .enumerate()
        .flat_map(|(index, script)| {
            [1, 2].map(|of| house.switched_on(of, &format!("hay-plugin-{index}"), script))
        })
        .collect();
    let mut beside = Vec::new();
    for (number, (event, waits)) in order.into_iter().enumerate() {
        let happening = tokio::spawn(happen(&house, &keys, event, number % 2));
        if waits {
            tokio::time::timeout(SOON, happening).await.expect("an answer").unwrap();
        } else {
            beside.push(happening);
        }
    }
    for happening in beside {
        tokio::time::timeout(SOON, happening).await.expect("an answer").unwrap();
    }
    // At rest: what serves is what runs, and nothing else does.
    for key in &keys {
        tokio::time::timeout(SOON, house.workers.stop(key, "the end")).await.expect("a stop");
    }
    for key in &keys {
        house.workers.cool(&key.plugin, "the end");
    }
    // A worker that was only asked what it registers has answered before it is gone, and is in no list.
    let nobody = async {
        while !house.workers.statuses().await.is_empty()
            || !house.workers.warm_workers().await.is_empty()
            || !is_empty(&house)
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, nobody).await.expect("the end of all workers");
    for key in &keys {
        house.workers.told(key).await;
    }
    follow(&house.observer.steps.lock().unwrap());
    house.nothing_is_left();
    house.close().await;
}

/// Whether no worker has a process or a folder.
fn is_empty(house: &House) -> bool {
    let homes = fs::read_dir(house.folder.path().join("scratch")).unwrap();
    homes.count() == 0 && processes::that_see(house.folder.path()).is_empty()
}

fn happen(
    house: &House,
    keys: &[InstanceKey],
    event: Event,
    of: usize,
) -> impl Future<Output = ()> + Send + 'static {
    let workers = house.workers.clone();
    let key_of = |plugin: usize| keys[2 * plugin + of].clone();
    let plugin = match &event {
        Event::Ensure(plugin)
        | Event::Use(plugin)
        | Event::Stop(plugin)
        | Event::Retire(plugin)
        | Event::Disable(plugin)
        | Event::Candidate(plugin, _)
        | Event::Kill(plugin)
        | Event::Forget(plugin)
        | Event::Cool(plugin)
        | Event::KillWarm(plugin)
        | Event::Limit(plugin, _)
        | Event::Probe(plugin) => *plugin,
    };
    let key = key_of(plugin);
    let launch = house.source.launch_of(&key);
    async move {
        match event {
            Event::Ensure(_) => drop(workers.ensure(&key).await),
            Event::Use(_) => {
                if let Ok(worker) = workers.ensure(&key).await {
                    let _ = worker.call_hook(hayloft_workers::HookCall::Enable).await;
                }
            }
            Event::Stop(_) => workers.stop(&key, "a test says so").await,
            Event::Retire(_) => {
                if let Some(worker) = workers.serving(&key) {
                    workers.retire(&key, worker.id(), "a test says so").await;
                }
            }
            Event::Disable(_) => workers.disable(&key).await,
            Event::Candidate(_, fate) => {
                // With the only place in use it waits in the line, as long as somebody waits for it.
                let candidate = async {
                    match fate {
                        Fate::Relieves => workers.replacement(&key, launch).await,
                        Fate::Promoted | Fate::Discarded | Fate::Abandoned => {
                            workers.candidate(&key, launch).await
                        }
                    }
                };
                if let Ok(Ok(candidate)) = tokio::time::timeout(Duration::from_secs(3), candidate).await {
                    match fate {
                        Fate::Promoted => drop(candidate.promote().await),
                        Fate::Relieves => drop(candidate.relieve(String::from("it had grown")).await),
                        Fate::Discarded => candidate.discard(),
                        Fate::Abandoned => drop(tokio::spawn(candidate.promote())),
                    }
                }
            }
            Event::Kill(_) => {
                let statuses = workers.statuses().await;
                statuses
                    .iter()
                    .filter(|status| status.key == key)
                    .filter_map(|status| status.pid)
                    .for_each(kill);
            }
            Event::Forget(_) => workers.forget(&key),
            Event::Cool(_) => workers.cool(&key.plugin, "a test says so"),
            Event::Limit(_, limit) => {
                workers.limit_pool(&key.plugin, limit.and_then(std::num::NonZeroUsize::new));
            }
            Event::Probe(_) => drop(workers.probe(&launch.package).await),
            Event::KillWarm(_) => {
                let warm = workers.warm_workers().await;
                let own = warm.iter().filter(|worker| worker.plugin == key.plugin);
                own.filter_map(|worker| worker.pid).for_each(kill);
            }
        }
    }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    // It may have ended meanwhile.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// The state that the last word about each instance made of it, checked step by step.
fn follow(steps: &[(InstanceKey, InstanceState)]) {
    let mut states = std::collections::HashMap::new();
    for (key, to) in steps {
        let from = states.insert(key, *to).unwrap_or(InstanceState::Stopped);
        assert!(from.step(*to).is_ok(), "{key} went from {from} to {to}");
    }
    for (key, state) in states {
        let still = [InstanceState::Stopped, InstanceState::Backoff, InstanceState::Quarantined];
        assert!(still.contains(&state), "{key} is left in {state}");
    }
}
