//! Control groups: the kernel's own limits for memory, tasks and processor of everything in a jail.
//!
//! Two layouts are known. In the *unified* one (version 2) the host's own group was delegated to it; the host moves
//! into the leaf `hayloft-host`, because a group with processes may not limit its children. In the *split* one
//! (version 1, as root) each controller has a hierarchy of its own. Both get `hayloft-<owner>/<name>` below the
//! host's own group. Which one works is found out by trial.
//!
//! It must not know what runs in a group, nor decide what it means that there are none.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What all processes of a group may use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory: u64,
    /// Processes and their threads.
    pub tasks: u64,
    /// Processor time, in percent of one core.
    pub processor: u32,
}

const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
const MEMORY: usize = 0;
const PIDS: usize = 1;
const CPU: usize = 2;
const ENABLE: &str = "+memory +pids +cpu";

/// The leaf that the host itself lives in, in the unified layout.
const HOST: &str = "hayloft-host";

/// How long processes may take to end after `SIGKILL`, and the kernel to let go of their group.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a host that just ended may seem to hold its groups.
const HANDOVER: Duration = Duration::from_millis(500);

/// How many processes are held by descriptor at a time while they are killed.
const BATCH: usize = 64;

/// What to do when the host has no groups that it may divide.
pub const DELEGATE: &str = "run the host alone in a systemd unit with `Delegate=memory pids cpu` in its `[Service]` section, \
                        or from a shell with `systemd-run --user --scope -p Delegate=yes` (a user's units get `cpu` only if \
                        `/etc/systemd/system/user@.service.d/delegate.conf` has the same lines); with control groups of \
                        version 1, run it as root";
const MOUNT: &str = "mount control groups of version 2 at `/sys/fs/cgroup`";
const WRITABLE: &str =
    "give the container a writable `/sys/fs/cgroup` in a control group namespace of its own";
const OTHER_OWNER: &str = "stop the other host that uses this folder, or give this one another owner";
const RENAME: &str = "use letters, digits, `-` and `_`, and not `host`";

/// Where groups of one owner live. Clones are the same place; it stays locked until the last one is dropped.
#[derive(Clone, Debug)]
pub struct Groups {
    layout: Layout,
    /// The folder `hayloft-<owner>` of each of [`CONTROLLERS`]; several may be the same.
    folders: [PathBuf; 3],
    /// Held so that no second host takes living groups of this owner for leftovers.
    _lock: Arc<File>,
}

/// Why there are no groups, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// A fragment that says what stands in the way.
    pub what: String,
    /// An advice to the operator.
    pub fix: &'static str,
}

/// One group with its limits. Dropping it kills what is in it and removes it; that blocks until all have ended.
#[derive(Debug)]
pub struct Group {
    layout: Layout,
    folders: [PathBuf; 3],
    removed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Unified,
    Split,
}

