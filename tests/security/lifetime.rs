//! Nothing outlives its worker, and no worker outlives the host.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hayloft_testkit::process::Process;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;

use crate::harness::{HOSTILE, Setup, World, canary, until};

in_every_setup!(
    nothing_outlives_its_worker,
    nothing_outlives_the_host,
    folders_nested_without_end_are_removed,
);

/// How long anything may live on.
const AFTERLIFE: Duration = Duration::from_secs(1);

/// Every way of getting away that a process has. All of them carry the canary in their arguments.
const DAEMONISE: &str = "
    const { spawn } = require('child_process');
    const { Worker } = require('worker_threads');
    const forever = 'setInterval(() => {}, 1000); process.on(\"SIGTERM\", () => {}); process.on(\"SIGHUP\", () => {});';
    spawn(process.execPath, ['-e', forever, input], { detached: true, stdio: 'ignore' }).unref();
    spawn('/bin/sh', ['-c', '(\"$0\" -e \"$1\" \"$2\" >/dev/null 2>&1 &) &', process.execPath, forever, input], { detached: true, stdio: 'ignore' }).unref();
    spawn('/bin/sh', ['-c', 'trap \"\" TERM HUP INT; \"$0\" -e \"$1\" \"$2\" & \"$0\" -e \"$1\" \"$2\" & wait', process.execPath, forever, input], { detached: true, stdio: 'ignore' }).unref();
    // A process that changes its name and its environment, so that it cannot be told by them.
    spawn(process.execPath, ['-e', `process.title = 'innocent'; for (const name in process.env) delete process.env[name]; ${forever}`, input], { detached: true, stdio: 'ignore', env: {} }).unref();
    new Worker(forever, { eval: true });
    globalThis.child = spawn(process.execPath, ['-e', forever, input], { stdio: ['pipe', 'pipe', 'pipe', 3] });
    return 1";

/// What of the machine a jail could leave behind.
fn belongings(world: &World) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    groups_below(Path::new("/sys/fs/cgroup"), 0, &mut found);
    let homes = [world.server.data_folder().join("scratch"), PathBuf::from("/run")];
    for entry in homes.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten()) {
        let below = fs::read_dir(entry.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        found.extend(below.chain([entry.path()]).filter(|path| path.to_string_lossy().contains("wrk_")));
    }
    found
}

fn groups_below(folder: &Path, depth: u32, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        if entry.file_name().to_string_lossy().contains("wrk_") {
            found.insert(entry.path());
        }
        if depth < 8 {
            groups_below(&entry.path(), depth + 1, found);
        }
    }
}

