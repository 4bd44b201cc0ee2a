//! What the jail enforces on this machine, and what to do about what it does not. It is said, never assumed.

use std::fs;
use std::io;

use hayloft_stage::lifeline::Landlock;
use hayloft_stage::{Step, Tier};

use crate::JailError;
use hayloft_cgroup::Missing;

/// What holds a process on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsolationReport {
    /// The tier that all layers together reach.
    pub tier: Tier,
    /// One by one.
    pub layers: Vec<Layer>,
}

/// One measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it is called.
    pub name: &'static str,
    /// Whether it is in force.
    pub on: bool,
    /// What it gives.
    pub adds: &'static str,
    /// What is open without it, if it is off.
    pub missing: Option<&'static str>,
    /// Why it is off, if it is.
    pub why: Option<String>,
    /// What to do about that, if it is off.
    pub fix: Option<String>,
}

impl Layer {
    /// The weakest tier that has it. `None` for what every tier has, and for what makes none of them.
    #[must_use]
    pub fn tier(&self) -> Option<Tier> {
        match self.name {
            "files" | "processes" | "network" | "user" => Some(Tier::B),
            "landlock" | "system calls" => Some(Tier::C),
            "control groups" => Some(Tier::A),
            _ => None,
        }
    }
}

/// What the trials found.
pub(crate) struct Found {
    /// The strongest kind of jail that came to life; control groups are found apart.
    pub(crate) tier: Tier,
    pub(crate) landlock: Landlock,
    pub(crate) strongest: Tier,
}

/// Puts together what the trials found.
pub(crate) fn report(
    found: &Found,
    failures: &[JailError],
    no_groups: Option<&Missing>,
    root: bool,
) -> IsolationReport {
    let namespaces = found.tier.has_namespaces();
    let sealed = found.tier != Tier::Off;
    let mut layers = vec![
        on("environment", "a process sees only the variables that are named for it"),
        on("descriptors", "a process inherits only the descriptors that are named for it"),
        on("limits", "descriptors, file size and private memory are limited, core dumps are off"),
        on("privileges", "no program that a process starts gains privileges"),
        on("life", "a process has no terminal, ends with the host, and all that it started ends with it"),
    ];
    let why = |strongest: Tier| match failures.first() {
        _ if found.strongest > strongest => (
            "it was not to be used".to_owned(),
            "allow a stronger tier than the one that is set as the strongest".to_owned(),
        ),
        Some(error) => (
            format!("failed to {error}: {}", error.source),
            error.hint.clone().unwrap_or_else(|| GENERAL_FIX.to_owned()),
        ),
        None => (String::from("it was not tried"), GENERAL_FIX.to_owned()),
    };
    for (name, adds, open) in [
        (
            "files",
            "a root of its own with exactly the files that it needs, read-only",
            "only Landlock, if it is on, keeps plugins from the host's files",
        ),
        (
            "processes",
            "process numbers of its own, which end with their first",
            "plugins see other processes of the host, and their names",
        ),
        (
            "network",
            "a network of its own with nothing on it but the Plugin API",
            "plugins share the host's network where the system call filter lets them",
        ),
        (
            "user",
            "a user namespace: no capability, no further namespaces, tasks counted for it alone",
            "tasks are counted together with the host's user",
        ),
    ] {
        layers.push(if namespaces { on(name, adds) } else { off(name, adds, open, why(Tier::B)) });
    }
    let adds = "an id of its own, so that even outside of its namespaces it is nobody";
    layers.push(if root && sealed {
        on("own id", adds)
    } else if sealed {
        Layer { on: false, ..off("own id", adds, "what the kernel counts per user is counted together for all plugins", (
            "only root can give ids".to_owned(),
            "run the service as root: each worker then gets an id that no account has. An account of Hayloft's own \
             (`useradd --system --home-dir /var/lib/hayloft --shell /usr/sbin/nologin hayloft`) at least keeps plugins \
             from everything that is a person's"
                .to_owned(),
        )) }
    } else {
        off("own id", adds, "plugins run as the host's user", why(Tier::C))
    });
    let adds = "Landlock: a second wall around files, abstract sockets and signals";
    let newer = || "run Linux 6.12 or newer, with `landlock` in the kernel's `lsm=` list".to_owned();
    layers.push(match found.landlock {
        Landlock::Fully if sealed => on("landlock", adds),
        Landlock::Partly if sealed => Layer {
            missing: Some("the newer rights are not refused"),
            why: Some("the kernel knows only a part of it".to_owned()),
            fix: Some(newer()),
            ..on("landlock", adds)
        },
        _ if sealed => {
            off("landlock", adds, "there is no second wall", ("the kernel has none".to_owned(), newer()))
        }
        _ => off("landlock", adds, "there is no second wall", why(Tier::C)),
    });
    let adds = "a reviewed list of system calls";
    layers.push(if sealed {
        on("system calls", adds)
    } else {
        off("system calls", adds, "the whole kernel interface is reachable", why(Tier::C))
    });
    let adds = "control groups: hard limits for memory, tasks and processor time of a whole jail";
    layers.push(match no_groups {
        None => on("control groups", adds),
        Some(missing) => off(
            "control groups",
            adds,
            "memory is watched and not walled, and the processor is shared by priority",
            (missing.what.clone(), missing.fix.to_owned()),
        ),
    });
    let tier = if found.tier == Tier::B && no_groups.is_none() { Tier::A } else { found.tier };
    IsolationReport { tier, layers }
}