/// Controller, file, text, and the one refusal that is no error.
type Setting = (usize, &'static str, String, Option<ErrorKind>);

impl Groups {
    /// Finds out whether groups can be made here, and removes those that an earlier host of this owner left, with
    /// all processes in them. In the unified layout this process moves into its leaf.
    ///
    /// # Errors
    /// When the machine does not offer them to this user, with what to do about it.
    pub fn find(owner: &str) -> Result<Self, Missing> {
        let read = |path| fs::read_to_string(path).map_err(|error| Missing::because(Path::new(path), &error));
        Self::find_in(Path::new("/"), &read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?, owner)
    }

    fn find_in(root: &Path, memberships: &str, mounts: &str, owner: &str) -> Result<Self, Missing> {
        if !is_name(owner) || owner == "host" {
            let what = format!("`{}` cannot name a control group", owner.escape_debug());
            return Err(Missing { what, fix: RENAME });
        }
        let own = |controller| own_folder(root, memberships, mounts, controller);
        let place = |base: PathBuf| base.join(format!("hayloft-{owner}"));
        let unified = own("").map(|folder| {
            let folder = place(enter_leaf(&folder)?);
            Self::prepare(Layout::Unified, [folder.clone(), folder.clone(), folder])
        });
        match (unified, CONTROLLERS.map(own)) {
            (Some(Ok(groups)), _) => Ok(groups),
            (_, [Some(memory), Some(pids), Some(cpu)]) => {
                Self::prepare(Layout::Split, [memory, pids, cpu].map(place))
            }
            (Some(Err(missing)), _) => Err(missing),
            (None, _) => Err(Missing {
                what: "no mounted hierarchy shows the host's own group".to_owned(),
                fix: MOUNT,
            }),
        }
    }

    fn prepare(layout: Layout, folders: [PathBuf; 3]) -> Result<Self, Missing> {
        let at = folders[MEMORY].clone();
        let attempt = || {
            folders.iter().try_for_each(|folder| make_folder(folder))?;
            let lock = lock(&at)?;
            let leftovers = folders.iter().flat_map(|folder| children(folder));
            for name in leftovers.filter_map(|leftover| leftover.file_name().map(OsStr::to_owned)) {
                clear(&folders.each_ref().map(|folder| folder.join(&name)))?;
            }
            apply(&folders, share(layout))?;
            let groups = Self { layout, folders, _lock: Arc::new(lock) };
            groups.make_with("trial", settings(layout, 1 << 24, 1, 1))?.remove()?;
            Ok(groups)
        };
        attempt().map_err(|error| Missing::because(&at, &error))
    }

    /// Makes a group; `name` must be unique among the living ones of this owner.
    ///
    /// # Errors
    /// When the name is taken or none, or the kernel refuses a limit.
    pub fn make(&self, name: &str, limits: &Limits) -> io::Result<Group> {
        if !is_name(name) {
            let message = format!("`{}` cannot name a control group", name.escape_debug());
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        self.make_with(name, settings(self.layout, limits.memory, limits.tasks, limits.processor))
    }

    fn make_with(&self, name: &str, settings: Vec<Setting>) -> io::Result<Group> {
        let folders = self.folders.each_ref().map(|folder| folder.join(name));
        // A living group of this name has the first folder: fail before there is a value whose drop would end it.
        fs::create_dir(&folders[MEMORY]).map_err(|error| explain("make", &folders[MEMORY], &error))?;
        let group = Group { layout: self.layout, folders, removed: false };
        group.folders.iter().try_for_each(|folder| make_folder(folder))?;
        apply(&group.folders, settings)?;
        Ok(group)
    }

    /// Removes the owner's own folders, which must be empty; for a host that ends in order.
    ///
    /// # Errors
    /// When they are not empty.
    pub fn leave(self) -> io::Result<()> {
        self.folders.iter().rev().try_for_each(|folder| remove_folder(folder))
    }
}

impl Missing {
    fn because(path: &Path, error: &io::Error) -> Self {
        let fix = match error.kind() {
            ErrorKind::ReadOnlyFilesystem => WRITABLE,
            ErrorKind::WouldBlock => OTHER_OWNER,
            _ => DELEGATE,
        };
        Self { what: format!("no groups at `{}`: {error}", path.display()), fix }
    }
}

impl Group {
    /// The files that a new process writes `0` to, to move itself here, before it loses its rights. It must have a
    /// single thread: to move a whole process, the kernel waits many milliseconds for all others to pass a point of rest; to move the
    /// writing thread it does not. The unified layout knows only the former, for which `clone3` can start a process
    /// in the group instead.
    pub fn entries(&self) -> Vec<PathBuf> {
        let file = if self.layout == Layout::Unified { "cgroup.procs" } else { "tasks" };
        let mut entries = self.folders.each_ref().map(|folder| folder.join(file)).to_vec();
        entries.dedup();
        entries
    }

    /// What the group uses now, the page cache of its files included.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.read("memory.current", "memory.usage_in_bytes")?.trim().parse().ok()
    }

    /// How often the kernel has killed for memory in this group. To be asked before the group is removed.
    pub fn memory_kills(&self) -> u64 {
        let text = self.read("memory.events", "memory.oom_control").unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
        count.unwrap_or_default()
    }

    /// Kills everything in the group and returns when all have ended. Nothing can start in it afterwards.
    ///
    /// # Errors
    /// When the kernel does not let go of a process.
    pub fn kill(&self) -> io::Result<()> {
        kill(&self.folders, Instant::now() + PATIENCE)
    }

    /// Kills everything in the group and removes it.
    ///
    /// # Errors
    /// When the kernel does not let go of a process or a folder.
    pub fn remove(mut self) -> io::Result<()> {
        self.removed = true;
        clear(&self.folders)
    }

    fn read(&self, unified: &str, split: &str) -> Option<String> {
        let file = if self.layout == Layout::Unified { unified } else { split };
        fs::read_to_string(self.folders[MEMORY].join(file)).ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.removed {
            // What stays behind is removed by the next start of the host.
            let _ = clear(&self.folders);
        }
    }
}

/// The share of all groups of an owner together, a quarter of the default. Workers are equal among each other (they
/// keep the default), and because the low share is that of their common parent, the host gets four fifths of a busy
/// core against any number of them. An idle core is theirs.
fn share(layout: Layout) -> Vec<Setting> {
    match layout {
        Layout::Unified => vec![
            (MEMORY, "cgroup.subtree_control", ENABLE.to_owned(), None),
            (CPU, "cpu.weight", "25".to_owned(), None),
        ],
        Layout::Split => vec![(CPU, "cpu.shares", "256".to_owned(), None)],
    }
}

/// Bytes, tasks, and percent of one core. What a kernel may lack is only what matters where there is swap, and the
/// joint end of all processes, which the caller then sees to.
fn settings(layout: Layout, memory: u64, tasks: u64, processor: u32) -> Vec<Setting> {
    let memory = memory.to_string();
    let tasks = (PIDS, "pids.max", tasks.to_string(), None);
    // Microseconds of each period of 100 ms.
    let quota = u64::from(processor) * 1_000;
    let if_there = Some(ErrorKind::NotFound);
    match layout {
        Layout::Unified => vec![
            (MEMORY, "memory.max", memory, None),
            (MEMORY, "memory.swap.max", "0".to_owned(), if_there),
            (MEMORY, "memory.oom.group", "1".to_owned(), if_there),
            tasks,
            (CPU, "cpu.max", format!("{quota} 100000"), None),
        ],
        Layout::Split => vec![
            (MEMORY, "memory.limit_in_bytes", memory.clone(), None),
            (MEMORY, "memory.memsw.limit_in_bytes", memory, if_there),
            tasks,
            (CPU, "cpu.cfs_period_us", "100000".to_owned(), None),
            // This layout refuses more than a parent has; then the parent's limit holds.
            (CPU, "cpu.cfs_quota_us", quota.to_string(), Some(ErrorKind::InvalidInput)),
        ],
    }
}

fn apply(folders: &[PathBuf; 3], settings: Vec<Setting>) -> io::Result<()> {
    settings.into_iter().try_for_each(|(controller, file, text, tolerated)| {
        tolerate(tolerated, write(&folders[controller].join(file), &text))
    })
}

/// The folder of the group that this process is in: of `controller` in the split layout, of all if it is empty.
fn own_folder(root: &Path, memberships: &str, mounts: &str, controller: &str) -> Option<PathBuf> {
    let has = |list: &str| list.split(',').any(|item| item == controller);
    let path = memberships.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        has(controllers).then_some(Path::new(path))
    })?;
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3).map(unescape);
        let (top, mounted_at) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let of_this = match kind.next()? {
            "cgroup2" => controller.is_empty(),
            "cgroup" => !controller.is_empty() && has(kind.nth(1)?),
            _ => false,
        };
        // A path with `..` leads out of what this process may see of the hierarchy.
        let below = path.strip_prefix(&top).ok()?;
        let inside = !below.components().any(|part| part == Component::ParentDir);
        (of_this && inside).then(|| root.join(mounted_at.trim_start_matches('/')).join(below))
    })
}

