//! What groups do, on the kernel of this machine; and what would be written where it has the other layout.
#![expect(clippy::disallowed_methods, reason = "what a group does is seen only on real processes in it")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;
use crate::processes::{members, wait};

#[test]
fn each_layout_has_its_files() {
    let lines = |settings: Vec<Setting>| -> Vec<String> {
        let line = |(controller, file, text, tolerated): Setting| {
            format!("{} {file} {text} {tolerated:?}", CONTROLLERS[controller])
        };
        settings.into_iter().map(line).collect()
    };
    assert_eq!(
        lines(settings(Layout::Unified, 5, 6, 150)),
        [
            "memory memory.max 5 None",
            "memory memory.swap.max 0 Some(NotFound)",
            "memory memory.oom.group 1 Some(NotFound)",
            "pids pids.max 6 None",
            "cpu cpu.max 150000 100000 None",
        ]
    );
    assert_eq!(
        lines(settings(Layout::Split, 5, 6, 150)),
        [
            "memory memory.limit_in_bytes 5 None",
            "memory memory.memsw.limit_in_bytes 5 Some(NotFound)",
            "pids pids.max 6 None",
            "cpu cpu.cfs_period_us 100000 None",
            "cpu cpu.cfs_quota_us 150000 Some(InvalidInput)",
        ]
    );
}

/// The groups of one test; removed at its end, also of a failed one.
struct Place(Groups);

/// `None` where the machine has none to give.
fn find(owner: &str) -> Option<Groups> {
    match Groups::find(&format!("{owner}-{}", std::process::id())) {
        Ok(groups) => Some(groups),
        Err(missing) => {
            let offered = rustix::fs::access("/sys/fs/cgroup/memory", rustix::fs::Access::WRITE_OK).is_ok();
            assert!(!offered, "the machine has groups of version 1, but {missing:?}");
            eprintln!("not tested on this machine: {missing:?}");
            None
        }
    }
}

/// 64 MiB.
fn limits(tasks: u64, processor: u32) -> Limits {
    let memory = 64 << 20;
    Limits { memory, tasks, processor }
}

impl Place {
    fn new(owner: &str) -> Option<Self> {
        find(owner).map(Self)
    }

    fn make(&self, name: &str, tasks: u64, processor: u32) -> Group {
        self.0.make(name, &limits(tasks, processor)).expect("a group")
    }

    fn left(&self) -> BTreeSet<OsString> {
        names(&self.0.folders)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for name in self.left() {
            let _ = clear(&folders_of(self.0.layout, &self.0.folders, &name));
        }
        for folder in self.0.folders.iter().rev() {
            let _ = remove_folder(folder);
        }
    }
}

/// A process in the group that runs `script` of a shell.
fn start(group: &Group, script: &str) -> Child {
    let script = format!("for entry; do echo 0 > \"$entry\" || exit 99; done\n{script}");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, "sh"]).args(group.entries());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a shell")
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    line.trim().to_owned()
}

/// Doubles a text in the shell until the kernel has had enough.
const BOMB: &str = "text=0123456789abcdef; while :; do text=$text$text; done";

#[test]
fn a_memory_bomb_is_ended_and_told_of() {
    let Some(place) = Place::new("memory") else { return };
    let (calm, bombed) = (place.make("calm", 8, 100), place.make("bombed", 8, 100));
    let mut neighbour = start(&calm, "echo ready; cat");
    assert_eq!(first_line(&mut neighbour), "ready");
    assert!(
        calm.memory_bytes().is_some_and(|bytes| bytes > 0 && bytes < 64 << 20),
        "{:?}",
        calm.memory_bytes()
    );

    assert!(bombed.memory_kills() == 0);
    // The shell's child is the bomb, so that it is not a child of this process which ends.
    let mut child = start(&bombed, &format!("({BOMB}); echo outlived; cat"));
    if place.0.layout == Layout::Split {
        assert_eq!(first_line(&mut child), "outlived");
    }
    assert!(bombed.memory_kills() > 0);
    assert!(calm.memory_kills() == 0);
    bombed.remove().expect("removed");
    assert_eq!(child.wait().expect("its end").signal(), Some(9));
    assert_eq!(neighbour.try_wait().expect("its state"), None, "the neighbour lives");
    calm.remove().expect("removed");
    assert_eq!(neighbour.wait().expect("its end").signal(), Some(9));
    assert_eq!(place.left(), BTreeSet::new());
}

