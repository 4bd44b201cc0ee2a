//! Every order of asking, starting, taking and ending.

use hayloft_model::plugin::FormatName;
use hayloft_model::{ContentHash, PluginDescriptor};
use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

fn package(number: u8) -> Package {
    let runtime = Runtime::Node { entry: "index.js".into() };
    let id = format!("hay-plugin-{}", number % 3).parse().unwrap();
    Package {
        root: format!("/{number}").into(),
        content_hash: ContentHash::from_bytes([number; 32]),
        descriptor: PluginDescriptor::new(id, "1.0.0", FormatName("any".into()), runtime),
        start: Default::default(),
    }
}

fn key(number: u8) -> InstanceKey {
    InstanceKey {
        organization: format!("org_{number:032x}").parse().unwrap(),
        plugin: "hay-plugin-0".parse().unwrap(),
    }
}

fn worker(number: usize) -> WorkerId {
    format!("wrk_{number:032x}").parse().unwrap()
}

fn pool(mebibytes: u64) -> WarmPool {
    WarmPool::new(WarmLimits { memory: mebibytes * MIB, ..WarmLimits::default() })
}

/// Starts whatever is wanted, until nothing is.
fn fill(pool: &mut WarmPool, first: usize, now: Instant) -> usize {
    let mut next = first;
    while let Some(package) = pool.turn(now).start {
        pool.joins(&package, worker(next), now);
        pool.is_ready(worker(next));
        next += 1;
    }
    next - first
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_was_started_lately_has_one_and_after_a_rush_more() {
    let (mut pool, now) = (pool(512), Instant::now());
    assert_eq!(fill(&mut pool, 0, now), 0);
    pool.note(&package(0), now);
    assert_eq!(fill(&mut pool, 0, now), 1);
    assert!(pool.has(&key(1), &package(0), now) && !pool.has(&key(1), &package(3), now));
    (0..9).for_each(|_| pool.note(&package(0), now));
    assert_eq!(fill(&mut pool, 1, now), 3);
    // The rush is over: one is enough.
    let later = now + RUSH;
    assert_eq!(pool.due(now), Some(later));
    assert_eq!(pool.turn(later).stop, [worker(1), worker(2), worker(3)]);
    // Nobody wanted one for long.
    let end = now + WarmLimits::default().recent;
    assert_eq!(pool.due(later), Some(end));
    assert_eq!(pool.turn(end).stop, [worker(0)]);
    (0..4).for_each(|number| pool.gone(worker(number), end));
    assert!(pool.is_empty() && pool.wanted.is_empty() && pool.leaving.is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_start_comes_before_the_pool() {
    let (mut pool, now) = (pool(512), Instant::now());
    let (moment, pause) = (Duration::from_millis(1), Duration::from_millis(100));
    assert_eq!(pool.wait(true, now), None);
    pool.note_start(now);
    assert_eq!(pool.wait(true, now), Some(now + pause));
    assert_eq!(pool.wait(true, now + pause - moment), Some(now + pause));
    assert_eq!(pool.wait(true, now + pause), None);
    // Somebody is still being started, or is so again.
    assert_eq!(pool.wait(false, now + pause), Some(now + 2 * pause));
    pool.note_start(now + pause);
    assert_eq!(pool.wait(true, now + pause), Some(now + 2 * pause));
    assert_eq!(pool.wait(true, now + 2 * pause), None);
}

#[tokio::test(start_paused = true)]
async fn one_is_started_after_the_other() {
    let (mut pool, now) = (pool(512), Instant::now());
    (0..2).for_each(|number| pool.note(&package(number), now));
    let first = pool.turn(now).start.unwrap();
    pool.joins(&first, worker(0), now);
    assert_eq!(pool.turn(now).start, None);
    pool.is_ready(worker(0));
    assert_eq!((pool.turn(now).start, first), (Some(package(0)), package(1)));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_up_holds_no_other_plugin_up() {
    let (mut pool, mut now) = (pool(4096), Instant::now());
    for number in 0..6 {
        // After a rush several of each are wanted, but none beside one that does not come up.
        (0..4).for_each(|_| pool.note(&package(number), now));
    }
    let mut hanging = Vec::new();
    for number in 0..MOST_UNFINISHED {
        let started = pool.turn(now).start.unwrap();
        assert!(!hanging.contains(&started), "{started:?}");
        pool.joins(&started, worker(number), now);
        hanging.push(started);
        assert_eq!(pool.turn(now).start, None);
        assert_eq!(pool.due(now), Some(now + SLOW));
        now += SLOW;
    }
    // There are never more of those, however long they take.
    assert_eq!(pool.turn(now).start, None);
    pool.is_ready(worker(0));
    assert_eq!(pool.turn(now).start, Some(hanging.remove(0)));
    pool.gone(worker(1), now);
    assert!(pool.turn(now).start.is_some_and(|next| !hanging.contains(&next)));
}

#[tokio::test(start_paused = true)]
async fn without_memory_for_it_nothing_is_ready() {
    for mebibytes in [0, 1] {
        let (mut pool, now) = (pool(mebibytes), Instant::now());
        (0..3).for_each(|number| pool.note(&package(number), now));
        assert_eq!(fill(&mut pool, 0, now), 0, "{mebibytes} MiB");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_taken_once_and_an_instance_takes_one_in_a_while() {
    let (mut pool, now) = (pool(512), Instant::now());
    (0..2).for_each(|_| pool.note(&package(0), now));
    assert_eq!(fill(&mut pool, 0, now), 2);
    let first = pool.take(&key(1), &package(0), now);
    assert_eq!(first, Some(worker(0)));
    assert_eq!(pool.take(&key(1), &package(0), now), None);
    assert_eq!(pool.take(&key(2), &package(0), now), Some(worker(1)));
    assert_eq!(pool.take(&key(3), &package(0), now), None);
    // What was taken is nobody's business here any more.
    pool.gone(worker(0), now);
    assert_eq!(fill(&mut pool, 2, now), 2);
    let later = now + WarmLimits::default().pause;
    assert_eq!(pool.take(&key(1), &package(0), later), Some(worker(2)));
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_last_comes_first_and_waits_for_room() {
    let (mut pool, now) = (pool(130), Instant::now());
    for number in 0..2 {
        pool.note(&package(number), now);
    }
    assert_eq!(fill(&mut pool, 0, now), 2);
    pool.note(&package(2), now);
    // The one that nobody asked for since makes way, and holds its memory until it is gone.
    let turn = pool.turn(now);
    assert_eq!((turn.stop, turn.start), (vec![worker(1)], None));
    pool.gone(worker(1), now);
    assert_eq!(pool.turn(now).start, Some(package(2)));
    // One turns out to be larger than was thought.
    pool.joins(&package(2), worker(2), now);
    pool.measured(worker(2), 100 * MIB);
    assert_eq!(pool.turn(now).stop, [worker(0)]);
    pool.measured(worker(2), 131 * MIB);
    assert_eq!(pool.turn(now).stop, [worker(2)]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_waits_longer_each_time() {
    let (mut pool, mut now) = (pool(512), Instant::now());
    let mut pauses = Vec::new();
    for number in 0..4 {
        pool.note(&package(0), now);
        let started = pool.turn(now).start.unwrap();
        pool.joins(&started, worker(number), now);
        pool.gone(worker(number), now);
        assert!(pool.turn(now).start.is_none());
        let due = pool.due(now).unwrap();
        pauses.push((due - now).as_secs());
        now = due;
    }
    assert_eq!(pauses, [1, 2, 4, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_plugin_is_forgotten_with_its_workers_and_others_are_not() {
    let (mut pool, now) = (pool(512), Instant::now());
    for number in [0, 1, 3] {
        pool.note(&package(number), now);
    }
    assert_eq!(fill(&mut pool, 0, now), 3);
    let mut gone = pool.forget(&"hay-plugin-0".parse().unwrap());
    gone.sort();
    assert_eq!(gone.len(), 2);
    assert!(!pool.has(&key(1), &package(0), now) && !pool.has(&key(1), &package(3), now));
    assert!(pool.has(&key(1), &package(1), now));
    assert!(pool.turn(now).start.is_none());
}

#[derive(Clone, Debug)]
enum Event {
    Note(u8),
    Take(u8, u8),
    Ready(usize),
    Measured(usize, u64),
    Gone(usize),
    Forget(u8),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..6_u8).prop_map(Event::Note),
        2 => (0..4_u8, 0..6_u8).prop_map(|(key, of)| Event::Take(key, of)),
        4 => (0..20_usize).prop_map(Event::Ready),
        2 => (0..20_usize, 1..200_u64).prop_map(|(worker, of)| Event::Measured(worker, of)),
        2 => (0..20_usize).prop_map(Event::Gone),
        1 => (0..3_u8).prop_map(Event::Forget),
        1 => (1..1000_u64).prop_map(Event::Pass),
    ]
}

proptest! {
    /// Whatever happens: what is started has room, nobody is given a worker twice or one of another plugin, and
    /// nobody is forgotten who runs.
    #[test]
    fn the_budget_is_kept_and_nobody_is_taken_twice(events in prop::collection::vec(event(), 0..120)) {
        let (mut pool, mut now) = (pool(256), Instant::now());
        let mut running: HashMap<WorkerId, Package> = HashMap::new();
        let mut taken = Vec::new();
        let mut next = 0;
        for event in events {
            match event {
                Event::Note(of) => pool.note(&package(of), now),
                Event::Take(of, plugin) => {
                    if let Some(worker) = pool.take(&key(of), &package(plugin), now) {
                        prop_assert_eq!(running.remove(&worker), Some(package(plugin)));
                        prop_assert!(!taken.contains(&worker));
                        taken.push(worker);
                    }
                }
                Event::Ready(of) => pool.is_ready(worker(of)),
                Event::Measured(of, mebibytes) => pool.measured(worker(of), mebibytes * MIB),
                Event::Gone(of) => {
                    running.remove(&worker(of));
                    pool.gone(worker(of), now);
                }
                Event::Forget(of) => {
                    let plugin = format!("hay-plugin-{of}").parse().unwrap();
                    pool.forget(&plugin);
                    prop_assert!(!pool.has(&key(9), &package(of), now));
                }
                Event::Pass(seconds) => now += Duration::from_secs(seconds),
            }
            if let Some(package) = pool.turn(now).start {
                pool.joins(&package, worker(next), now);
                running.insert(worker(next), package);
                next += 1;
                let held: u64 = pool.wanted.iter().map(Wanted::holds).chain(pool.leaving.values().copied()).sum();
                prop_assert!(held <= 256 * MIB, "{held} bytes");
            }
            let known = pool.wanted.iter().flat_map(|wanted| &wanted.workers).map(|one| one.id);
            let known: Vec<_> = known.chain(pool.leaving.keys().copied()).collect();
            prop_assert_eq!(known.len(), running.len());
            prop_assert!(running.keys().all(|worker| known.contains(worker)));
        }
    }
}
