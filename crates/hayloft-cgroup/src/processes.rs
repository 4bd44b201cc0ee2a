//! What runs in groups, and its end.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::folders::{remove_folder, tree, write};

/// How long processes may take to end after `SIGKILL`, and the kernel to let go of their group.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How many processes are held by descriptor at a time while they are killed.
const BATCH: usize = 64;

/// The processes in these groups and below. Those of a foreign process namespace are listed as 0 and left out.
pub(crate) fn members(folders: &[PathBuf]) -> BTreeSet<i32> {
    let groups = folders.iter().flat_map(|folder| tree(folder));
    let lists = groups.flat_map(|group| fs::read_to_string(group.join("cgroup.procs")));
    lists
        .flat_map(|list| list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
        .filter(|process| *process > 0)
        .collect()
}

/// Whether any task of this group runs or waits for its turn.
pub(crate) fn any_runnable(folder: &Path) -> bool {
    let ready = |task: &str| {
        // The second field is the name in parentheses and can hold anything, further parentheses included.
        let stat = fs::read(format!("/proc/{task}/stat")).unwrap_or_default();
        let end = stat.iter().rposition(|byte| *byte == b')');
        end.and_then(|end| stat.get(end + 2)).is_some_and(|state| *state == b'R')
    };
    // The one is the file of the split layout, the other that of the unified one.
    let lists = ["tasks", "cgroup.threads"].map(|file| fs::read_to_string(folder.join(file)));
    lists.into_iter().flatten().any(|list| list.lines().any(ready))
}

pub(crate) fn kill(folders: &[PathBuf], deadline: Instant) -> io::Result<()> {
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
pub(crate) fn clear(folders: &[PathBuf]) -> io::Result<()> {
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
pub(crate) fn wait(events: &mut [PollFd<'_>], at_most: Duration) {
    let _ = poll(events, at_most.try_into().ok().as_ref());
}
