//! The first process of a jail at work: it starts what the host orders, collects what ends, and ends with the host.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::enter::{Result, failed, failed_io, failed_with, filter};
use crate::lifeline::{self, Entry, FIRST_OWN, News, Order, Spawn};
use crate::seccomp::Filter;
use crate::tree;
use crate::{Step, Tier};
use crate::{landlock, sys};

/// Memory cannot grow faster than this, in bytes per second, so that the next look can wait for as long as what is
/// left lasts.
const FASTEST_GROWTH: u64 = 2 << 30;

const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct Factory {
    tier: Tier,
    /// Sources of what a process may read, where each is sealed on its own.
    paths: Vec<PathBuf>,
    home: PathBuf,
    /// The most that all processes may use, in bytes, if it is watched here.
    most_memory: Option<u64>,
    signals: OwnedFd,
    children: HashMap<Pid, u64>,
}

impl Factory {
    pub(crate) fn new(entry: &Entry) -> Result<Self> {
        // The step's number has served; now people see what it is.
        rustix::thread::set_name(c"hayloft-jail").map_err(failed(Step::Lifeline))?;
        Ok(Self {
            tier: entry.tier,
            paths: entry.binds.iter().map(|(source, _)| source.clone()).collect(),
            home: entry.home.clone(),
            most_memory: entry.watch_memory.then_some(entry.limits.memory),
            signals: sys::child_signals().map_err(failed(Step::Lifeline))?,
            children: HashMap::new(),
        })
    }

    /// Serves until the host ends it or is gone, and leaves no process behind.
    pub(crate) fn run(mut self, lifeline: OwnedFd) -> io::Result<()> {
        let served = self.serve(&lifeline);
        if !self.tier.has_namespaces() {
            // The kernel does it where there is a process namespace.
            let _ = tree::kill_descendants();
        }
        served
    }

