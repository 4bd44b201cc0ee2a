//! All processes that one process has begotten: what they use, and their end.
//!
//! Without process namespaces the kernel does not know a tree, so it is searched for: children of children, since
//! orphans come back to the jail's first process, and, where that one is gone, carriers of the same marker in their
//! environment. What is found is killed, again and again until nothing new turns up.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::MARKER_VARIABLE;

/// How long processes may take to vanish after `SIGKILL`. Only the kernel itself can delay them.
const VANISH: Duration = Duration::from_secs(10);

/// A tree of processes that could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The list of processes cannot be read.
    #[error("read the list of processes in `/proc`")]
    List(#[source] io::Error),
    /// They got `SIGKILL` and are still there; the kernel holds them, usually in a device or network file system.
    #[error("end the processes {pids:?} within {seconds} s of `SIGKILL`")]
    StillThere {
        /// Their ids.
        pids: Vec<i32>,
        /// How long was waited.
        seconds: u64,
    },
    /// The thread that was to do it is gone.
    #[error("run the clean-up")]
    Interrupted,
}

/// A process that [`sweep`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Its id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

/// Ends what an earlier host left behind: every process that carries this marker or one that continues it by `/…`, and
/// its descendants. Only processes of the same user are seen.
///
/// # Errors
/// When the processes cannot be listed, or the kernel does not let go of one.
pub fn sweep(marker: &str) -> Result<Vec<Swept>, TreeError> {
    kill(|process| process.marker().is_some_and(|found| continues(&found, marker)))
}

/// Ends all descendants of this process, itself excepted. Orphans among them must come back to it.
pub(crate) fn kill_descendants() -> Result<(), TreeError> {
    let root = rustix::process::getpid().as_raw_nonzero().get();
    kill(|process| process.parent == root).map(drop)
}

/// Memory in use by a process and its descendants, in bytes. `None` once it is gone.
#[must_use]
pub fn resident_bytes(root: i32) -> Option<u64> {
    fs::metadata(format!("/proc/{root}")).ok()?;
    Some(with_descendants(root).into_iter().map(resident_bytes_of).sum())
}

/// A process and its descendants, as the kernel lists the children of each task.
#[must_use]
pub fn with_descendants(root: i32) -> Vec<i32> {
    if fs::metadata("/proc/thread-self/children").is_err() {
        // A kernel that was built without these lists.
        return list()
            .map(|processes| family(&processes, |process| process.pid == root).into_iter().collect())
            .unwrap_or_default();
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for children in tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok()) {
            found.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
        next += 1;
    }
    found
}

/// Whether a process is another one, or descends from it.
#[must_use]
pub fn descends(pid: i32, root: i32) -> bool {
    let mut current = Some(pid);
    while let Some(pid) = current {
        if pid == root {
            return true;
        }
        current = Process::read(pid).map(|process| process.parent).filter(|parent| *parent > 0);
    }
    false
}

fn resident_bytes_of(pid: i32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|fields| fields.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

/// Those that fit, and their descendants.
fn family(processes: &[Process], fits: impl Fn(&Process) -> bool) -> HashSet<i32> {
    let mut members: HashSet<_> =
        processes.iter().filter(|process| fits(process)).map(|one| one.pid).collect();
    loop {
        let before = members.len();
        members.extend(
            processes
                .iter()
                .filter(|one| members.contains(&one.parent))
                .map(|one| one.pid)
                .collect::<Vec<_>>(),
        );
        if members.len() == before {
            return members;
        }
    }
}

fn kill(fits: impl Fn(&Process) -> bool) -> Result<Vec<Swept>, TreeError> {
    let mut ended = Vec::new();
    loop {
        let processes = list().map_err(TreeError::List)?;
        let members = family(&processes, &fits);
        let held: Vec<_> = processes
            .iter()
            .filter(|process| members.contains(&process.pid))
            .filter_map(|process| {
                let handle = process.hold()?;
                // It may have ended in the meantime, which is as good.
                let command = command_line(process.pid);
                let _ = rustix::process::pidfd_send_signal(&handle, Signal::KILL);
                ended.push(Swept { pid: process.pid.unsigned_abs(), command });
                Some((process.pid, handle))
            })
            .collect();
        if held.is_empty() {
            return Ok(ended);
        }
        await_end(held)?;
    }
}

fn await_end(mut waiting: Vec<(i32, OwnedFd)>) -> Result<(), TreeError> {
    let deadline = Instant::now() + VANISH;
    while !waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let pids = waiting.iter().map(|(pid, _)| *pid).collect();
            return Err(TreeError::StillThere { pids, seconds: VANISH.as_secs() });
        }
        let mut ends: Vec<_> = waiting.iter().map(|(_, handle)| PollFd::new(handle, PollFlags::IN)).collect();
        let timeout = Timespec::try_from(left).ok();
        match rustix::event::poll(&mut ends, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(TreeError::List(errno.into())),
        }
        let mut ended: Vec<_> = ends.iter().map(|end| !end.revents().is_empty()).collect();
        waiting.retain(|_| !ended.remove(0));
    }
    Ok(())
}

/// Whether a marker is the given one or continues it by further parts.
fn continues(marker: &str, start: &str) -> bool {
    marker.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A line of the process table.
struct Process {
    pid: i32,
    parent: i32,
    start_time: u64,
}

/// All processes that still run, but for this one. A zombie has ended: it has no children and takes no signal.
fn list() -> io::Result<Vec<Process>> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        processes.extend(pid.filter(|pid| *pid != own).and_then(Process::read));
    }
    Ok(processes)
}

impl Process {
    /// `None` when it is gone or a zombie.
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name in parentheses and can hold anything, further parentheses included.
        let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
        let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse().ok();
        // A first thread that ended alone looks like a zombie while the others still run.
        if matches!(*fields.first()?, "Z" | "X") && number(17)? <= 1 {
            return None;
        }
        Some(Self { pid, parent: number(1)?, start_time: fields.get(19)?.parse().ok()? })
    }

    /// What its environment was when it started, as far as we may read it.
    fn marker(&self) -> Option<String> {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        environment.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(MARKER_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        })
    }

    /// A handle that never means another process. `None` when it is gone.
    fn hold(&self) -> Option<OwnedFd> {
        let handle = rustix::process::pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // The number may have become another process's between the look and the handle.
        Self::read(self.pid).is_some_and(|now| now.start_time == self.start_time).then_some(handle)
    }
}

/// The command line of a process as people know it, for reports.
fn command_line(pid: i32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).trim_end_matches('\0').replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_belongs_to_its_own_tree_only() {
        for (marker, start, expected) in [
            ("host/wrk_1", "host/wrk_1", true),
            ("host/wrk_1/2", "host/wrk_1", true),
            ("host/wrk_12", "host/wrk_1", false),
            ("host/wrk_1", "host/wrk_1/2", false),
            ("host/wrk_1", "host", true),
            ("hostess/wrk_1", "host", false),
        ] {
            assert_eq!(continues(marker, start), expected, "{marker} {start}");
        }
    }

    #[test]
    fn descent_goes_upwards_only() {
        let own = std::process::id().cast_signed();
        assert!(descends(own, own) && descends(own, 1));
        assert!(!descends(1, own) && !descends(i32::MAX, 1));
    }

    #[test]
    fn a_process_uses_memory_until_it_is_gone() {
        assert!(resident_bytes(1).is_some_and(|bytes| bytes > 0));
        assert_eq!(resident_bytes(i32::MAX), None);
    }
}
