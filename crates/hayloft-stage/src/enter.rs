//! A straight line from an ordinary process to the sealed first process of the jail;
//! each step has a name, and a step that fails is reported with it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit};
use rustix::thread::UnshareFlags;

use crate::factory::Factory;
use crate::lifeline::{self, Entry, FIRST_OWN, Failure, Landlock, News, Order};
use crate::seccomp::Filter;
use crate::{Step, Tier, identity, landlock, network, root, seccomp, sys};

/// What a worker is beside the host when both want the processor and no control group decides.
const NICE: i32 = 5;

/// When the machine runs out of memory, a jail goes before the host does.
const OUT_OF_MEMORY_SCORE: &str = "500";

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Runs the stage: the lifeline is its standard input.
#[must_use]
pub fn run() -> ExitCode {
    let Ok(lifeline) = take_lifeline() else { return ExitCode::FAILURE };
    let entry = match lifeline::receive(&lifeline) {
        Ok(Some((Order::Enter(entry), _))) => entry,
        Ok(_) | Err(_) => return ExitCode::FAILURE,
    };
    match become_jail(&entry, &lifeline) {
        Ok(Role::Midwife) => ExitCode::SUCCESS,
        Ok(Role::First(factory)) => {
            let ended = factory.run(lifeline);
            ExitCode::from(u8::from(ended.is_err()))
        }
        Err(failure) => {
            // Without a host there is nobody to tell.
            let _ = lifeline::send(&lifeline, &News::Failed(failure), &[]);
            ExitCode::FAILURE
        }
    }
}

/// Which of the two processes this is after the fork.
enum Role {
    /// The one that the host started. It has done its part.
    Midwife,
    /// The first process of the jail.
    First(Factory),
}

fn become_jail(entry: &Entry, lifeline: &OwnedFd) -> Result<Role> {
    let namespaces = entry.tier.has_namespaces();
    at(Step::Limits);
    limit(entry)?;
    at(Step::Group);
    for file in &entry.groups {
        fs::write(file, "0").map_err(failed_with(Step::Group, file))?;
    }
    if namespaces {
        if entry.id.is_none() {
            identity::user_namespace()?;
        }
        unshare(Step::ProcessNamespace, UnshareFlags::NEWPID)?;
        unshare(Step::MountNamespace, UnshareFlags::NEWNS)?;
        unshare(Step::NetworkNamespace, UnshareFlags::NEWNET)?;
        let others = UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
        unshare(Step::OtherNamespaces, others)?;
    }
    at(Step::Fork);
    let (told, telling) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed(Step::Fork))?;
    if let Some((pid, handle)) = sys::fork_sibling().map_err(failed(Step::Fork))? {
        let born = News::Born { pid: pid.as_raw_nonzero().get() };
        lifeline::send(lifeline, &born, &[handle.as_fd()]).map_err(failed_io(Step::Fork))?;
        return Ok(Role::Midwife);
    }
    // The host hears of the birth before it hears the child.
    drop(telling);
    rustix::io::read(&told, &mut [0; 1]).map_err(failed(Step::Fork))?;
    tie_to_host(entry.tier)?;
    let sockets = if namespaces {
        at(Step::Loopback);
        network::bring_up().map_err(failed(Step::Loopback))?;
        root::build(entry)?;
        at(Step::Gate);
        network::open(&entry.ports).map_err(failed(Step::Gate))?
    } else {
        Vec::new()
    };
    if let Some(id) = entry.id {
        identity::take(id, entry)?;
    }
    let landlock = seal(entry)?;
    let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    lifeline::send(lifeline, &News::Ready { landlock }, &sockets).map_err(failed_io(Step::Lifeline))?;
    Ok(Role::First(Factory::new(entry)?))
}

/// The host's socket with a number of its own; nothing else stays open.
fn take_lifeline() -> io::Result<OwnedFd> {
    sys::close_from(3)?;
    let null = fs::File::options().read(true).write(true).open("/dev/null")?;
    let lifeline = rustix::io::fcntl_dupfd_cloexec(io::stdin(), FIRST_OWN)?;
    rustix::stdio::dup2_stdin(&null)?;
    // Low numbers are taken, so that nothing that is opened later lies where a child's descriptor goes.
    let mut taken: OwnedFd = null.into();
    while taken.as_raw_fd() < FIRST_OWN - 1 {
        let next = rustix::io::fcntl_dupfd_cloexec(&taken, 3)?;
        // It stays open for as long as the process lives.
        std::mem::forget(std::mem::replace(&mut taken, next));
    }
    std::mem::forget(taken);
    Ok(lifeline)
}

