//! All processes that one process has begotten, and their end.
//!
//! Without process namespaces the kernel does not know a tree, so it is searched for: children of children, members
//! of the same session or process group, and carriers of the same marker in their environment. The tree is stopped
//! while it is searched, again and again until nothing new turns up, since a stopped process cannot fork.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::TreeError;
use crate::spawner::command_line;
use crate::spec::MARKER_VARIABLE;

/// How long processes may take to vanish after `SIGKILL`. Only the kernel itself can delay them.
const VANISH: Duration = Duration::from_secs(10);

/// A search that does not settle is ended all the same: what is found by then is killed, and the search repeated.
const MAXIMAL_ROUNDS: usize = 100;

/// A process that [`sweep`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Its id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

/// Ends what an earlier host left behind: every process that carries a marker `<owner>/…`, and its descendants.
/// Only processes of the same user are seen.
///
/// # Errors
/// When the processes cannot be listed, or the kernel does not let go of one.
pub fn sweep(owner: &str) -> Result<Vec<Swept>, TreeError> {
    kill(|process, own| {
        own.contains(&process.parent)
            || process.marker().is_some_and(|marker| continues(&marker, owner) && marker != owner)
    })
}

/// One process and its descendants.
pub(crate) struct Tree<'a> {
    /// A session leader that was not reaped yet, so that its number is its own.
    pub(crate) root: i32,
    pub(crate) marker: &'a str,
}

impl Tree<'_> {
    /// Kills all of them and returns when they are gone. The root stays as a zombie.
    pub(crate) fn kill(&self) -> Result<(), TreeError> {
        kill(|process, own| {
            process.pid == self.root
                || process.session == self.root
                || process.group == self.root
                || process.parent == self.root
                || own.contains(&process.parent)
                || process.marker().is_some_and(|marker| continues(&marker, self.marker))
        })
        .map(drop)
    }
}

/// The start time of a process in clock ticks since boot.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    Process::read(pid).map(|process| process.start_time)
}

/// Whether a marker is the given one or continues it by further parts.
fn continues(marker: &str, start: &str) -> bool {
    marker.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Ids that were found to belong.
struct Own<'a>(&'a HashMap<i32, Caught>);

impl Own<'_> {
    fn contains(&self, pid: &i32) -> bool {
        self.0.contains_key(pid)
    }
}

/// A process that belongs, held by a handle that never means another one.
struct Caught {
    start_time: u64,
    handle: OwnedFd,
    command: String,
}

fn kill(belongs: impl Fn(&Process, &Own<'_>) -> bool) -> Result<Vec<Swept>, TreeError> {
    let mut ended = Vec::new();
    loop {
        let caught = freeze(&belongs)?;
        if caught.is_empty() {
            return Ok(ended);
        }
        for process in caught.values() {
            // It may have ended in the meantime, which is as good.
            let _ = rustix::process::pidfd_send_signal(&process.handle, Signal::KILL);
        }
        await_end(&caught)?;
        ended.extend(
            caught
                .into_iter()
                .map(|(pid, caught)| Swept { pid: pid.unsigned_abs(), command: caught.command }),
        );
    }
}

/// Stops everything that belongs until a look around finds nothing new.
fn freeze(belongs: &impl Fn(&Process, &Own<'_>) -> bool) -> Result<HashMap<i32, Caught>, TreeError> {
    let mut caught = HashMap::new();
    for _ in 0..MAXIMAL_ROUNDS {
        let mut settled = true;
        for process in list()? {
            let known =
                caught.get(&process.pid).is_some_and(|known: &Caught| known.start_time == process.start_time);
            if known || !belongs(&process, &Own(&caught)) {
                continue;
            }
            if let Some(handle) = process.stop() {
                let command = command_line(process.pid);
                caught.insert(process.pid, Caught { start_time: process.start_time, handle, command });
                settled = false;
            }
        }
        if settled {
            break;
        }
    }
    Ok(caught)
}

fn await_end(caught: &HashMap<i32, Caught>) -> Result<(), TreeError> {
    let deadline = Instant::now() + VANISH;
    let mut waiting: Vec<_> = caught.iter().collect();
    while !waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let pids = waiting.iter().map(|(pid, _)| **pid).collect();
            return Err(TreeError::StillThere { pids, seconds: VANISH.as_secs() });
        }
        let mut handles: Vec<_> =
            waiting.iter().map(|(_, process)| PollFd::new(&process.handle, PollFlags::IN)).collect();
        let timeout = Timespec::try_from(left).ok();
        match rustix::event::poll(&mut handles, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(TreeError::List(errno.into())),
        }
        let ended: Vec<_> = handles.iter().map(|handle| !handle.revents().is_empty()).collect();
        let mut ended = ended.into_iter();
        waiting.retain(|_| !ended.next().unwrap_or(false));
    }
    Ok(())
}

/// A line of the process table.
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    session: i32,
    start_time: u64,
}

/// All processes that still run, but for this one. A zombie has ended: it has no children and takes no signal.
fn list() -> Result<Vec<Process>, TreeError> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc").map_err(TreeError::List)? {
        let entry = entry.map_err(TreeError::List)?;
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
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
        Some(Self {
            pid,
            parent: number(1)?,
            group: number(2)?,
            session: number(3)?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }

    /// What its environment was when it started, as far as we may read it.
    fn marker(&self) -> Option<String> {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        environment.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(MARKER_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        })
    }

    /// Holds it by a handle and stops it. `None` when it is gone or not ours to stop.
    fn stop(&self) -> Option<OwnedFd> {
        let handle = rustix::process::pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // The number may have become another process's between the look and the handle.
        let same = Self::read(self.pid).is_some_and(|now| now.start_time == self.start_time);
        if !same {
            return None;
        }
        match rustix::process::pidfd_send_signal(&handle, Signal::STOP) {
            Ok(()) => Some(handle),
            Err(errno) => {
                if errno != rustix::io::Errno::SRCH {
                    tracing::warn!(pid = self.pid, error = %io::Error::from(errno), "failed to stop a process");
                }
                None
            }
        }
    }
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
    fn a_process_has_a_start_time() {
        assert!(start_time(1).is_some());
        assert_eq!(start_time(i32::MAX), None);
    }
}