    fn serve(&mut self, lifeline: &OwnedFd) -> io::Result<()> {
        let mut look = Instant::now();
        loop {
            let pause = match self.most_memory {
                Some(most) if !self.children.is_empty() => {
                    if look <= Instant::now() {
                        let used = self.memory_in_use();
                        if used > most {
                            return lifeline::send(lifeline, &News::OverMemory, &[]);
                        }
                        look = Instant::now() + pause_before(most - used);
                    }
                    Timespec::try_from(look.saturating_duration_since(Instant::now())).ok()
                }
                _ => None,
            };
            let mut sources = [
                PollFd::from_borrowed_fd(lifeline.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            ];
            match rustix::event::poll(&mut sources, pause.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let [ordered, ended] = sources.map(|source| !source.revents().is_empty());
            if ended {
                self.collect(lifeline)?;
            }
            if ordered {
                match lifeline::receive(lifeline)? {
                    Some((Order::Spawn(wanted), descriptors)) => self.spawn(lifeline, wanted, descriptors)?,
                    Some((Order::Kill { id }, _)) => self.kill(id),
                    Some((Order::Enter(_), _)) => {}
                    Some((Order::End, _)) | None => return Ok(()),
                }
            }
        }
    }

    /// What its processes have, and what lies in memory as temporary files.
    fn memory_in_use(&self) -> u64 {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let files = rustix::fs::statvfs("/tmp").ok().filter(|_| self.tier.has_namespaces());
        let files = files.map_or(0, |files| (files.f_blocks - files.f_bfree) * files.f_frsize);
        tree::resident_bytes(own).unwrap_or_default() + files
    }

    fn kill(&self, id: u64) {
        for (pid, _) in self.children.iter().filter(|(_, child)| **child == id) {
            // Its group first, while its own number still names it. What is gone needs no signal.
            let _ = rustix::process::kill_process_group(*pid, Signal::KILL);
            let _ = rustix::process::kill_process(*pid, Signal::KILL);
        }
    }

    /// Reaps all that ended, whoever's child it once was.
    fn collect(&mut self, lifeline: &OwnedFd) -> io::Result<()> {
        let mut told = [0; 4096];
        while let Ok(read) = rustix::io::read(&self.signals, &mut told)
            && read == told.len()
        {}
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if let Some(id) = self.children.remove(&pid) {
                        let (code, signal) = (status.exit_status(), status.terminating_signal());
                        lifeline::send(lifeline, &News::Exited { id, code, signal }, &[])?;
                    }
                }
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn spawn(&mut self, lifeline: &OwnedFd, wanted: Spawn, descriptors: VecDeque<OwnedFd>) -> io::Result<()> {
        let id = wanted.id;
        match self.start(wanted, descriptors) {
            Ok((pid, handle)) => {
                self.children.insert(pid, id);
                lifeline::send(lifeline, &News::Started { id }, &[handle.as_fd()])
            }
            Err(failure) => lifeline::send(lifeline, &News::Refused { id, failure }, &[]),
        }
    }

    fn start(&self, wanted: Spawn, mut descriptors: VecDeque<OwnedFd>) -> Result<(Pid, OwnedFd)> {
        let mut stream = || {
            let descriptor = descriptors.pop_front().ok_or(Errno::BADF);
            descriptor.map(Stdio::from).map_err(failed(Step::Descriptors))
        };
        let (stdin, stdout, stderr) = (stream()?, stream()?, stream()?);
        let folder = Path::new(&wanted.working_directory);
        if !fs::metadata(folder).map_err(failed_with(Step::WorkingDirectory, folder))?.is_dir() {
            return Err(failed_with(Step::WorkingDirectory, folder)(Errno::NOTDIR.into()));
        }
        let program = Path::new(&wanted.program);
        let (mut report, report_in) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed(Step::Prepare))?;
        let placed: Vec<_> = descriptors.into_iter().zip(wanted.numbers).collect();
        let placed = placed
            .into_iter()
            .map(|(source, number)| Ok((rustix::io::fcntl_dupfd_cloexec(&source, FIRST_OWN)?, number)))
            .collect::<Result<Vec<_>, Errno>>()
            .map_err(failed(Step::Descriptors))?;
        #[expect(clippy::disallowed_methods, reason = "this is where processes start")]
        let mut command = Command::new(program);
        command
            .args(wanted.arguments)
            .env_clear()
            .envs(wanted.environment)
            .current_dir(folder)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr);
        let seal = (self.tier == Tier::C).then(|| (self.paths.clone(), self.home.clone()));
        let (namespaces, parent) = (self.tier.has_namespaces(), rustix::process::getpid());
        sys::before_exec(&mut command, move || {
            prepare(&placed, seal.as_ref(), namespaces, parent).map_err(|failure| {
                // Which step it was; the number of the error goes the ordinary way.
                let _ = rustix::io::write(&report_in, &[failure.step as u8]);
                io::Error::from_raw_os_error(failure.errno)
            })
        });
        let spawned = command.spawn();
        // The closure holds the pipe's other end.
        drop(command);
        let child = spawned.map_err(|error| match reported(&mut report) {
            Some(step) => failed_io(step)(error),
            None => failed_with(Step::Execute, program)(error),
        })?;
        let pid = Pid::from_child(&child);
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| {
            // Without a handle nobody can supervise it.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            failed(Step::Execute)(errno)
        })?;
        Ok((pid, handle))
    }
}

/// Between fork and exec.
fn prepare(
    placed: &[(OwnedFd, RawFd)],
    seal: Option<&(Vec<PathBuf>, PathBuf)>,
    namespaces: bool,
    parent: Pid,
) -> Result<()> {
    rustix::process::setsid().map_err(failed(Step::Session))?;
    sys::unblock_signals().map_err(failed(Step::Session))?;
    if !namespaces {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(failed(Step::Lifeline))?;
        if rustix::process::getppid() != Some(parent) {
            return Err(failed(Step::Lifeline)(Errno::SRCH));
        }
    }
    for (source, number) in placed {
        sys::place(source, *number).map_err(failed(Step::Descriptors))?;
    }
    if let Some((paths, home)) = seal {
        landlock::on_host(paths, home)?;
        filter(&[Filter::Worker, Filter::NoInternet, Filter::LandlockGaps, Filter::Absent])?;
    }
    Ok(())
}

fn reported(report: &mut OwnedFd) -> Option<Step> {
    let mut step = [0];
    let mut report = File::from(report.try_clone().ok()?);
    report.read_exact(&mut step).ok()?;
    Step::from_number(step[0])
}

fn pause_before(left: u64) -> Duration {
    let seconds = left as f64 / FASTEST_GROWTH as f64;
    Duration::from_secs_f64(seconds).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}