#[test]
fn tasks_are_limited() {
    let Some(place) = Place::new("tasks") else { return };
    // The shell and three sleepers are four; the fourth sleeper is refused, which ends the shell.
    for (tasks, ended) in [(4, true), (5, false)] {
        let group = place.make("few", tasks, 100);
        let mut child =
            start(&group, "for i in 1 2 3 4; do sleep 600 >/dev/null & done; echo all; read forever");
        assert_eq!(first_line(&mut child), if ended { "" } else { "all" }, "{tasks}");
        group.kill().expect("killed");
        assert_eq!(members(&group.folders), BTreeSet::new());
        assert_eq!(child.wait().expect("its end").signal().is_none(), ended);
        assert!(group.memory_kills() == 0);
    }
    assert_eq!(place.left(), BTreeSet::new(), "dropping removes");
}

#[test]
fn a_fork_bomb_ends() {
    let Some(place) = Place::new("forks") else { return };
    let group = place.make("bomb", 200, 100);
    let mut child = start(&group, "yes 0.1 | xargs -n 1 -P 150 sleep");
    let until = Instant::now() + Duration::from_secs(60);
    while members(&group.folders).len() < 20 && Instant::now() < until {
        wait(&mut [], Duration::from_millis(1));
    }
    assert!(members(&group.folders).len() >= 20, "it goes on forking");
    group.remove().expect("removed");
    assert!(!child.wait().expect("its end").success());
    assert_eq!(place.left(), BTreeSet::new());
}

#[test]
fn the_processor_is_limited() {
    let Some(place) = Place::new("processor") else { return };
    let group = place.make("slow", 8, 20);
    let mut child = start(&group, "while :; do :; done");
    let used = || {
        let text = fs::read_to_string(group.folders[CPU].join("cpu.stat")).expect("counts");
        text.lines()
            .find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok())
            .expect("a count")
    };
    let until = Instant::now() + Duration::from_secs(60);
    while used() == 0 && Instant::now() < until {
        wait(&mut [], Duration::from_millis(5));
    }
    assert!(used() > 0, "a busy loop is held back");
    group.remove().expect("removed");
    child.wait().expect("its end");
}

/// Waits until a group has used so much of the processor.
fn await_use(group: &Group, at_least: Duration) -> Duration {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let used = group.processor_time().expect("a count");
        if used >= at_least || Instant::now() >= until {
            assert!(used >= at_least, "it got {used:?} of the processor");
            return used;
        }
        wait(&mut [], Duration::from_millis(5));
    }
}

#[test]
fn an_idle_group_gets_what_the_others_leave() {
    let Some(place) = Place::new("idle") else { return };
    let busy = "exec taskset -c 0 sh -c 'while :; do :; done'";
    let (idle, normal) = (place.make("idle", 8, 100), place.make("normal", 8, 100));
    assert_eq!(idle.processor_time(), Some(Duration::ZERO));
    assert!(!idle.wants_processor());
    let mut loser = start(&idle, busy);
    await_use(&idle, Duration::from_millis(20));
    idle.set_priority(Priority::Idle).expect("set");
    // What nobody else wants is its own.
    let before = idle.processor_time().expect("a count");
    let before = await_use(&idle, before + Duration::from_millis(2));
    let mut winner = start(&normal, busy);
    let won = await_use(&normal, Duration::from_millis(400));
    let lost = idle.processor_time().expect("a count") - before;
    assert!(lost * 4 < won, "the idle one got {lost:?} beside {won:?}");
    assert!(idle.wants_processor(), "it still would");

    idle.set_priority(Priority::Normal).expect("set back");
    normal.set_priority(Priority::Idle).expect("set");
    let before = (idle.processor_time().expect("a count"), normal.processor_time().expect("a count"));
    let won = await_use(&idle, before.0 + Duration::from_millis(400)) - before.0;
    let lost = normal.processor_time().expect("a count") - before.1;
    assert!(lost * 4 < won, "the idle one got {lost:?} beside {won:?}");

    idle.remove().expect("removed");
    await_use(&normal, before.1 + lost + Duration::from_millis(2));
    drop(normal);
    for ended in [&mut loser, &mut winner] {
        ended.wait().expect("its end");
    }
}

