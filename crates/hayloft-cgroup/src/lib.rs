//! Control groups: the kernel's own limits for memory, tasks and processor of everything in a jail.
//!
//! Two layouts are known. In the *unified* one (version 2) the host's own group was delegated to it; the host moves
//! into the leaf `hayloft-host`, because a group with processes may not limit its children. In the *split* one
//! (version 1, as root) each controller has a hierarchy of its own. Both get `hayloft-<owner>/<name>` below the
//! host's own group; but for the processor the split one gets `hayloft-<owner>.<name>`, beside the host's own threads.
//! Which one works is found out by trial.
//!
//! It must not know what runs in a group, nor decide what it means that there are none.

mod folders;
mod place;
mod processes;
mod processor;
mod sweep;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use folders::{children, explain, lock, make_folder, remove_folder, tolerate, write};
use place::{ENABLE, enter_leaf, own_folder};
use processes::{PATIENCE, clear, kill};

pub use processor::Priority;

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
/// How often an owner's folders are made that others remove meanwhile.
const ATTEMPTS: usize = 20;

const MEMORY: usize = 0;
const PIDS: usize = 1;
const CPU: usize = 2;
/// Where processor time is counted: in the split layout by a controller of its own.
const ACCOUNT: usize = 3;
const ACCOUNTANT: &str = "cpuacct";

/// The folders of one group: of each of [`CONTROLLERS`] and of what counts; several may be the same.
type Folders = [PathBuf; 4];

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
    /// The folders `hayloft-<owner>`.
    folders: Folders,
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
    folders: Folders,
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
            Self::prepare(Layout::Unified, std::array::from_fn(|_| folder.clone()))
        });
        match (unified, CONTROLLERS.map(own)) {
            (Some(Ok(groups)), _) => Ok(groups),
            (_, [Some(memory), Some(pids), Some(cpu)]) => {
                // A machine without it still has its limits.
                let account = own(ACCOUNTANT).unwrap_or_else(|| cpu.clone());
                Self::prepare(Layout::Split, [memory, pids, cpu, account].map(place))
            }
            (Some(Err(missing)), _) => Err(missing),
            (None, _) => Err(Missing {
                what: "no mounted hierarchy shows the host's own group".to_owned(),
                fix: MOUNT,
            }),
        }
    }

    fn prepare(layout: Layout, folders: Folders) -> Result<Self, Missing> {
        let at = folders[MEMORY].clone();
        let attempt = || {
            let lock = own(&folders)?;
            for name in names(&folders) {
                clear(&folders_of(layout, &folders, &name))?;
            }
            if layout == Layout::Unified {
                write(&at.join("cgroup.subtree_control"), ENABLE)?;
            }
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
        let folders = folders_of(self.layout, &self.folders, OsStr::new(name));
        // A living group of this name has the first folder: fail before there is a value whose drop would end it.
        fs::create_dir(&folders[MEMORY]).map_err(|error| explain("make", &folders[MEMORY], &error))?;
        let group = Group { layout: self.layout, folders, removed: false };
        group.folders.iter().try_for_each(|folder| make_folder(folder))?;
        apply(&group.folders, settings)?;
        Ok(group)
    }

    /// Removes the owner's own folders, which must be empty; for a host that ends in order. Done twice it changes nothing.
    ///
    /// # Errors
    /// When they are not empty.
    pub fn leave(&self) -> io::Result<()> {
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

    /// The same without what the kernel can take back at any moment: the cache of files that nobody has read for a
    /// while.
    pub fn working_set_bytes(&self) -> Option<u64> {
        let key = if self.layout == Layout::Unified { "inactive_file " } else { "total_inactive_file " };
        let text = self.read("memory.stat", "memory.stat")?;
        let cache: u64 = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())?;
        Some(self.memory_bytes()?.saturating_sub(cache))
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

/// Where a group of this name lives. For the processor that is beside the folder of its owner where that is possible: an
/// idle group yields at once to its siblings only, and the host's threads have to be among them.
fn folders_of(layout: Layout, owner: &Folders, name: &OsStr) -> Folders {
    owner.each_ref().map(|folder| {
        if layout == Layout::Split && *folder == owner[CPU] {
            let mut own = prefix(folder);
            own.push(name);
            folder.with_file_name(own)
        } else {
            folder.join(name)
        }
    })
}

/// What the names of an owner's groups begin with that are beside its folder. No name of an owner has a dot.
fn prefix(folder: &Path) -> OsString {
    let mut prefix = folder.file_name().unwrap_or_default().to_owned();
    prefix.push(".");
    prefix
}

/// Makes an owner's folders and locks them. Another host may be removing them just then, as those of an owner that is gone:
/// what counts is that the folder which is locked is the one that is there.
fn own(folders: &Folders) -> io::Result<File> {
    let at = &folders[MEMORY];
    for _ in 0..ATTEMPTS {
        folders.iter().try_for_each(|folder| make_folder(folder))?;
        let lock = match lock(at) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            lock => lock?,
        };
        let there = tolerate_absence(fs::metadata(at))?;
        if there.is_some_and(|there| lock.metadata().is_ok_and(|locked| locked.ino() == there.ino())) {
            // Whoever removed some of them held the lock until now, and nobody else does it any more.
            folders.iter().try_for_each(|folder| make_folder(folder))?;
            return Ok(lock);
        }
    }
    let message = format!("make `{}`: it is removed again and again", at.display());
    Err(io::Error::new(ErrorKind::Interrupted, message))
}

fn tolerate_absence<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of all groups that an owner has.
fn names(owner: &Folders) -> BTreeSet<OsString> {
    let below = owner.iter().flat_map(|folder| children(folder));
    let below = below.filter_map(|group| group.file_name().map(OsStr::to_owned));
    let prefix = prefix(&owner[CPU]);
    let beside = owner[CPU].parent().map(children).unwrap_or_default();
    let beside = beside.into_iter().filter_map(|group| {
        let name = group.file_name()?.as_bytes().strip_prefix(prefix.as_bytes())?;
        Some(OsStr::from_bytes(name).to_owned())
    });
    below.chain(beside).collect()
}

/// Bytes, tasks, and percent of one core. What a kernel may lack is only what matters where there is swap, and the
/// joint end of all processes, which the caller then sees to.
///
/// A group keeps the weight that every group has: with less of it a worker that shares a core with its caller would
/// answer later, and who computes much is told apart by its priority.
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

fn apply(folders: &Folders, settings: Vec<Setting>) -> io::Result<()> {
    settings.into_iter().try_for_each(|(controller, file, text, tolerated)| {
        tolerate(tolerated, write(&folders[controller].join(file), &text))
    })
}

fn is_name(text: &str) -> bool {
    let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    letters && (1..=100).contains(&text.len())
}

#[cfg(test)]
mod tests;