/// The kernel writes blanks, tabs, line ends and backslashes of paths as `\ooo`.
fn unescape(text: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(text.to_owned(), |text, (code, letter)| text.replace(code, letter))
}

/// Moves this process into the leaf and enables the controllers beside it. Returns the group above the leaf.
fn enter_leaf(own: &Path) -> Result<PathBuf, Missing> {
    let base = own.parent().filter(|_| own.ends_with(HOST)).unwrap_or(own);
    let (leaf, offered) = (base.join(HOST), base.join("cgroup.controllers"));
    let offered = fs::read_to_string(&offered).map_err(|error| Missing::because(&offered, &error))?;
    let offered: Vec<_> = offered.split_whitespace().collect();
    let absent: Vec<_> = CONTROLLERS.into_iter().filter(|name| !offered.contains(name)).collect();
    if !absent.is_empty() {
        let what = format!("the group `{}` lacks `{}`", base.display(), absent.join("`, `"));
        return Err(Missing { what, fix: DELEGATE });
    }
    make_folder(&leaf)
        .and_then(|()| write(&leaf.join("cgroup.procs"), "0"))
        .and_then(|()| write(&base.join("cgroup.subtree_control"), ENABLE))
        .map_err(|error| {
            // A refused trial leaves this process where it was.
            let _ = write(&own.join("cgroup.procs"), "0").and_then(|()| remove_folder(&leaf));
            Missing::because(base, &error)
        })?;
    Ok(base.to_owned())
}