#[test]
fn a_kernel_without_idle_groups_weighs_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = |file: &str| fs::read_to_string(folder.path().join(file)).expect("a file");
    for (layout, file, weights) in
        [(Layout::Unified, "cpu.weight", ["1", "100"]), (Layout::Split, "cpu.shares", ["2", "1024"])]
    {
        for (priority, weight) in [Priority::Idle, Priority::Normal].into_iter().zip(weights) {
            fs::write(folder.path().join(file), "").expect("a file");
            processor::prioritize(folder.path(), layout, priority).expect("written");
            assert_eq!(text(file), weight);
        }
    }
    fs::write(folder.path().join("cpu.idle"), "").expect("a file");
    processor::prioritize(folder.path(), Layout::Unified, Priority::Idle).expect("written");
    assert_eq!((text("cpu.idle").as_str(), text("cpu.weight").as_str()), ("1", "100"));
    let group =
        |layout| Group { layout, folders: std::array::from_fn(|_| folder.path().to_owned()), removed: true };
    assert_eq!(group(Layout::Unified).processor_time(), None);
    fs::write(folder.path().join("cpu.stat"), "usage_usec 2500\nuser_usec 1\n").expect("a file");
    fs::write(folder.path().join("cpuacct.usage"), "7000\n").expect("a file");
    assert_eq!(group(Layout::Unified).processor_time(), Some(Duration::from_micros(2500)));
    assert_eq!(group(Layout::Split).processor_time(), Some(Duration::from_micros(7)));
}

#[test]
fn a_tighter_parent_holds_where_the_kernel_refuses_more() {
    let Some(place) = Place::new("parent") else { return };
    if place.0.layout == Layout::Split {
        let parent = place.0.folders[CPU].clone();
        write(&parent.join("cpu.cfs_quota_us"), "20000").expect("a limit of the parent");
        let mut inner = place.0.clone();
        inner.folders[CPU] = parent.join("inner");
        let group = inner.make("child", &limits(8, 100)).expect("a group");
        assert_eq!(group.folders[CPU], parent.join("inner.child"));
        let own = fs::read_to_string(group.folders[CPU].join("cpu.cfs_quota_us")).expect("a limit");
        assert_eq!(own.trim(), "-1");
    }
}

#[test]
fn leftovers_are_removed_and_a_living_host_is_not_disturbed() {
    let Some(groups) = find("leftovers") else { return };
    let group = groups.make("old", &limits(8, 100)).expect("a group");
    let mut child = start(&group, "setsid sleep 600 & setsid sleep 600 & echo ready; read forever");
    assert_eq!(first_line(&mut child), "ready");
    let owner = format!("leftovers-{}", std::process::id());
    let missing = Groups::find(&owner).expect_err("one host at a time");
    assert_eq!(missing.fix, OTHER_OWNER);
    assert_eq!(members(&group.folders).len(), 3, "nobody was hurt");

    // As after a crash: nothing is dropped in order, but the kernel lets go of the lock.
    let below = group.folders[MEMORY].join("below");
    fs::create_dir(&below).expect("a group below");
    std::mem::forget(group);
    drop(groups);
    let again = Place(Groups::find(&owner).expect("found again"));
    assert_eq!(child.wait().expect("its end").signal(), Some(9));
    assert_eq!(again.left(), BTreeSet::new());
    again.make("old", 8, 100).remove().expect("the name is free");
}