fn on(name: &'static str, adds: &'static str) -> Layer {
    Layer { name, on: true, adds, missing: None, why: None, fix: None }
}

fn off(name: &'static str, adds: &'static str, open: &'static str, (why, fix): (String, String)) -> Layer {
    Layer { name, on: false, adds, missing: Some(open), why: Some(why), fix: Some(fix) }
}

const GENERAL_FIX: &str = "run Hayloft outside of a container, on Linux 5.13 or newer";

/// The profile that Ubuntu and others want for a program that makes user namespaces.
const APPARMOR_FIX: &str = "AppArmor denies user namespaces to this program: install `docs/operate/hayloft.apparmor` as \
     `/etc/apparmor.d/hayloft` and run `apparmor_parser -r /etc/apparmor.d/hayloft`";

/// What to do about a step that failed, where that is known.
pub(crate) fn remedy(step: Step, source: &io::Error) -> Option<String> {
    let code = source.raw_os_error();
    let setting = |file: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == "0");
    let fix = match (step, code) {
        (Step::UserNamespace, _) if setting("/proc/sys/user/max_user_namespaces") => {
            "user namespaces are switched off: run `sysctl -w user.max_user_namespaces=15000` and keep it in `/etc/sysctl.d/`"
        }
        (Step::UserNamespace, _) if setting("/proc/sys/kernel/unprivileged_userns_clone") => {
            "user namespaces are for root only: run `sysctl -w kernel.unprivileged_userns_clone=1` and keep it in `/etc/sysctl.d/`"
        }
        (Step::UserNamespace, Some(libc::ENOSPC)) => {
            "there are too many user namespaces: raise `user.max_user_namespaces`"
        }
        (Step::UserNamespace | Step::MountNamespace | Step::ProcessNamespace | Step::NetworkNamespace, _)
            if fs::metadata("/sys/module/apparmor").is_ok() && restricted_by_apparmor() =>
        {
            APPARMOR_FIX
        }
        (Step::UserNamespace, _) => {
            "something denies user namespaces, most often a container's system call filter: run Hayloft outside of it, or allow `unshare` and `clone` in its profile"
        }
        (Step::Proc, _) => {
            "the host's `/proc` is masked, as in a container: start the container with `--security-opt systempaths=unconfined`, or run Hayloft outside of it"
        }
        (Step::NetworkNamespace, Some(libc::ENOSPC)) => {
            "there are too many network namespaces: raise `user.max_net_namespaces`"
        }
        (Step::Mount, Some(libc::ENOSYS)) => "Linux 5.12 or newer is needed",
        (Step::Mount, Some(libc::EACCES)) => "the user that Hayloft runs as must be able to read it",
        (Step::Landlock, _) => "run Linux 5.13 or newer, with `landlock` in the kernel's `lsm=` list",
        (Step::Limits, Some(libc::EPERM)) => {
            "the host's own hard limit is lower than what a process shall get: raise it with `ulimit -H`"
        }
        (Step::Prepare | Step::Fork | Step::Stage, Some(libc::EMFILE)) => {
            "too many open files: raise the limit of the service (`LimitNOFILE=`, `ulimit -n`)"
        }
        (Step::Fork | Step::Stage, Some(libc::EAGAIN)) => {
            "too many processes: raise the limit of tasks of the service (`TasksMax=`, `ulimit -u`)"
        }
        (Step::Stage, Some(libc::ENOENT)) => {
            "`hayloft-stage` must lie beside `hayloft`: build it with `cargo xtask build`, or install both"
        }
        (Step::Execute, Some(libc::ENOENT)) => {
            "check that the path is right; in a jail only the plugin's folder, Node, `/bin/sh` and what the operator added can be executed"
        }
        (Step::Execute, Some(libc::EACCES)) => {
            "make it executable with `chmod +x`; nothing in a temporary folder can be executed"
        }
        (Step::Execute, Some(libc::ENOEXEC)) => "it is not a program of this machine's architecture",
        (Step::WorkingDirectory, Some(libc::ENOENT)) => {
            "in a jail only the plugin's folder and `/tmp` can be entered"
        }
        _ => return None,
    };
    Some(fix.to_owned())
}

fn restricted_by_apparmor() -> bool {
    let setting = fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    setting.is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tier: Tier, landlock: Landlock) -> Found {
        Found { tier, landlock, strongest: Tier::A }
    }

    #[test]
    fn what_is_off_says_what_is_missing_and_what_to_do() {
        let missing = Missing { what: "no groups".into(), fix: "delegate" };
        for (found, groups, tier) in [
            (found(Tier::B, Landlock::Fully), None, Tier::A),
            (found(Tier::B, Landlock::No), Some(&missing), Tier::B),
            (found(Tier::C, Landlock::Fully), None, Tier::C),
            (found(Tier::Off, Landlock::No), Some(&missing), Tier::Off),
        ] {
            let report = report(&found, &[], groups, false);
            assert_eq!(report.tier, tier);
            for layer in report.layers {
                assert_eq!(layer.missing.is_some(), layer.fix.is_some(), "{}", layer.name);
                assert!(layer.on || layer.missing.is_some(), "{}", layer.name);
            }
        }
    }
}
