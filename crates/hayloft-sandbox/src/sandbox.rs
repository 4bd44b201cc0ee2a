//! Makes jails. One thread starts them all and lives as long as the host, because a process that shall die with its
//! parent dies when the *thread* that started it ends.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::{Resource, Rlimit};
use tokio::sync::oneshot;

use crate::isolation::{self, Found, IsolationReport};
use crate::jail::{First, Newborn, died, error, refusal};
use crate::{Jail, JailError, JailSpec, Limits, StartError, Step, Temporary, Tier, system};
use hayloft_cgroup::{Group, Groups, Missing};
use hayloft_stage::lifeline::{self, Entry, Failure, Landlock, News, Order, Spawn};

/// Ids of workers when the host is root: far from those of accounts, of dynamic users and of containers.
const FIRST_ID: u32 = 2_000_000_000;

/// Each host takes a block of them for itself, so that two never use the same.
const BLOCKS: u32 = 256;

/// How many jails a host can have then.
const IDS: u32 = 4096;

/// What a jail is called that is made to see whether it can be.
const TRIAL: &str = "a trial";

/// A stage that says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a sandbox needs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `hayloft-stage` program.
    pub stage: PathBuf,
    /// Programs that jails run. Their libraries are in every jail.
    pub programs: Vec<PathBuf>,
    /// Further paths that every jail may read and execute.
    pub paths: Vec<PathBuf>,
    /// The name of this host in what it makes, so that a later run finds what this one left: letters, digits, `-`.
    pub owner: String,
    /// No stronger tier is used, whatever the machine offers.
    pub strongest: Tier,
}

/// Makes jails of the strongest tier that the machine offers. Clones share one thread, which ends with the last of
/// them and of the jails.
#[derive(Clone, Debug)]
pub struct Sandbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests: mpsc::Sender<Request>,
    owner: String,
    report: IsolationReport,
    landlock: Landlock,
    groups: Option<Groups>,
    ids: Option<Ids>,
    /// What every jail may read.
    system: Vec<(PathBuf, PathBuf)>,
}

#[derive(Debug)]
struct Request {
    entry: Entry,
    name: String,
    label: String,
    reply: oneshot::Sender<Result<(Newborn, Option<Group>), JailError>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.groups.take().map(|groups| groups.leave()) {
            tracing::warn!(%error, "failed to remove the control groups of this host");
        }
    }
}

