//! What can happen to plugins, and who waits for what comes of it.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use hayloft_model::plugin::{Package, UpdateStrategy};
use hayloft_model::{ContentHash, InstanceKey, WorkerId};
use hayloft_workers::{CandidateError, HookCall, Launch, ProbeError, Unavailable, WorkerCode, Workers};
use proptest::prelude::*;
use tokio::sync::Mutex;

use crate::support::{HEIR, House, Source};

/// A script that comes up whenever it is started.
pub(super) const WELL: &str = "";

/// Scripts of plugins that behave, and of those that do not. Of the last ones an organization never has two workers.
const PLUGINS: [(&str, UpdateStrategy); 11] = [
    (WELL, UpdateStrategy::Rolling),
    ("exports.start = () => { throw new Error('weak'); };", UpdateStrategy::Rolling),
    ("process.exit(0);", UpdateStrategy::Rolling),
    ("exports.initialize = (w) => w.hang();", UpdateStrategy::Rolling),
    (
        "exports.enable = () => process.exit(1); process.on('SIGTERM', () => {}); exports.shutdown = () => {};",
        UpdateStrategy::Rolling,
    ),
    (
        "exports.start = (w) => { setTimeout(() => w.raw(Buffer.alloc(64, 255)), 20); };",
        UpdateStrategy::Rolling,
    ),
    (
        "require('node:child_process').spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' }).unref();
         exports.bind = () => setTimeout(() => process.exit(3), 30);",
        UpdateStrategy::Rolling,
    ),
    (HEIR, UpdateStrategy::Rolling),
    (WELL, UpdateStrategy::Recreate),
    ("exports.enable = (w) => w.hang();", UpdateStrategy::Recreate),
    ("exports.bind = () => setTimeout(() => process.exit(3), 30);", UpdateStrategy::Recreate),
];

/// What happens to a plugin.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) plugin: usize,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Ensure,
    Use,
    Stop,
    Retire,
    Disable,
    Candidate(Fate),
    Kill,
    Forget,
    Cool,
    KillWarm,
    /// How many organizations may have workers of it changes.
    Limit(Option<usize>),
    /// It is asked what it registers.
    Probe,
    /// Its folder holds what another one's did. Those that are ready for nobody in particular are told to go, or not.
    Newer(usize, bool),
}

#[derive(Clone, Debug)]
pub(super) enum Fate {
    Promoted,
    /// It takes the place of one that has grown, on the same values.
    Relieves,
    Discarded,
    Abandoned,
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let what = prop_oneof![
        4 => Just(What::Ensure),
        2 => Just(What::Use),
        2 => Just(What::Stop),
        1 => Just(What::Retire),
        1 => Just(What::Disable),
        2 => fate().prop_map(What::Candidate),
        1 => Just(What::Kill),
        1 => Just(What::Forget),
        1 => Just(What::Cool),
        1 => Just(What::KillWarm),
        1 => prop::option::of(1..3_usize).prop_map(What::Limit),
        1 => Just(What::Probe),
        3 => (prop_oneof![0..PLUGINS.len(), Just(0)], any::<bool>()).prop_map(|(like, told)| What::Newer(like, told)),
    ];
    // Those that can be replaced by what comes up are where most can happen.
    let plugin = prop_oneof![3 => 0..PLUGINS.len(), 1 => Just(0), 1 => Just(8)];
    (plugin, what).prop_map(|(plugin, what)| Event { plugin, what })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Promoted), Just(Fate::Relieves), Just(Fate::Discarded), Just(Fate::Abandoned)]
}

/// What events need to know.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) workers: Workers,
    pub(super) source: Arc<Source>,
    pub(super) plugins: Arc<Vec<Plugin>>,
    /// The host is told to end.
    pub(super) closing: Arc<AtomicBool>,
    /// It has ended all workers.
    pub(super) closed: Arc<AtomicBool>,
}

/// One plugin, which two organizations have switched on.
pub(super) struct Plugin {
    pub(super) keys: [InstanceKey; 2],
    pub(super) folder: PathBuf,
    /// How often its folder held something newer; held while that is brought in.
    pub(super) versions: Mutex<u8>,
}

