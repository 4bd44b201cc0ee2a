//! Processes seen from outside: who descends from whom, who carries which marker, and waiting for an end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// The environment variable by which every process of a server's workers can be told.
pub const MARKER: &str = "HAYLOFT_WORKER";

/// One process, told from a later one with the same number by when it started.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's number.
    pub parent: u32,
    /// When it started, in clock ticks since the machine did.
    pub started: u64,
    /// Its command line, for messages.
    pub command: String,
}

impl Process {
    /// The process with this number, unless it is gone or only waits to be reaped.
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned();
        (!stat.ended).then_some(Self { pid, parent: stat.parent, started: stat.started, command })
    }

    /// All processes of this machine that have not ended.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Self::find)
            .collect()
    }

    /// All that descend from a process, without itself.
    #[must_use]
    pub fn descendants(pid: u32) -> Vec<Self> {
        let mut children: BTreeMap<u32, Vec<Self>> = BTreeMap::new();
        for process in Self::all() {
            children.entry(process.parent).or_default().push(process);
        }
        let mut found = Vec::new();
        let mut parents = vec![pid];
        while let Some(parent) = parents.pop() {
            for child in children.remove(&parent).unwrap_or_default() {
                parents.push(child.pid);
                found.push(child);
            }
        }
        found
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.started == self.started && !stat.ended)
    }

    /// The value of its marker, if it has one.
    #[must_use]
    pub fn marker(&self) -> Option<String> {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        environment.split(|byte| *byte == 0).find_map(|variable| {
            let (name, value) = std::str::from_utf8(variable).ok()?.split_once('=')?;
            (name == MARKER).then(|| value.to_owned())
        })
    }

    /// Its working directory.
    #[must_use]
    pub fn working_directory(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive() {
            let _already_gone = kill_process(pid(self.pid), signal);
        }
    }

    /// Waits until it has ended, without polling. False if it still runs after `patience`.
    #[must_use]
    pub fn wait_gone(&self, patience: Duration) -> bool {
        let Ok(handle) = pidfd_open(pid(self.pid), PidfdFlags::empty()) else { return true };
        // The handle may belong to a later process with the same number.
        !self.is_alive() || wait_readable(&handle, patience)
    }
}

/// What a server started or may have left behind, gathered while it runs and asked for after it stopped.
#[derive(Debug, Default)]
pub struct Offspring {
    seen: BTreeSet<Process>,
    markers: BTreeSet<String>,
}

impl Offspring {
    /// Notes the present descendants of a server and how its workers are marked.
    pub fn note(&mut self, server: u32) {
        for process in Process::descendants(server) {
            // Before the first slash stands the server's own part; it is the same for all its workers.
            if let Some((own, _worker)) =
                process.marker().as_deref().and_then(|marker| marker.split_once('/'))
            {
                self.markers.insert(format!("{own}/"));
            }
            self.seen.insert(process);
        }
    }

    /// Who of them still runs: those seen before, those who carry a marker seen before however they hid from their
    /// parent, and those who work in one of `folders`.
    #[must_use]
    pub fn alive(&self, folders: &[&Path]) -> Vec<Process> {
        let own = std::process::id();
        let belongs = |process: &Process| {
            self.seen.iter().any(|seen| seen.pid == process.pid && seen.started == process.started)
                || process
                    .marker()
                    .is_some_and(|marker| self.markers.iter().any(|own| marker.starts_with(own)))
                || process
                    .working_directory()
                    .is_some_and(|place| folders.iter().any(|folder| place.starts_with(folder)))
        };
        Process::all().into_iter().filter(|process| process.pid != own && belongs(process)).collect()
    }

    /// Waits until none of them runs any more, and gives back who still does after `patience`.
    #[must_use]
    pub fn wait_gone(&self, folders: &[&Path], patience: Duration) -> Vec<Process> {
        let deadline = Instant::now() + patience;
        loop {
            let alive = self.alive(folders);
            let left = deadline.saturating_duration_since(Instant::now());
            if alive.is_empty() || !alive.iter().all(|process| process.wait_gone(left)) {
                return alive;
            }
        }
    }
}

/// Waits until a descriptor can be read, which for a process handle means that the process ended.
pub(crate) fn wait_readable(handle: &OwnedFd, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
        match poll(&mut [PollFd::new(handle, PollFlags::IN)], left.as_ref()) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("failed to wait for a process: {error}"),
        }
    }
}

/// A process's number as the kernel's interfaces take it.
pub(crate) fn pid(number: u32) -> Pid {
    i32::try_from(number).ok().and_then(Pid::from_raw).expect("a process number is above zero")
}

struct Stat {
    parent: u32,
    started: u64,
    ended: bool,
}

impl Stat {
    /// Fields of `/proc/PID/stat` (proc(5)). The command may hold anything, so they count from its closing bracket.
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<_> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        Some(Self {
            ended: matches!(*fields.first()?, "Z" | "X"),
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the process is what is tested")]
    fn shell(script: &str) -> Child {
        Command::new("sh")
            .args(["-c", script])
            .env(MARKER, "a-server/a-worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits until the shell says that it has started its child, and gives the child's number.
    fn child_of(shell: &mut Child) -> u32 {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.as_mut().unwrap()), &mut line)
            .unwrap();
        line.trim().parse().unwrap()
    }

    #[test]
    fn offspring_is_found_until_it_is_gone() {
        let mut shell = shell("exec 3<&0; cat <&3 & echo $!; wait");
        let child = child_of(&mut shell);
        // While this end is held, the child has something to wait for.
        let _input = shell.stdin.take();
        let mut offspring = Offspring::default();
        offspring.note(std::process::id());
        assert_eq!(offspring.markers, BTreeSet::from(["a-server/".to_owned()]));
        assert!(offspring.alive(&[]).iter().any(|process| process.pid == child));
        let still = Process::find(child).unwrap();
        assert!(!still.wait_gone(Duration::ZERO));

        // The child is now nobody's descendant, but still ours.
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(offspring.alive(&[]).iter().any(|process| process.pid == child));

        still.signal(Signal::KILL);
        assert!(still.wait_gone(Duration::from_secs(10)));
        assert_eq!(offspring.wait_gone(&[], Duration::from_secs(10)), []);
    }

    #[test]
    fn a_process_that_only_waits_to_be_reaped_is_gone() {
        let mut shell = shell("exit 0");
        let process = Process::find(shell.id());
        if let Some(process) = &process {
            assert!(process.wait_gone(Duration::from_secs(10)));
        }
        assert_eq!(Process::find(shell.id()), None);
        shell.wait().unwrap();
    }
}
