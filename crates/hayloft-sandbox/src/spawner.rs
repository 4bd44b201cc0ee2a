//! The thread that starts processes. It lives as long as the host, because a process that shall die with its parent
//! dies when the *thread* that started it ends.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use rustix::process::{PidfdFlags, Resource, Rlimit};
use tokio::sync::oneshot;

use crate::jailed::{Process, Started};
use crate::spec::MARKER_VARIABLE;
use crate::stage::{Plan, block_signals};
use crate::{Jailed, Limits, SpawnError, Spec, Stdio, Step};

/// Descriptors of the child are below this number and their sources from it on, so that placing one never
/// overwrites another.
const FIRST_SOURCE: RawFd = 16;

/// Starts processes. Clones share one thread, which ends with the last of them and of the processes.
#[derive(Clone, Debug)]
pub struct Spawner {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    spec: Spec,
    reply: oneshot::Sender<Result<Started, SpawnError>>,
}

impl Spawner {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the machine gives no further thread.
    pub fn start() -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<Request>();
        let (ready, started) = mpsc::sync_channel(1);
        thread::Builder::new().name("hayloft-spawner".into()).spawn(move || {
            let blocked = block_signals().map_err(io::Error::from);
            let usable = blocked.is_ok();
            if ready.send(blocked).is_err() || !usable {
                return;
            }
            for Request { spec, reply } in inbox {
                // A caller that went away drops what was started, and dropping it kills it.
                drop(reply.send(start(spec)));
            }
        })?;
        started.recv().map_err(|_| io::Error::other("the spawner thread ended at once"))??;
        Ok(Self { requests })
    }

    /// Starts a process. It runs its program when this returns.
    ///
    /// # Errors
    /// When a step fails; nothing of the process is left then.
    pub async fn spawn(&self, spec: Spec) -> Result<Jailed, SpawnError> {
        let label = spec.label.clone();
        let program = spec.program.clone();
        let gone = || SpawnError {
            step: Step::Prepare,
            label: label.clone(),
            path: program.clone(),
            source: io::Error::other("the spawner thread is gone"),
            hint: None,
        };
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { spec, reply }).map_err(|_| gone())?;
        let started = answer.await.map_err(|_| gone())??;
        Jailed::new(started, self.clone()).map_err(|source| SpawnError { source, ..gone() })
    }
}

/// The host's end of the child's pipes.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
}

fn start(spec: Spec) -> Result<Started, SpawnError> {
    let label = spec.label.clone();
    let program = spec.program.clone();
    let folder = spec.working_directory.clone();
    let marker = spec.marker.clone();
    let fail = |step: Step, source: io::Error| {
        let hint = hint(step, &source, &program);
        let path = if step == Step::WorkingDirectory { &folder } else { &program };
        SpawnError { step, label: label.clone(), path: path.clone(), source, hint }
    };

    let prepared = prepare(spec).map_err(|source| fail(Step::Prepare, source))?;
    let Prepared { plan, streams, report } = prepared;
    let pid = plan.fork().map_err(|errno| fail(Step::Fork, errno.into()))?;
    // Closes the host's copies of the child's ends: the report ends when exec succeeds or the child is gone.
    drop(plan);

    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty());
    let failure = read_report(report);
    let process = match pidfd {
        Ok(pidfd) => Process::new(pid, pidfd, marker),
        Err(errno) => {
            // Without a handle it cannot be supervised. It is our unreaped child, so the number is still its own.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            return Err(fail(Step::Fork, errno.into()));
        }
    };
    match failure {
        Ok(None) => Ok(Started { process, streams }),
        // Dropping the process reaps it.
        Ok(Some((step, source))) => Err(fail(step, source)),
        Err(source) => Err(fail(Step::Execute, source)),
    }
}

struct Prepared {
    plan: Plan,
    streams: Streams,
    report: OwnedFd,
}

fn prepare(spec: Spec) -> io::Result<Prepared> {
    check(&spec)?;
    let mut streams = Streams::default();
    let mut descriptors = Vec::with_capacity(spec.descriptors.len() + 3);
    let (child, host) = input(spec.stdin)?;
    descriptors.push((child, 0));
    streams.stdin = host;
    for (stdio, number, host_end) in
        [(spec.stdout, 1, &mut streams.stdout), (spec.stderr, 2, &mut streams.stderr)]
    {
        let (child, host) = output(stdio)?;
        descriptors.push((child, number));
        *host_end = host;
    }
    for (descriptor, number) in spec.descriptors {
        descriptors.push((raised(&descriptor)?, number));
    }
    let (report, report_in) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;

    let mut environment = Vec::with_capacity(spec.environment.len() + 1);
    for (name, value) in &spec.environment {
        environment.push(variable(name, value)?);
    }
    environment.push(variable(OsStr::new(MARKER_VARIABLE), OsStr::new(&spec.marker))?);
    let plan = Plan::new(
        text(spec.program.into_os_string())?,
        spec.arguments.into_iter().map(text).collect::<io::Result<_>>()?,
        environment,
        text(spec.working_directory.into_os_string())?,
        descriptors,
        limits(spec.limits),
        raised(&report_in)?,
    );
    Ok(Prepared { plan, streams, report })
}