fn is_name(text: &str) -> bool {
    let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    letters && (1..=100).contains(&text.len())
}

fn tolerate(refusal: Option<ErrorKind>, result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if Some(error.kind()) == refusal { Ok(()) } else { Err(error) })
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let made = fs::create_dir(folder).map_err(|error| explain("make", folder, &error));
    tolerate(Some(ErrorKind::AlreadyExists), made)
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    let removed = fs::remove_dir(folder).map_err(|error| explain("remove", folder, &error));
    tolerate(Some(ErrorKind::NotFound), removed)
}

/// Writes without creating, so that a file that the kernel does not offer is reported as absent.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let written =
        OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| explain(&format!("write `{text}` to"), path, &error))
}

fn explain(act: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{act} `{}`: {error}", path.display()))
}

fn lock(folder: &Path) -> io::Result<File> {
    let (file, deadline) = (File::open(folder)?, Instant::now() + HANDOVER);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // A new process holds what its host held until it becomes another program, even if the host is gone.
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => wait(&mut [], Duration::from_millis(1)),
            result => return Ok(result.map(|()| file)?),
        }
    }
}

/// The groups in a group. What cannot be listed keeps the group from being removed, and that is reported.
fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// A group and all below it, deepest first.
fn tree(folder: &Path) -> Vec<PathBuf> {
    children(folder).iter().flat_map(|child| tree(child)).chain([folder.to_owned()]).collect()
}

/// The processes in these groups and below. Those of a foreign process namespace are listed as 0 and left out.
fn members(folders: &[PathBuf]) -> BTreeSet<i32> {
    let groups = folders.iter().flat_map(|folder| tree(folder));
    let lists = groups.flat_map(|group| fs::read_to_string(group.join("cgroup.procs")));
    lists
        .flat_map(|list| list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
        .filter(|process| *process > 0)
        .collect()
}

fn kill(folders: &[PathBuf], deadline: Instant) -> io::Result<()> {
    for folder in folders {
        // Without forks the killing comes to an end, whatever runs there. Only one of the folders has this file.
        let _ = write(&folder.join("pids.max"), "0");
        // Where the kernel offers it, it kills all at once.
        let _ = write(&folder.join("cgroup.kill"), "1");
    }
    loop {
        // A process id can pass to a stranger between being read and being signalled; a descriptor cannot. An id that
        // is listed after its descriptor was opened is the process that the descriptor holds, or that one has ended.
        let mut held = Vec::new();
        for pid in members(folders).into_iter().take(BATCH).filter_map(Pid::from_raw) {
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(process) => held.push((pid.as_raw_pid(), process)),
                Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let members = members(folders);
        if members.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let message = format!("end the processes {members:?} within {PATIENCE:?} of `SIGKILL`");
            return Err(io::Error::new(ErrorKind::TimedOut, message));
        }
        held.retain(|(pid, _)| members.contains(pid));
        for (_, process) in &held {
            // A refusal shows as a process that is still there when the time is up.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
        for (_, process) in &held {
            wait(&mut [PollFd::new(process, PollFlags::IN)], deadline - Instant::now());
        }
    }
}

/// Kills what is in the groups and removes them, with all below.
fn clear(folders: &[PathBuf]) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        kill(folders, deadline)?;
        // The folder that claims the name is the first and goes last.
        let mut groups = folders.iter().rev().flat_map(|folder| tree(folder));
        match groups.try_for_each(|group| remove_folder(&group)) {
            // A process leaves its group a moment after it was seen to end, and no event tells of that.
            Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline => {
                wait(&mut [], Duration::from_millis(1));
            }
            result => return result,
        }
    }
}