impl Scene {
    pub(super) fn new(house: &House) -> Self {
        let plugin = |(index, (script, strategy)): (usize, &(&str, UpdateStrategy))| {
            let id = format!("hay-plugin-{index}");
            let keys = [1, 2].map(|of| house.switched_on(of, &id, script));
            for key in &keys {
                let mut launch = house.source.launch_of(key);
                launch.package.descriptor.update_strategy = *strategy;
                house.source.set(key, Ok(launch));
            }
            Plugin { keys, folder: house.folder.path().join(id), versions: Mutex::default() }
        };
        Self {
            workers: house.workers.clone(),
            source: house.source.clone(),
            plugins: Arc::new(PLUGINS.iter().enumerate().map(plugin).collect()),
            closing: Arc::default(),
            closed: Arc::default(),
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &InstanceKey> {
        self.plugins.iter().flat_map(|plugin| &plugin.keys)
    }
}

pub(super) async fn happen(scene: Scene, Event { plugin, what }: Event, of: usize) {
    let Scene { workers, source, plugins, closing, closed } = &scene;
    let plugin = &plugins[plugin];
    let key = &plugin.keys[of];
    let closing = closing.load(Ordering::SeqCst);
    // Nobody waits for a start until that time is up when there will be none.
    let given_up = || assert!(!closed.load(Ordering::SeqCst), "nobody said that the host ends");
    match what {
        What::Ensure | What::Use => match workers.ensure(key).await {
            Ok(worker) => {
                if let What::Use = what {
                    let _ = worker.call_hook(HookCall::Enable).await;
                }
            }
            Err(Unavailable::ShuttingDown | Unavailable::QueueFull { .. }) => {}
            Err(Unavailable::Timeout { .. }) => given_up(),
            Err(error) => assert!(!closing, "{error}"),
        },
        What::Stop => workers.stop(key, "a test says so").await,
        What::Retire => {
            if let Some(worker) = workers.serving(key) {
                workers.retire(key, worker.id(), "a test says so").await;
            }
        }
        What::Disable => workers.disable(key).await,
        What::Candidate(fate) => {
            // With the only place in use it waits in the line.
            let launch = source.launch_of(key);
            let candidate = match fate {
                Fate::Relieves => workers.replacement(key, launch).await,
                Fate::Promoted | Fate::Discarded | Fate::Abandoned => workers.candidate(key, launch).await,
            };
            match (candidate, fate) {
                (Ok(candidate), Fate::Promoted) => drop(candidate.promote().await),
                (Ok(candidate), Fate::Relieves) => {
                    drop(candidate.relieve(String::from("it had grown")).await);
                }
                (Ok(candidate), Fate::Discarded) => candidate.discard(),
                (Ok(candidate), Fate::Abandoned) => drop(tokio::spawn(candidate.promote())),
                (Err(CandidateError::NoPlace { .. }), _) => given_up(),
                (Err(error), _) => assert!(!closing || error == CandidateError::ShuttingDown, "{error}"),
            }
        }
        What::Kill => {
            let statuses = workers.statuses().await;
            let own = statuses.iter().filter(|status| status.key == *key);
            own.filter_map(|status| status.pid).for_each(kill);
        }
        What::Forget => workers.forget(key),
        What::Cool => workers.cool(&key.plugin, "a test says so"),
        What::Limit(limit) => {
            workers.limit_pool(&key.plugin, limit.and_then(NonZeroUsize::new));
        }
        What::Probe => {
            let probed = workers.probe(&source.launch_of(key).package).await;
            assert!(!closing || matches!(probed, Err(ProbeError::ShuttingDown)));
        }
        What::KillWarm => {
            let warm = workers.warm_workers().await;
            let own = warm.iter().filter(|worker| worker.plugin == key.plugin);
            own.filter_map(|worker| worker.pid).for_each(kill);
        }
        What::Newer(like, told) => bring_in(&scene, plugin, PLUGINS[like].0, told).await,
    }
}

/// Brings newer code of a plugin in, as the host does: what can be asked what it registers is what workers start from, and
/// takes the place of those that serve. Where it cannot, the older one is what they start from again.
pub(super) async fn bring_in(scene: &Scene, plugin: &Plugin, script: &str, told: bool) {
    let mut version = plugin.versions.lock().await;
    *version += 1;
    let root = plugin.folder.join(format!("version-{version}"));
    fs::create_dir(&root).unwrap();
    fs::write(root.join("entry.cjs"), script).unwrap();
    let older = plugin.keys.each_ref().map(|key| scene.source.launch_of(key));
    let newer = |launch: &Launch| {
        let content_hash = ContentHash::from_bytes([100 + *version; 32]);
        Launch {
            package: Package { root: root.clone(), content_hash, ..launch.package.clone() },
            ..launch.clone()
        }
    };
    if scene.workers.probe(&newer(&older[0]).package).await.is_err() {
        return;
    }
    for (key, launch) in plugin.keys.iter().zip(&older) {
        scene.source.set(key, Ok(newer(launch)));
    }
    if told {
        scene.workers.cool(&plugin.keys[0].plugin, "the plugin has a newer version");
    }
    let replaced = plugin.keys.iter().zip(&older).map(async |(key, launch)| {
        if scene.workers.serving(key).is_none() {
            // The next start is from the newer one.
            return;
        }
        let served = match scene.workers.replacement(key, newer(launch)).await {
            Ok(candidate) => candidate.promote().await,
            Err(error) => Err(error),
        };
        match served {
            Ok(worker) => assert_runs(&scene.workers, worker.id(), &newer(launch)).await,
            Err(_) => scene.source.set(key, Ok(launch.clone())),
        }
    });
    join_all(replaced).await;
}

pub(super) async fn assert_runs(workers: &Workers, worker: WorkerId, launch: &Launch) {
    // It may have ended meanwhile.
    if let Some(WorkerCode { content_hash, .. }) = workers.code_of(worker).await {
        assert_eq!(content_hash, launch.package.content_hash);
    }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    // It may have ended meanwhile.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}