fn check(spec: &Spec) -> io::Result<()> {
    let invalid = |message: String| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    if !spec.program.is_absolute() {
        return invalid(format!("`{}` is not an absolute path", spec.program.display()));
    }
    if let Some((_, number)) = spec.descriptors.iter().find(|(_, number)| !(3..FIRST_SOURCE).contains(number))
    {
        return invalid(format!("a descriptor cannot have the number {number} in the child"));
    }
    for (name, _) in &spec.environment {
        if name.is_empty() || name.as_bytes().contains(&b'=') || name == MARKER_VARIABLE {
            return invalid(format!("`{}` cannot be a variable's name", name.display()));
        }
    }
    Ok(())
}

fn input(stdio: Stdio) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    match stdio {
        Stdio::Null => Ok((raised(&File::open("/dev/null")?)?, None)),
        Stdio::Piped => {
            let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            Ok((raised(&read)?, Some(write)))
        }
    }
}

fn output(stdio: Stdio) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    match stdio {
        Stdio::Null => Ok((raised(&File::options().write(true).open("/dev/null")?)?, None)),
        Stdio::Piped => {
            let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            Ok((raised(&write)?, Some(read)))
        }
    }
}

/// A copy with a number that is no child's.
fn raised(descriptor: &impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(descriptor, FIRST_SOURCE)?)
}

fn text(text: OsString) -> io::Result<CString> {
    CString::new(text.into_vec())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a text with a NUL byte cannot be passed"))
}

fn variable(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut entry = name.to_owned();
    entry.push("=");
    entry.push(value);
    text(entry)
}

fn limits(limits: Limits) -> Vec<(Resource, Rlimit)> {
    let limit = |value| Rlimit { current: Some(value), maximum: Some(value) };
    let mut list = vec![(Resource::Core, limit(0))];
    for (resource, value) in [
        (Resource::Nofile, limits.open_files),
        (Resource::Fsize, limits.file_size),
        (Resource::Data, limits.data_segment),
        (Resource::Nproc, limits.tasks),
    ] {
        list.extend(value.map(|value| (resource, limit(value))));
    }
    list
}

fn read_report(report: OwnedFd) -> io::Result<Option<(Step, io::Error)>> {
    let mut message = Vec::with_capacity(5);
    File::from(report).take(5).read_to_end(&mut message)?;
    match *message.as_slice() {
        [] => Ok(None),
        [step, a, b, c, d] => Ok(Step::from_byte(step)
            .map(|step| (step, io::Error::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]))))),
        _ => Err(io::Error::other("the new process ended before it was the program")),
    }
}

fn hint(step: Step, source: &io::Error, program: &Path) -> Option<String> {
    match (step, source.raw_os_error()) {
        (Step::Execute, Some(libc::ENOENT)) if program.exists() => Some(
            "its interpreter or loader is missing: check the first line of a script with `head -1`".into(),
        ),
        (Step::Execute, Some(libc::ENOENT)) => Some("check that the path is right".into()),
        (Step::Execute, Some(libc::EACCES)) => {
            Some(format!("make it executable: `chmod +x {}`", program.display()))
        }
        (Step::Execute, Some(libc::ENOEXEC)) => {
            Some("it is not a program of this machine's architecture".into())
        }
        (Step::Fork, Some(libc::EAGAIN)) => Some(
            "too many processes: raise the limit of tasks of the service (`TasksMax=`, `ulimit -u`)".into(),
        ),
        (Step::Prepare | Step::Fork, Some(libc::EMFILE)) => {
            Some("too many open files: raise the limit of the service (`LimitNOFILE=`, `ulimit -n`)".into())
        }
        (Step::Descriptors, Some(libc::ENOSYS)) => Some("Linux 5.11 or newer is needed".into()),
        (Step::Limits, Some(libc::EPERM)) => Some(
            "the host's own hard limit is lower than what a process shall get: raise it with `ulimit -H`"
                .into(),
        ),
        _ => None,
    }
}

/// The command line of a process as people know it, for reports.
pub(crate) fn command_line(pid: i32) -> String {
    let raw = std::fs::read(PathBuf::from(format!("/proc/{pid}/cmdline"))).unwrap_or_default();
    String::from_utf8_lossy(&raw).trim_end_matches('\0').replace('\0', " ")
}
