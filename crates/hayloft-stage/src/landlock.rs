//! The second wall around files, and the only one where there is no root of the jail's own.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::enter::{Result, at};
use crate::lifeline::{Failure, Landlock};
use crate::{Step, Temporary};

/// The newest revision whose rights we know. Older kernels enforce what they have.
const NEWEST: ABI = ABI::V7;

/// What every program may read where there is no `/proc` of the jail's own: facts about the machine.
const MACHINE: [&str; 8] = [
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/version",
    "/proc/sys/kernel/random",
    // Node ends when it may not read its configuration of OpenSSL, and goes on when there is none.
    "/etc/ssl/openssl.cnf",
];

/// What a program may read of itself there. Not `net` and `task`, which show the sockets of the whole host.
const OF_ITSELF: [&str; 10] =
    ["stat", "statm", "status", "cmdline", "environ", "exe", "maps", "limits", "fd", "fdinfo"];

/// What may be written where there is no `/dev` of the jail's own.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The rules inside a root of the jail's own: all of it may be read, and only temporary files written.
pub(crate) fn inside_own_root(temporary: Temporary) -> Result<Landlock> {
    at(Step::Landlock);
    let kept = match temporary {
        Temporary::Data => AccessFs::from_all(NEWEST) & !AccessFs::Execute,
        Temporary::Programs => AccessFs::from_all(NEWEST),
    };
    let mut rules = Rules::new(false)?;
    rules.allow(Path::new("/"), AccessFs::from_read(NEWEST))?;
    rules.allow(Path::new("/tmp"), kept)?;
    for device in DEVICES {
        rules.allow(Path::new(device), AccessFs::from_file(NEWEST))?;
    }
    rules.restrict()
}

/// The rules on the host's own file system. They hold for one process and what it starts, since the folder of a
/// process in `/proc` has a name only once the process exists.
pub(crate) fn on_host(paths: &[PathBuf], home: &Path, watch_memory: bool) -> Result<Landlock> {
    let mut rules = Rules::new(true)?;
    for path in paths.iter().map(PathBuf::as_path).chain(MACHINE.map(Path::new)) {
        rules.allow(path, AccessFs::from_read(NEWEST))?;
    }
    for name in OF_ITSELF {
        rules.allow(&Path::new("/proc/self").join(name), AccessFs::from_read(NEWEST))?;
    }
    rules.allow(home, AccessFs::from_all(NEWEST) & !AccessFs::Execute)?;
    // Mapped and shared, its zeros would be memory that nobody counts.
    for device in DEVICES.into_iter().filter(|device| !watch_memory || *device != "/dev/zero") {
        rules.allow(Path::new(device), AccessFs::from_file(NEWEST))?;
    }
    rules.restrict()
}

/// What the kernel has of it.
pub(crate) fn offered() -> Landlock {
    match Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
    {
        Err(_) => Landlock::No,
        Ok(ruleset) => match ruleset
            .handle_access(AccessFs::from_all(NEWEST))
            .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        {
            Ok(_) => Landlock::Fully,
            Err(_) => Landlock::Partly,
        },
    }
}

struct Rules(RulesetCreated);

impl Rules {
    fn new(network: bool) -> Result<Self> {
        let mut rules = Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))
            .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
            .map_err(refused)?;
        if network {
            // No rule allows any of it.
            rules = rules.handle_access(AccessNet::from_all(NEWEST)).map_err(refused)?;
        }
        Ok(Self(rules.create().map_err(refused)?))
    }

    /// A path that is not there needs no rule.
    fn allow(&mut self, path: &Path, rights: BitFlags<AccessFs>) -> Result<()> {
        let Ok(opened) = PathFd::new(path) else { return Ok(()) };
        let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(NEWEST) };
        (&mut self.0).add_rule(PathBeneath::new(opened, rights)).map(drop).map_err(refused)
    }

    fn restrict(self) -> Result<Landlock> {
        Ok(match self.0.restrict_self().map_err(refused)?.ruleset {
            RulesetStatus::FullyEnforced => Landlock::Fully,
            RulesetStatus::PartiallyEnforced => Landlock::Partly,
            RulesetStatus::NotEnforced => Landlock::No,
        })
    }
}

fn refused(error: impl std::error::Error + 'static) -> Failure {
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    let mut errno = libc::EIO;
    while let Some(error) = source {
        if let Some(code) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            errno = code;
        }
        source = error.source();
    }
    Failure { step: Step::Landlock, path: None, errno }
}