impl Sandbox {
    /// Finds out by trial what the machine offers, and starts the thread. Takes some milliseconds and blocks.
    ///
    /// # Errors
    /// When not even a process without a jail can be made.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let Options { stage, programs, paths, owner, strongest } = options;
        if owner.is_empty() || !owner.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(StartError::Owner(owner));
        }
        let mut system = system::files(&programs);
        system.extend(paths.into_iter().map(system::at_its_place));
        // Descriptors on their way to jails are counted per user and compared with what the host may have open.
        let most = rustix::process::getrlimit(Resource::Nofile).maximum;
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })
            .map_err(|errno| StartError::Descriptors(errno.into()))?;
        let ids = Ids::held().map_err(StartError::Ids)?;
        let mut groups = match strongest {
            Tier::A => Groups::find(&owner),
            Tier::B | Tier::C | Tier::Off => Err(Missing {
                what: String::from("it was not to be used"),
                fix: "allow a stronger tier than the one that is set as the strongest",
            }),
        };
        let (found, failures) = match find(&stage, strongest, &system, ids.as_ref(), &mut groups) {
            Ok(found) => found,
            Err(error) => {
                // That nothing works is the news; a folder that is left is removed by the next start.
                let _ = groups.map(|groups| groups.leave());
                return Err(error);
            }
        };
        let report = isolation::report(&found, &failures, groups.as_ref().err(), ids.is_some());
        let groups = groups.ok();
        let (requests, inbox) = mpsc::channel::<Request>();
        let maker = groups.clone();
        thread::Builder::new()
            .name("hayloft-spawner".into())
            .spawn(move || {
                for Request { entry, name, label, reply } in inbox {
                    let born = grouped(maker.as_ref(), &name, entry, &label)
                        .and_then(|(entry, group)| Ok((deliver(&stage, entry, &label)?, group)));
                    // Who asked may have gone away; the first process goes with the answer.
                    drop(reply.send(born));
                }
            })
            .map_err(StartError::Thread)?;
        let landlock = found.landlock;
        Ok(Self(Arc::new(Inner { requests, owner, report, landlock, groups, ids, system })))
    }

    /// What is enforced on this machine.
    #[must_use]
    pub fn isolation(&self) -> &IsolationReport {
        &self.0.report
    }

    /// Whether each jail is a user of its own, whom files and folders must be open to.
    #[must_use]
    pub fn gives_ids(&self) -> bool {
        self.0.ids.is_some() && self.0.report.tier != Tier::Off
    }

    /// Removes the control groups of this host, for one that ends in order. Where jails are left, so are they.
    pub fn leave(&self) {
        if let Some(Err(error)) = self.0.groups.as_ref().map(Groups::leave) {
            tracing::warn!(%error, "failed to remove the control groups of this host");
        }
    }

    /// Removes empty control groups that hosts left which are gone. It blocks, for milliseconds for each of them.
    pub fn sweep_gone(&self) {
        let swept = self.0.groups.as_ref().map_or(0, Groups::sweep_gone);
        if swept > 0 {
            tracing::info!(hosts = swept, "removed empty control groups of hosts that are gone");
        }
    }

    /// Makes a jail with nothing in it but its first process. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When a step fails; nothing of the jail is left then. It is never weaker than [`Self::isolation`] says.
    pub async fn enter(&self, spec: JailSpec) -> Result<Jail, JailError> {
        let inner = &self.0;
        let label = spec.label.clone();
        let fail = |step, source| error(step, &label, source);
        let id = inner.ids.as_ref().filter(|_| self.gives_ids()).map(Ids::take).transpose();
        let id = id.map_err(|source| fail(Step::Identity, source))?;
        let mut binds = inner.system.clone();
        binds.extend(spec.paths.into_iter().map(system::at_its_place));
        let entry = Entry {
            watch_memory: inner.groups.is_none(),
            links: spec.links,
            ports: spec.ports.clone(),
            home: spec.home.clone(),
            temporary: spec.temporary,
            ..entry(inner.report.tier, binds, id.as_ref(), spec.limits)
        };
        let marker = format!("{}/{}", inner.owner, spec.name);
        let (reply, answer) = oneshot::channel();
        let gone = || fail(Step::Prepare, io::Error::other("the spawner thread is gone"));
        let request = Request { entry, name: spec.name, label: spec.label.clone(), reply };
        inner.requests.send(request).map_err(|_| gone())?;
        let (newborn, group) = answer.await.map_err(|_| gone())??;
        let place = (inner.report.tier, inner.landlock, spec.home);
        Jail::open(newborn, spec.label, marker, place, (group, id, self.clone())).await
    }
}

fn entry(tier: Tier, binds: Vec<(PathBuf, PathBuf)>, id: Option<&Id>, limits: Limits) -> Entry {
    Entry {
        tier,
        groups: Vec::new(),
        watch_memory: false,
        id: id.map(|id| id.number),
        limits,
        temporary: Temporary::default(),
        binds: system::in_order(binds),
        links: Vec::new(),
        ports: Vec::new(),
        home: PathBuf::new(),
    }
}

/// Adds a control group of the jail's own, where there are any.
fn grouped(
    groups: Option<&Groups>,
    name: &str,
    entry: Entry,
    label: &str,
) -> Result<(Entry, Option<Group>), JailError> {
    let Limits { memory, tasks, processor, .. } = entry.limits;
    let limits = hayloft_cgroup::Limits { memory, tasks, processor };
    let group = groups.map(|groups| groups.make(name, &limits)).transpose();
    let group = group.map_err(|source| error(Step::Group, label, source))?;
    let groups = group.as_ref().map(Group::entries).unwrap_or_default();
    Ok((Entry { groups, ..entry }, group))
}