/// Of what belongs to one of these workers.
fn of(workers: &[String], belongings: BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let is_theirs =
        |path: &PathBuf| workers.iter().any(|worker| path.to_string_lossy().contains(worker.as_str()));
    belongings.into_iter().filter(is_theirs).collect()
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

struct Escaped {
    mark: String,
    processes: Vec<Process>,
}

impl Escaped {
    /// Lets an organization's worker leave processes behind and waits until they are there.
    async fn start(world: &World) -> Self {
        let mark = canary("escaped");
        world.run(&world.attacker, DAEMONISE, json!(mark)).await;
        let init = world.pids(&world.attacker).await.init;
        let count = || Process::all().iter().filter(|process| process.command.contains(&mark)).count();
        until("the processes to start", crate::harness::PATIENCE, async || count() >= 5).await;
        Self { mark, processes: Process::descendants(init) }
    }

    async fn gone(&self, what: &str) {
        let left = || -> Vec<Process> {
            let marked = Process::all().into_iter().filter(|process| process.command.contains(&self.mark));
            marked.chain(self.processes.iter().filter(|process| process.is_alive()).cloned()).collect()
        };
        let wait = async {
            while !left().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(AFTERLIFE, wait).await.is_ok();
        assert!(in_time, "1 s after {what} there still are {:?}", left());
    }
}

/// Whatever a test finds out, it leaves none of them.
impl Drop for Escaped {
    fn drop(&mut self) {
        let marked = Process::all().into_iter().filter(|process| process.command.contains(&self.mark));
        for process in marked.chain(std::mem::take(&mut self.processes)) {
            process.signal(rustix::process::Signal::KILL);
        }
    }
}

async fn nothing_outlives_its_worker(setup: Setup) {
    let world = World::start(setup).await;
    let before = mounts();
    for round in ["disable", "crash", "stop", "remove"] {
        let escaped = Escaped::start(&world).await;
        let worker = world.worker(&world.attacker).await["workerId"].as_str().unwrap().to_owned();
        match round {
            "disable" => {
                world
                    .attacker
                    .put(&format!("plugins/{HOSTILE}"), &json!({ "enabled": false }))
                    .await
                    .expect(200);
            }
            "stop" => {
                world.attacker.post(&format!("plugins/{HOSTILE}/restart"), &json!({})).await.expect(200);
            }
            "crash" => {
                world.try_run(&world.attacker, "hostile__run", "process.exit(1)", json!(null)).await;
            }
            _ => {
                world.attacker.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
            }
        }
        escaped.gone(round).await;
        let left = || of(std::slice::from_ref(&worker), belongings(&world));
        let tidy = async {
            until("its group and folder to go", crate::harness::PATIENCE, async || left().is_empty()).await
        };
        tidy.await;
        assert_eq!(mounts(), before, "after {round}");
        world.victim_works().await;
        world.attacker.enable(HOSTILE, json!({ "secret": world.secrets[0] })).await;
    }
    world.end().await;
}

async fn nothing_outlives_the_host(setup: Setup) {
    let mut world = World::start_with(setup, |builder| builder.leftovers_expected()).await;
    let before = mounts();
    let escaped = Escaped::start(&world).await;
    let mut workers = Vec::new();
    for who in [&world.attacker, &world.victim] {
        workers.push(world.worker(who).await["workerId"].as_str().unwrap().to_owned());
    }
    let all = world.server.processes();
    world.server.kill_9().await;
    escaped.gone("`kill -9` of the host").await;
    until("all processes to end", AFTERLIFE, async || all.iter().all(|process| !process.is_alive())).await;
    assert_eq!(mounts(), before);
    // What the kernel cannot remove by itself goes with the next start.
    world.server.restart().await;
    assert_eq!(of(&workers, belongings(&world)), Vec::<PathBuf>::new());
    world.victim_works().await;
    // And a stop in order leaves nothing at all.
    let mut last = Vec::new();
    last.push(world.worker(&world.victim).await["workerId"].as_str().unwrap().to_owned());
    world.server.terminate().await;
    assert_eq!(of(&last, belongings(&world)), Vec::<PathBuf>::new());
}

/// Puts folders into each other, as many as the plugin is given. It begins with the innermost one: no path has to be that
/// long, and Landlock, which goes all the way up for each act, has a short way. It says how many there are.
const NEST: &str = "
    const [top, next] = ['top', 'next'].map((name) => `${process.env.HOME}/${name}`);
    let levels = 1;
    fs.mkdirSync(top);
    try {
      for (; levels < input; levels++) {
        fs.mkdirSync(next);
        fs.renameSync(top, `${next}/deep`);
        fs.renameSync(next, top);
        if (levels % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      if (!['ENOSPC', 'ENOMEM', 'EDQUOT'].includes(error.code)) throw error;
    }
    return levels";

/// More than the host gets descriptors.
const LEVELS: u64 = 4000;

async fn folders_nested_without_end_are_removed(setup: Setup) {
    // The server inherits it. One that went down into the folders would have to open all of them; what becomes of its
    // stack far deeper is tried where the removal is, since disks are slow.
    let few = Some(3000);
    setrlimit(Resource::Nofile, Rlimit { current: few, maximum: few }).unwrap();
    let mut world = World::start_with(setup, |builder| builder.leftovers_expected()).await;
    let nest = async |world: &World| {
        let levels = world.run(&world.attacker, NEST, json!(LEVELS)).await;
        // In a file system of its own a worker has a limited number of files.
        assert!(
            levels == LEVELS || (setup.has_namespaces() && levels.as_u64() > Some(100)),
            "{levels} levels"
        );
        PathBuf::from(world.home(&world.attacker).await)
    };
    let gone = async |home: &Path| {
        // With namespaces the folder is in the jail alone, and is never there outside of it.
        if !setup.has_namespaces() {
            until("the folder to go", crate::harness::PATIENCE, async || !home.exists()).await;
        }
    };

    let home = nest(&world).await;
    assert!(setup.has_namespaces() || home.exists());
    world.attacker.put(&format!("plugins/{HOSTILE}"), &json!({ "enabled": false })).await.expect(200);
    gone(&home).await;
    world.victim_works().await;

    // What a killed host left goes with the next start, and the start does not end over it.
    world.attacker.enable(HOSTILE, json!({ "secret": world.secrets[0] })).await;
    let home = nest(&world).await;
    world.server.kill_9().await;
    world.server.restart().await;
    gone(&home).await;
    world.victim_works().await;
    world.server.terminate().await;
}
