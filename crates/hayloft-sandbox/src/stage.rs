//! The few steps between fork and exec. A straight line: what it needs is laid out beforehand, since a forked child
//! of a program with threads may neither allocate nor take a lock.

use std::ffi::{CStr, CString, c_char, c_int};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal};

use crate::Step;

/// Everything that the child needs, in the form in which the kernel takes it.
pub(crate) struct Plan {
    pub(crate) program: CString,
    pub(crate) working_directory: CString,
    /// Source in this process (above all targets) and number in the child.
    pub(crate) descriptors: Vec<(OwnedFd, RawFd)>,
    pub(crate) limits: Vec<(Resource, Rlimit)>,
    /// The host, to see whether it still lives once the lifeline is tied.
    pub(crate) parent: Option<Pid>,
    /// Where a failure is written. Closed by a successful exec.
    pub(crate) report: OwnedFd,
    arguments: PointerList,
    environment: PointerList,
}

/// Texts and the null-ended array of pointers to them that `execve` wants.
struct PointerList {
    pointers: Vec<*const c_char>,
    /// Owns what the pointers point to.
    _texts: Vec<CString>,
}

impl PointerList {
    fn new(texts: Vec<CString>) -> Self {
        // A `CString` keeps its text on the heap, so moving the vector does not move the texts.
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _texts: texts }
    }
}

impl Plan {
    pub(crate) fn new(
        program: CString,
        arguments: Vec<CString>,
        environment: Vec<CString>,
        working_directory: CString,
        descriptors: Vec<(OwnedFd, RawFd)>,
        limits: Vec<(Resource, Rlimit)>,
        report: OwnedFd,
    ) -> Self {
        let arguments = [program.clone()].into_iter().chain(arguments).collect();
        Self {
            program,
            working_directory,
            descriptors,
            limits,
            parent: Some(rustix::process::getpid()),
            report,
            arguments: PointerList::new(arguments),
            environment: PointerList::new(environment),
        }
    }

    /// Forks; the child becomes the program or writes the failed step and its error to `report` and ends.
    pub(crate) fn fork(&self) -> Result<Pid, Errno> {
        // SAFETY: the child only runs `become_program`, which neither allocates, locks, unwinds nor returns on success,
        // and then ends by `_exit`, so that no destructor or exit handler of the host runs twice.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let (step, errno) = self.become_program();
            let code = errno.raw_os_error().to_ne_bytes();
            let message = [step as u8, code[0], code[1], code[2], code[3]];
            // The host reads an empty report as success of exec, and then sees the process end with 127.
            let _ = rustix::io::write(&self.report, &message);
            // SAFETY: `_exit` takes a plain number and never returns.
            unsafe { libc::_exit(127) }
        }
        Pid::from_raw(pid).ok_or_else(last_error)
    }

    /// Returns only when a step failed.
    fn become_program(&self) -> (Step, Errno) {
        match self.prepare() {
            Err(failure) => failure,
            Ok(()) => (Step::Execute, execute(&self.program, &self.arguments, &self.environment)),
        }
    }

    fn prepare(&self) -> Result<(), (Step, Errno)> {
        let at = |step| move |errno| (step, errno);
        rustix::process::setsid().map_err(at(Step::Session))?;
        default_signals().map_err(at(Step::Signals))?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at(Step::Lifeline))?;
        if rustix::process::getppid() != self.parent {
            // The host ended before the lifeline was tied, so nobody would ever pull it.
            return Err((Step::Lifeline, Errno::SRCH));
        }
        // Orphans of this tree come back to this process instead of to init, so that the tree stays whole.
        rustix::process::set_child_subreaper(Some(Pid::INIT)).map_err(at(Step::Lifeline))?;
        close_on_exec_from(3).map_err(at(Step::Descriptors))?;
        for (source, target) in &self.descriptors {
            place(source.as_raw_fd(), *target).map_err(at(Step::Descriptors))?;
        }
        for (resource, limit) in &self.limits {
            let limit = Rlimit { current: limit.current, maximum: limit.maximum };
            rustix::process::setrlimit(*resource, limit).map_err(at(Step::Limits))?;
        }
        rustix::thread::set_no_new_privs(true).map_err(at(Step::Privileges))?;
        rustix::process::chdir(self.working_directory.as_c_str()).map_err(at(Step::WorkingDirectory))
    }
}

/// Ignored and handled signals go back to their defaults; then what was blocked comes through.
fn default_signals() -> Result<(), Errno> {
    for number in 1..=64 {
        // SAFETY: setting a default disposition installs no handler. The two signals that cannot be set, and the two
        // that the C library keeps for itself, are refused with EINVAL, which is what we want.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    // SAFETY: the set is a plain bit mask on the stack, initialized by `sigemptyset` before its use.
    let result = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut())
    };
    check(result)
}

/// Blocks all signals of the calling thread, so that a child forked from it runs no handler of the host.
pub(crate) fn block_signals() -> Result<(), Errno> {
    // SAFETY: the set is a plain bit mask on the stack, initialized by `sigfillset` before its use.
    let result = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(result)) }
}

/// Marks all descriptors from a number on as not inherited. Closing them would close the report too.
fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    #[expect(clippy::cast_possible_wrap, reason = "the flag is a small constant that libc declares unsigned")]
    // SAFETY: the call takes plain numbers and, with this flag, closes nothing now.
    let result = unsafe { libc::close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as c_int) };
    check(result)
}

/// Makes `target` an inherited copy of `source`.
fn place(source: RawFd, target: RawFd) -> Result<(), Errno> {
    // SAFETY: both are plain numbers; whatever `target` was in this forked child is given up on purpose, and no owner
    // of it will run here.
    check(unsafe { libc::dup2(source, target) })
}

fn execute(program: &CStr, arguments: &PointerList, environment: &PointerList) -> Errno {
    // SAFETY: the three pointers are to null-ended texts and null-ended arrays of such that outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr()) };
    last_error()
}

fn check(result: c_int) -> Result<(), Errno> {
    if result == -1 { Err(last_error()) } else { Ok(()) }
}

fn last_error() -> Errno {
    // The number alone: making an `io::Error` allocates nothing for an error of the system.
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