/// Waits for an event or for the time to pass; the caller looks at the state itself.
fn wait(events: &mut [PollFd<'_>], at_most: Duration) {
    let _ = poll(events, at_most.try_into().ok().as_ref());
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "what a group does is seen only on real processes in it")]

    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    use super::*;

    const MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/a /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,memory
39 31 0:36 /.. /mnt/pids rw - cgroup cgroup rw,pids
40 31 0:36 / /sys/fs/cgroup/pids rw master:1 shared:2 - cgroup none rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn own_folders_are_found_by_hierarchy() {
        let memberships =
            "8:pids:/\n4:memory:/docker/a/b\n3:cpu,cpuacct:/x:y\n1:name=systemd:/s\n0::/user/u.service\n";
        for (controller, expected) in [
            ("memory", Some("/root/sys/fs/cgroup/mem ory/b")),
            ("cpu", Some("/root/sys/fs/cgroup/cpu,cpuacct/x:y")),
            ("cpuacct", Some("/root/sys/fs/cgroup/cpu,cpuacct/x:y")),
            ("pids", Some("/root/sys/fs/cgroup/pids/")),
            ("", Some("/root/sys/fs/cgroup/unified/user/u.service")),
            ("blkio", None),
        ] {
            let found = own_folder(Path::new("/root"), memberships, MOUNTS, controller);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{controller}");
        }
        for outside in
            ["4:memory:/elsewhere", "4:memory:/docker/a/../b", "4:memory:/docker/ab", "", "nonsense"]
        {
            assert_eq!(own_folder(Path::new("/"), outside, MOUNTS, "memory"), None, "{outside}");
        }
        assert_eq!(own_folder(Path::new("/"), "0::/", "nonsense\n1 2 - \n", ""), None);
    }

    #[test]
    fn paths_lose_their_octal_escapes() {
        for (escaped, plain) in
            [("/a", "/a"), ("/a\\040b\\011c\\012", "/a b\tc\n"), ("\\134040", "\\040"), ("\\134\\040", "\\ ")]
        {
            assert_eq!(unescape(escaped), plain);
        }
    }

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

    /// A folder that looks like a delegated group of the unified layout.
    fn delegated(controllers: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for leaf in ["", HOST] {
            make_folder(&folder.path().join(leaf)).expect("a group");
            fs::write(folder.path().join(leaf).join("cgroup.procs"), "").expect("a file");
        }
        fs::write(folder.path().join("cgroup.controllers"), controllers).expect("a file");
        fs::write(folder.path().join("cgroup.subtree_control"), "").expect("a file");
        folder
    }

    #[test]
    fn the_host_moves_into_its_leaf_once() {
        let folder = delegated("cpuset cpu io memory pids\n");
        let text = |file: &str| fs::read_to_string(folder.path().join(file)).expect("a file");
        for own in [folder.path().to_owned(), folder.path().join(HOST)] {
            assert_eq!(enter_leaf(&own).expect("delegated"), folder.path());
            assert_eq!(text("hayloft-host/cgroup.procs"), "0");
            assert_eq!(text("cgroup.subtree_control"), "+memory +pids +cpu");
            assert_eq!(text("cgroup.procs"), "");
        }
    }

    #[test]
    fn a_refused_leaf_is_left_again() {
        let folder = delegated("cpu memory pids");
        fs::remove_file(folder.path().join("cgroup.subtree_control")).expect("a file less");
        let missing = enter_leaf(folder.path()).expect_err("not delegated");
        assert!(missing.what.contains("cgroup.subtree_control"), "{missing:?}");
        assert_eq!(fs::read_to_string(folder.path().join("cgroup.procs")).expect("a file"), "0");
    }

    #[test]
    fn what_is_missing_is_said() {
        let folder = delegated("cpuset memory");
        let at = |memberships: &str| {
            let place = folder.path().display();
            let mounts = format!(
                "41 31 0:38 / {place} rw - cgroup2 cgroup2 rw\n35 31 0:32 / /m rw - cgroup x rw,memory"
            );
            Groups::find_in(Path::new("/"), memberships, &mounts, "here").expect_err("nothing to be found")
        };
        let missing = at("4:memory:/\n0::/");
        assert_eq!(missing.what, format!("the group `{}/` lacks `pids`, `cpu`", folder.path().display()));
        assert!(missing.fix.contains("`Delegate=memory pids cpu`"), "{missing:?}");
        assert!(at("0::/gone").what.contains("gone/cgroup.controllers"));
        assert_eq!(at("4:memory:/").fix, MOUNT);
        for (kind, fix) in [
            (ErrorKind::ReadOnlyFilesystem, WRITABLE),
            (ErrorKind::PermissionDenied, DELEGATE),
            (ErrorKind::ResourceBusy, DELEGATE),
            (ErrorKind::WouldBlock, OTHER_OWNER),
        ] {
            assert_eq!(Missing::because(Path::new("/x"), &kind.into()).fix, fix);
        }
        for owner in ["", "host", "a/b", ".", "..", "a b"] {
            assert_eq!(Groups::find(owner).expect_err("no name").fix, RENAME, "{owner}");
        }
    }

    /// The groups of one test; removed at its end, also of a failed one.
    struct Place(Groups);

    /// `None` where the machine has none to give.
    fn find(owner: &str) -> Option<Groups> {
        match Groups::find(&format!("{owner}-{}", std::process::id())) {
            Ok(groups) => Some(groups),
            Err(missing) => {
                let offered =
                    rustix::fs::access("/sys/fs/cgroup/memory", rustix::fs::Access::WRITE_OK).is_ok();
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

        fn left(&self) -> Vec<PathBuf> {
            self.0.folders.iter().flat_map(|folder| children(folder)).collect()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            for folder in self.0.folders.iter().rev() {
                let _ = clear(&children(folder)).and_then(|()| remove_folder(folder));
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
        assert_eq!(place.left(), Vec::<PathBuf>::new());
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
        assert_eq!(place.left(), Vec::<PathBuf>::new(), "dropping removes");
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
        assert_eq!(place.left(), Vec::<PathBuf>::new());
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

    #[test]
    fn a_tighter_parent_holds_where_the_kernel_refuses_more() {
        let Some(place) = Place::new("parent") else { return };
        if place.0.layout == Layout::Split {
            write(&place.0.folders[CPU].join("cpu.cfs_quota_us"), "20000").expect("a limit of the parent");
            let group = place.make("child", 8, 100);
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
        assert_eq!(again.left(), Vec::<PathBuf>::new());
        again.make("old", 8, 100).remove().expect("the name is free");
    }

    /// Only what needs no controller, so that it runs wherever there is a unified hierarchy to write to.
    #[test]
    fn the_unified_layout_ends_all_below() {
        let [memberships, mounts] = ["/proc/self/cgroup", "/proc/self/mountinfo"]
            .map(|path| fs::read_to_string(path).expect("a text"));
        let Some(own) = own_folder(Path::new("/"), &memberships, &mounts, "") else { return };
        let folder = own.join(format!("hayloft-unified-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&folder).and_then(|()| fs::create_dir(folder.join("below"))) {
            return eprintln!("not tested on this machine: {error}");
        }
        let folders = [folder.clone(), folder.clone(), folder.clone()];
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
        assert_eq!(place.left(), Vec::<PathBuf>::new());
    }
}
