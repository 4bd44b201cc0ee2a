//! Who a jail's processes are: an id that means nothing outside, and no capability anywhere.

use std::fs;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Resource, Rlimit, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

use crate::enter::{Result, at, failed, failed_with};
use crate::lifeline::Entry;
use crate::sys;
use crate::{Step, Tier};

/// What the kernel counts per user, and the most that a jail may have of it. Without this a jail that has the host's
/// own user could use up what all of that user's programs have together.
const COUNTED: [(&str, &str); 3] =
    [("max_user_namespaces", "0"), ("max_inotify_instances", "16"), ("max_inotify_watches", "8192")];

/// What every worker's own id is from inside.
pub(crate) const INSIDE: u32 = 1000;

/// Enters a user namespace in which the own id is [`INSIDE`].
pub(crate) fn user_namespace() -> Result<()> {
    let step = Step::UserNamespace;
    at(step);
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    sys::unshare(UnshareFlags::NEWUSER).map_err(failed(step))?;
    for (file, text) in [
        ("/proc/self/uid_map", format!("{INSIDE} {} 1", user.as_raw())),
        ("/proc/self/setgroups", String::from("deny")),
        ("/proc/self/gid_map", format!("{INSIDE} {} 1", group.as_raw())),
    ] {
        fs::write(file, text).map_err(failed_with(step, Path::new(file)))?;
    }
    Ok(())
}

/// From root to an id that no account and no other jail has.
pub(crate) fn take(id: u32, entry: &Entry) -> Result<()> {
    let step = Step::Identity;
    at(step);
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    // A trial has no home.
    if !entry.tier.has_namespaces() && !entry.home.as_os_str().is_empty() {
        std::os::unix::fs::chown(&entry.home, Some(id), Some(id)).map_err(failed_with(step, &entry.home))?;
    }
    // The new id has no right to do it, where it does not get a user namespace.
    empty_bounding_set()?;
    rustix::thread::set_thread_groups(&[]).map_err(failed(step))?;
    rustix::thread::set_thread_res_gid(group, group, group).map_err(failed(step))?;
    rustix::thread::set_thread_res_uid(user, user, user).map_err(failed(step))?;
    if entry.tier.has_namespaces() {
        // Whoever changed ids may not touch its own files in `/proc`, unless it may be dumped.
        rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(failed(step))?;
        user_namespace()?;
    }
    Ok(())
}

/// Gives up every capability for ever. Tasks are limited here, since only now they are counted for this jail alone.
pub(crate) fn drop_capabilities(entry: &Entry) -> Result<()> {
    if entry.tier == Tier::Off {
        return Ok(());
    }
    let step = Step::Capabilities;
    at(step);
    if entry.tier.has_namespaces() {
        for (file, value) in COUNTED {
            let file = Path::new("/proc/sys/user").join(file);
            fs::write(&file, value).map_err(failed_with(step, &file))?;
        }
    }
    if entry.tier.has_namespaces() || entry.id.is_some() {
        let tasks = Some(entry.limits.tasks);
        let limit = Rlimit { current: tasks, maximum: tasks };
        rustix::process::setrlimit(Resource::Nproc, limit).map_err(failed(Step::Limits))?;
    }
    empty_bounding_set()?;
    rustix::thread::clear_ambient_capability_set().map_err(failed(step))?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, none).map_err(failed(step))
}

/// No program that is started can ever get a capability. It takes one to say so.
fn empty_bounding_set() -> Result<()> {
    let step = Step::Capabilities;
    let held = rustix::thread::capabilities(None).map_err(failed(step))?.effective;
    if held.contains(CapabilitySet::SETPCAP) {
        for number in 0..u64::BITS {
            match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(
                1 << number,
            )) {
                Ok(()) => {}
                // The kernel knows no more.
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(failed(step)(errno)),
            }
        }
    }
    Ok(())
}
