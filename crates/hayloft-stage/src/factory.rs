//! The first process of a jail at work: it starts what the host orders, collects what ends, and ends with the host.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions};

use crate::enter::{Result, failed, failed_io, failed_with, filter};
use crate::lifeline::{self, Entry, FIRST_OWN, Failure, Landlock, News, Order, Spawn};
use crate::seccomp::Filter;
use crate::tree;
use crate::{Step, Tier};
use crate::{landlock, sys};

/// Memory cannot grow faster than this, in bytes per second, so that the next look can wait for as long as what is
/// left lasts.
const FASTEST_GROWTH: u64 = 2 << 30;

/// A process that is not its program by then is killed.
const TIME_TO_START: Duration = Duration::from_secs(10);

const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct Factory {
    tier: Tier,
    /// Sources of what a process may read, where each is sealed on its own.
    paths: Vec<PathBuf>,
    home: PathBuf,
    /// The most that all processes may use, in bytes, if it is watched here.
    most_memory: Option<u64>,
    /// How many descriptors a process may have open.
    open_files: u64,
    signals: OwnedFd,
    children: HashMap<Pid, u64>,
    starting: Vec<Starting>,
}

/// A process that is not its program yet. Others in the jail can make it wait, so nothing here waits for it.
struct Starting {
    id: u64,
    pid: Pid,
    handle: OwnedFd,
    program: PathBuf,
    /// Closed by a successful exec; before that it can tell a failure.
    report: OwnedFd,
    until: Instant,
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
            open_files: entry.limits.open_files,
            children: HashMap::new(),
            starting: Vec::new(),
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
            let mut due = self.starting.iter().map(|starting| starting.until).min();
            if let Some(most) = self.most_memory.filter(|_| !self.children.is_empty()) {
                if look <= Instant::now() {
                    let used = self.memory_in_use();
                    if used > most {
                        return lifeline::send(lifeline, &News::OverMemory, &[]);
                    }
                    look = Instant::now() + pause_before(most - used);
                }
                due = Some(due.map_or(look, |due| due.min(look)));
            }
            let pause =
                due.and_then(|due| Timespec::try_from(due.saturating_duration_since(Instant::now())).ok());
            let reports = self.starting.iter().map(|starting| starting.report.as_fd());
            let mut sources: Vec<_> = [lifeline.as_fd(), self.signals.as_fd()]
                .into_iter()
                .chain(reports)
                .map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN))
                .collect();
            match rustix::event::poll(&mut sources, pause.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let ready: Vec<_> = sources.iter().map(|source| !source.revents().is_empty()).collect();
            let (Some(&ordered), Some(&ended)) = (ready.first(), ready.get(1)) else { continue };
            self.finish_starts(lifeline, ready.get(2..).unwrap_or_default())?;
            if ended {
                self.collect(lifeline)?;
            }
            if ordered {
                match lifeline::receive(lifeline)? {
                    Some((Order::Spawn(wanted), descriptors)) => self.spawn(lifeline, wanted, descriptors)?,
                    Some((Order::Kill { id }, _)) => self.kill(id),
                    Some((Order::Socket { id, ipv6 }, _)) => self.make_socket(lifeline, id, ipv6)?,
                    Some((Order::Enter(_), _)) => {}
                    Some((Order::End, _)) | None => return Ok(()),
                }
            }
        }
    }

    /// Tells what became of processes that were starting: those whose report can be read, and those that took too long.
    fn finish_starts(&mut self, lifeline: &OwnedFd, ready: &[bool]) -> io::Result<()> {
        let now = Instant::now();
        for index in (0..self.starting.len()).rev() {
            let told = ready.get(index).copied().unwrap_or_default();
            if !told && self.starting.get(index).is_none_or(|starting| starting.until > now) {
                continue;
            }
            let Starting { id, pid, handle, program, report, .. } = self.starting.swap_remove(index);
            let failure = match (told, reported(&report)) {
                (true, None) => {
                    lifeline::send(lifeline, &News::Started { id }, &[handle.as_fd()])?;
                    continue;
                }
                (true, Some((step, errno))) => {
                    let path = (step == Step::Execute).then_some(program);
                    Failure { step, path, errno: errno.raw_os_error() }
                }
                (false, _) => Failure {
                    step: Step::Execute,
                    path: Some(program),
                    errno: Errno::TIMEDOUT.raw_os_error(),
                },
            };
            let _ = rustix::process::pidfd_send_signal(&handle, Signal::KILL);
            self.children.remove(&pid);
            lifeline::send(lifeline, &News::Refused { id, failure }, &[])?;
        }
        Ok(())
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

    /// Makes a socket that is of the jail's network for ever. Where that is the host's network, none is made. The host
    /// connects it, so that nothing that listens here can make this process wait.
    fn make_socket(&self, lifeline: &OwnedFd, id: u64, ipv6: bool) -> io::Result<()> {
        let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let made = match self.tier.has_namespaces() {
            true => rustix::net::socket_with(family, SocketType::STREAM, flags, None),
            false => Err(Errno::NOTSUP),
        };
        match made.map_err(failed(Step::Socket)) {
            Ok(socket) => lifeline::send(lifeline, &News::Started { id }, &[socket.as_fd()]),
            Err(failure) => lifeline::send(lifeline, &News::Refused { id, failure }, &[]),
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
            Ok(starting) => {
                self.children.insert(starting.pid, id);
                self.starting.push(starting);
                Ok(())
            }
            Err(failure) => lifeline::send(lifeline, &News::Refused { id, failure }, &[]),
        }
    }

    fn start(&self, wanted: Spawn, mut descriptors: VecDeque<OwnedFd>) -> Result<Starting> {
        let mut stream = || {
            let descriptor = descriptors.pop_front().ok_or(Errno::BADF);
            descriptor.map(Stdio::from).map_err(failed(Step::Descriptors))
        };
        let (stdin, stdout, stderr) = (stream()?, stream()?, stream()?);
        let folder = Path::new(&wanted.working_directory);
        if !fs::metadata(folder).map_err(failed_with(Step::WorkingDirectory, folder))?.is_dir() {
            return Err(failed_with(Step::WorkingDirectory, folder)(Errno::NOTDIR.into()));
        }
        let placed: Vec<_> = descriptors.into_iter().zip(wanted.numbers).collect();
        let placed = placed
            .into_iter()
            .map(|(source, number)| Ok((rustix::io::fcntl_dupfd_cloexec(&source, FIRST_OWN)?, number)))
            .collect::<Result<Vec<_>, Errno>>()
            .map_err(failed(Step::Descriptors))?;
        #[expect(clippy::disallowed_methods, reason = "this is where processes start")]
        let mut command = Command::new(&wanted.program);
        command
            .args(wanted.arguments)
            .env_clear()
            .envs(wanted.environment)
            .current_dir(folder)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr);
        let (report, report_in) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed(Step::Prepare))?;
        let parent = rustix::process::getpid();
        let Some(pid) = sys::fork().map_err(failed(Step::Fork))? else {
            let failure = match self.prepare(&placed, parent) {
                Ok(()) => failed_io(Step::Execute)(command.exec()),
                Err(failure) => failure,
            };
            let errno = failure.errno.to_ne_bytes();
            // Whoever reads it knows the step and the error; a lost report looks like a start that ended at once.
            let _ =
                rustix::io::write(&report_in, &[failure.step as u8, errno[0], errno[1], errno[2], errno[3]]);
            sys::end_fork()
        };
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| {
            // Without a handle nobody can supervise it.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            failed(Step::Fork)(errno)
        })?;
        let (program, until) = (PathBuf::from(wanted.program), Instant::now() + TIME_TO_START);
        Ok(Starting { id: wanted.id, pid, handle, program, report, until })
    }

    /// Between fork and exec.
    fn prepare(&self, placed: &[(OwnedFd, RawFd)], parent: Pid) -> Result<()> {
        rustix::process::setsid().map_err(failed(Step::Session))?;
        sys::unblock_signals().map_err(failed(Step::Session))?;
        if !self.tier.has_namespaces() {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
                .map_err(failed(Step::Lifeline))?;
            if rustix::process::getppid() != Some(parent) {
                return Err(failed(Step::Lifeline)(Errno::SRCH));
            }
        }
        for (source, number) in placed {
            sys::place(source, *number).map_err(failed(Step::Descriptors))?;
        }
        let limit = Rlimit { current: Some(self.open_files), maximum: Some(self.open_files) };
        rustix::process::setrlimit(Resource::Nofile, limit).map_err(failed(Step::Limits))?;
        if self.tier == Tier::C {
            // The trial said that there are rules; a process without them is not started.
            if landlock::on_host(&self.paths, &self.home, self.most_memory.is_some())? == Landlock::No {
                return Err(failed(Step::Landlock)(Errno::NOSYS));
            }
            let filters = [Filter::Worker, Filter::NoInternet, Filter::LandlockGaps];
            filter(self.most_memory.is_some(), &filters)?;
        }
        Ok(())
    }
}

/// The step that failed and why; `None` when the process became its program.
fn reported(report: &OwnedFd) -> Option<(Step, Errno)> {
    let mut message = [0; 5];
    let read = rustix::io::read(report, &mut message).ok()?;
    let [step, errno @ ..] = message;
    (read == message.len())
        .then(|| Some((Step::from_number(step)?, Errno::from_raw_os_error(i32::from_ne_bytes(errno)))))?
}

fn pause_before(left: u64) -> Duration {
    let seconds = left as f64 / FASTEST_GROWTH as f64;
    Duration::from_secs_f64(seconds).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}