/// The strongest jail that comes to life, and why the stronger ones did not. Control groups that a jail cannot enter
/// are none.
fn find(
    stage: &Path,
    strongest: Tier,
    system: &[(PathBuf, PathBuf)],
    ids: Option<&Ids>,
    groups: &mut Result<Groups, Missing>,
) -> Result<(Found, Vec<JailError>), StartError> {
    let mut failures = Vec::new();
    for tier in [Tier::B, Tier::C, Tier::Off].into_iter().filter(|tier| *tier >= strongest) {
        let mut result = attempt(stage, tier, system, ids, groups.as_ref().ok());
        if let Err(error) = &result
            && error.step == Step::Group
        {
            let what = format!("failed to {error}: {}", error.source);
            // What is left of them is removed by the next start that has them.
            let _ = std::mem::replace(groups, Err(Missing { what, fix: hayloft_cgroup::DELEGATE }))
                .map(|groups| groups.leave());
            result = attempt(stage, tier, system, ids, None);
        }
        match result {
            // Without Landlock and without namespaces nothing holds the files.
            Ok(Landlock::No) if tier == Tier::C => {
                failures.push(error(Step::Landlock, TRIAL, io::Error::from_raw_os_error(libc::ENOSYS)));
            }
            Ok(landlock) => return Ok((Found { tier, landlock, strongest }, failures)),
            Err(error) => failures.push(error),
        }
    }
    let failure = failures.pop();
    Err(StartError::Stage(
        failure.unwrap_or_else(|| error(Step::Stage, TRIAL, io::ErrorKind::Unsupported.into())),
    ))
}

/// Makes a jail, runs a program in it and gives it up again.
fn attempt(
    stage: &Path,
    tier: Tier,
    system: &[(PathBuf, PathBuf)],
    ids: Option<&Ids>,
    groups: Option<&Groups>,
) -> Result<Landlock, JailError> {
    let fail = |source| error(Step::Stage, TRIAL, source);
    let id = ids.filter(|_| tier != Tier::Off).map(Ids::take).transpose().map_err(fail)?;
    let entry = Entry {
        watch_memory: groups.is_none(),
        ..entry(tier, system.to_vec(), id.as_ref(), Limits::default())
    };
    let (entry, _group) = grouped(groups, "jail", entry, TRIAL)?;
    let newborn = deliver(stage, entry, TRIAL)?;
    run_nothing(&newborn.lifeline).map_err(fail).and_then(|outcome| match outcome {
        Some(outcome) => outcome.map_err(|failure| refusal(TRIAL, failure)),
        None => Err(died(TRIAL, newborn.first.pid)),
    })
}

/// Waits until a jail is sealed and has started a program. `None` when it ended before.
fn run_nothing(lifeline: &OwnedFd) -> io::Result<Option<Result<Landlock, Failure>>> {
    let landlock = match lifeline::receive(lifeline)? {
        Some((News::Ready { landlock }, _)) => landlock,
        Some((News::Failed(failure), _)) => return Ok(Some(Err(failure))),
        _ => return Ok(None),
    };
    let spawn = Spawn {
        id: 0,
        program: system::SHELL.into(),
        arguments: vec!["-c".into(), ":".into()],
        environment: Vec::new(),
        working_directory: "/".into(),
        numbers: Vec::new(),
    };
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let null = null.as_fd();
    lifeline::send(lifeline, &Order::Spawn(spawn), &[null, null, null])?;
    Ok(match lifeline::receive(lifeline)? {
        Some((News::Started { .. }, _)) => Some(Ok(landlock)),
        Some((News::Refused { failure, .. }, _)) => Some(Err(failure)),
        _ => None,
    })
}