/// Only what needs no controller, so that it runs wherever there is a unified hierarchy to write to.
#[test]
fn the_unified_layout_ends_all_below() {
    let [memberships, mounts] =
        ["/proc/self/cgroup", "/proc/self/mountinfo"].map(|path| fs::read_to_string(path).expect("a text"));
    let Some(own) = own_folder(Path::new("/"), &memberships, &mounts, "") else { return };
    let folder = own.join(format!("hayloft-unified-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&folder).and_then(|()| fs::create_dir(folder.join("below"))) {
        return eprintln!("not tested on this machine: {error}");
    }
    let folders = std::array::from_fn(|_| folder.clone());
    let group = Group { layout: Layout::Unified, folders, removed: false };
    assert_eq!(group.entries(), [folder.join("cgroup.procs")]);
    let below = folder.join("below/cgroup.procs");
    let script = format!(
        "sleep 600 & sh -c \"echo 0 > '{}'; sleep 600 & echo ready; read forever\"; :",
        below.display()
    );
    let mut child = start(&group, &script);
    assert_eq!(first_line(&mut child), "ready");
    assert_eq!(members(std::slice::from_ref(&folder)).len(), 4, "two shells, two sleepers");
    group.remove().expect("removed");
    assert_eq!(child.wait().expect("its end").signal(), Some(9));
    assert!(!folder.exists());
}

#[test]
fn names_are_checked_and_unique() {
    let Some(place) = Place::new("names") else { return };
    let long = "a".repeat(101);
    for name in ["", ".", "..", "a/b", "/a", "a.b", "cgroup.procs", "a b", "a\n", "a\0", "ä", &long] {
        let error = place.0.make(name, &limits(1, 1)).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
    }
    let living = place.make("one", 8, 100);
    let mut child = start(&living, "echo ready; read forever");
    assert_eq!(first_line(&mut child), "ready");
    let error = place.0.make("one", &limits(1, 1)).expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(child.try_wait().expect("its state"), None, "the living one stays");
    drop(living);
    child.wait().expect("its end");
}

#[test]
fn many_at_once() {
    let Some(place) = Place::new("many") else { return };
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let place = &place;
            scope.spawn(move || {
                for round in 0..5 {
                    let group = place.make(&format!("{thread}-{round}"), 8, 100);
                    let mut child = start(&group, "sleep 600 & echo ready; read forever");
                    assert_eq!(first_line(&mut child), "ready");
                    group.remove().expect("removed");
                    assert_eq!(child.wait().expect("its end").signal(), Some(9));
                }
            });
        }
    });
    assert_eq!(place.left(), BTreeSet::new());
}

#[test]
fn empty_groups_of_hosts_that_are_gone_are_swept_and_no_others() {
    let Some(place) = Place::new("sweeper") else { return };
    let (Some(gone), Some(living), Some(busy)) = (find("gone"), Place::new("living"), Place::new("busy"))
    else {
        panic!("the machine has groups")
    };
    // One that was killed has left a group in which nothing runs any more.
    let left = folders_of(gone.layout, &gone.folders, OsStr::new("left"));
    left.iter().for_each(|folder| make_folder(folder).expect("a group"));
    let folders = gone.folders.clone();
    drop(gone);
    // Another one is gone, too, and something of it runs still.
    let group = busy.make("runs", 10, 100);
    let mut child = start(&group, "echo up; read line");
    assert_eq!(first_line(&mut child), "up");
    let of_busy = busy.0.folders.clone();
    File::unlock(&busy.0._lock).expect("unlocked");

    // Another test may have swept it already.
    place.0.sweep_gone();
    assert!(left.iter().chain(&folders).all(|folder| !folder.exists()), "{folders:?}");
    assert!(living.0.folders.iter().chain(&of_busy).all(|folder| folder.exists()));
    assert!(
        group.folders.iter().all(|folder| folder.exists()) && child.try_wait().expect("a child").is_none()
    );
    assert!(place.0.folders.iter().all(|folder| folder.exists()));
    group.kill().expect("killed");
    child.wait().expect("an end");
    group.remove().expect("removed");
    // Who comes back under the name of one that was swept makes its folders anew.
    let again = find("gone").expect("groups");
    assert!(folders.iter().all(|folder| folder.exists()));
    again.leave().expect("left");
    again.leave().expect("left twice");
    assert!(folders.iter().all(|folder| !folder.exists()));
}