/// Limits that the kernel counts per process. What it counts per user comes when the user is the jail's own.
fn limit(entry: &Entry) -> Result<()> {
    let limits = &entry.limits;
    for (resource, value) in [
        // Not 0: a program that the kernel pipes core dumps into gets them all the same, except for this value.
        (Resource::Core, 1),
        (Resource::Fsize, limits.file_size),
        (Resource::Data, limits.data_segment),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
    ] {
        let limit = Rlimit { current: Some(value), maximum: Some(value) };
        rustix::process::setrlimit(resource, limit).map_err(failed(Step::Limits))?;
    }
    // Descriptors on their way are counted per user and compared with what their sender may have, so a jail with the
    // host's own user could keep this one from sending. What it starts gets less.
    let most = rustix::process::getrlimit(Resource::Nofile).maximum;
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })
        .map_err(failed(Step::Limits))?;
    let score = Path::new("/proc/self/oom_score_adj");
    fs::write(score, OUT_OF_MEMORY_SCORE).map_err(failed_with(Step::Limits, score))?;
    rustix::process::setpriority_process(None, NICE).map_err(failed(Step::Limits))
}

/// Ends when the host does, and collects what it leaves behind where no process namespace does that.
fn tie_to_host(tier: Tier) -> Result<()> {
    at(Step::Lifeline);
    let tied = die_with_host(tier)
        .and_then(|()| rustix::process::set_child_subreaper(Some(Pid::INIT)))
        .and_then(|()| rustix::process::setsid().map(drop));
    tied.map_err(failed(Step::Lifeline))
}

/// Where the kernel ends all others with the first process, it may end with the host at once. Elsewhere it lives on
/// until the lifeline's end tells it to end them.
fn die_with_host(tier: Tier) -> std::result::Result<(), Errno> {
    let signal = tier.has_namespaces().then_some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(signal)
}

/// Gives up everything that the factory and its processes do not need.
fn seal(entry: &Entry) -> Result<Landlock> {
    identity::drop_capabilities(entry)?;
    at(Step::Privileges);
    rustix::thread::set_no_new_privs(true).map_err(failed(Step::Privileges))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(failed(Step::Privileges))?;
    // What came before may have cut the tie.
    die_with_host(entry.tier).map_err(failed(Step::Lifeline))?;
    if !entry.tier.has_namespaces() {
        // Here each process is sealed on its own, so that none can touch the first one.
        return Ok(if entry.tier == Tier::C { landlock::offered() } else { Landlock::No });
    }
    let landlock = landlock::inside_own_root(entry.temporary)?;
    filter(entry.watch_memory, &[Filter::Worker])?;
    Ok(landlock)
}

/// Sets the filters: first those that are named, last the one after which there are no more.
pub(crate) fn filter(watch_memory: bool, filters: &[Filter]) -> Result<()> {
    at(Step::SystemCalls);
    let unwatched = watch_memory.then_some(Filter::UnwatchedMemory);
    let mut all = filters.iter().copied().chain(unwatched).chain([Filter::Absent]);
    all.try_for_each(seccomp::install).map_err(failed_io(Step::SystemCalls))
}

fn unshare(step: Step, flags: UnshareFlags) -> Result<()> {
    at(step);
    sys::unshare(flags).map_err(failed(step))
}

/// Leaves the step's number where the host finds it even after this process died in it: in the process's name.
pub(crate) fn at(step: Step) {
    let name = [b's', b't', b'e', b'p', b'-', b'0' + step as u8 / 10, b'0' + step as u8 % 10, 0];
    if let Ok(name) = std::ffi::CStr::from_bytes_with_nul(&name) {
        // A name that cannot be set takes nothing away but the detail of an error.
        let _ = rustix::thread::set_name(name);
    }
}

pub(crate) fn failed(step: Step) -> impl Fn(Errno) -> Failure {
    move |errno| Failure { step, path: None, errno: errno.raw_os_error() }
}

pub(crate) fn failed_io(step: Step) -> impl Fn(io::Error) -> Failure {
    move |error| Failure { step, path: None, errno: error.raw_os_error().unwrap_or(libc::EIO) }
}

pub(crate) fn failed_with(step: Step, path: &Path) -> impl Fn(io::Error) -> Failure {
    let path = PathBuf::from(path);
    move |error| Failure { path: Some(path.clone()), ..failed_io(step)(error) }
}