/// Starts the stage and waits until it has made the first process. Must run on the thread that outlives it.
fn deliver(stage: &Path, entry: Entry, label: &str) -> Result<Newborn, JailError> {
    let fail = |step, source| JailError { path: Some(stage.to_owned()), ..error(step, label, source) };
    let (lifeline, other) = lifeline::pair().map_err(|source| fail(Step::Prepare, source))?;
    set_socket_timeout(&lifeline, Timeout::Recv, Some(PATIENCE))
        .map_err(|errno| fail(Step::Prepare, errno.into()))?;
    #[expect(clippy::disallowed_methods, reason = "this is where processes start")]
    let mut midwife = Command::new(stage)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(other))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| fail(Step::Stage, source))?;
    let news = lifeline::send(&lifeline, &Order::Enter(entry), &[])
        .and_then(|()| lifeline::receive::<News>(&lifeline));
    let outcome = match news {
        Ok(Some((News::Born { pid }, mut handles))) => match handles.pop_front() {
            Some(handle) => Ok(Newborn { lifeline, first: First::new(pid, handle) }),
            None => Err(fail(Step::Fork, io::Error::other("the first process has no handle"))),
        },
        Ok(Some((News::Failed(failure), _))) => Err(refusal(label, failure)),
        Ok(_) => Err(died(label, midwife.id().cast_signed())),
        Err(source) => {
            let _ = midwife.kill();
            Err(fail(Step::Stage, source))
        }
    };
    // It ends with its last word.
    let _ = midwife.wait();
    outcome
}

/// A block of ids that no account and no other host has, each for one jail at a time.
#[derive(Clone, Debug)]
struct Ids(Arc<Block>);

#[derive(Debug)]
struct Block {
    first: u32,
    taken: Mutex<Taken>,
    /// Held as long as the block is ours.
    _lock: File,
}

#[derive(Debug, Default)]
struct Taken {
    numbers: BTreeSet<u32>,
    /// Goes round, so that an id rests before it is used again.
    next: u32,
}

/// An id that is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Id {
    number: u32,
    ids: Ids,
}

impl Ids {
    /// Root has them, unless it is only called so and its user namespace has no such ids, as in a container.
    fn held() -> io::Result<Option<Self>> {
        let maps = ["/proc/self/uid_map", "/proc/self/gid_map"];
        let mapped = maps.iter().all(|map| std::fs::read_to_string(map).is_ok_and(|map| covers(&map)));
        if !rustix::process::geteuid().is_root() || !mapped {
            return Ok(None);
        }
        for block in 0..BLOCKS {
            let path = format!("/run/hayloft-ids-{block}.lock");
            let lock = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let block = Block { first: FIRST_ID + block * IDS, taken: Mutex::default(), _lock: lock };
                    return Ok(Some(Self(Arc::new(block))));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::Error::other(format!("{BLOCKS} other hosts on this machine have them")))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> io::Result<Id> {
        let mut taken = self.taken();
        for _ in 0..IDS {
            let number = self.0.first + taken.next;
            taken.next = (taken.next + 1) % IDS;
            if taken.numbers.insert(number) {
                return Ok(Id { number, ids: self.clone() });
            }
        }
        Err(io::Error::other(format!("all {IDS} ids for jails are in use")))
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        self.ids.taken().numbers.remove(&self.number);
    }
}

/// Whether a map of ids (`inside outside count` on each line) has all of ours.
fn covers(map: &str) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), _, Some(Ok(count))) = (numbers.next(), numbers.next(), numbers.next()) else {
            return false;
        };
        first <= FIRST_ID.into() && first + count >= u64::from(FIRST_ID) + u64::from(BLOCKS * IDS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_range_of_ids_will_do() {
        for (map, expected) in [
            ("         0          0 4294967295\n", true),
            ("0 1000 1\n", false),
            ("0 1000 1\n1 100000 65536\n", false),
            ("0 0 2000000100\n", false),
            ("2000000000 5 1048576", true),
            ("2000000000 5 65536", false),
            ("", false),
            ("x", false),
        ] {
            assert_eq!(covers(map), expected, "{map}");
        }
    }
}
