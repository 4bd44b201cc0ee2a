//! What the processes of a jail use together, and how they stand beside other jails.

use std::fs;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hayloft_cgroup::{Group, Priority};
use hayloft_stage::tree;

/// Measures a jail. It does not keep it alive.
#[derive(Clone, Debug)]
pub struct Meter {
    group: Option<Weak<Group>>,
    pid: i32,
}

impl Meter {
    pub(crate) const fn new(group: Option<Weak<Group>>, pid: i32) -> Self {
        Self { group, pid }
    }

    /// Whether the kernel keeps the figures for the jail as a whole. Where it does not, each of its processes is asked,
    /// which costs far more, and nobody can be made to go first.
    #[must_use]
    pub const fn is_grouped(&self) -> bool {
        self.group.is_some()
    }

    /// Memory in use by all processes of the jail, in bytes. `None` once it has ended.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        match &self.group {
            Some(group) => group.upgrade()?.memory_bytes(),
            None => tree::resident_bytes(self.pid),
        }
    }

    /// The part of it that the kernel could not take back at any moment, as it could the cache of files that nobody has
    /// read for a while. `None` once it has ended.
    #[must_use]
    pub fn working_set_bytes(&self) -> Option<u64> {
        match &self.group {
            Some(group) => group.upgrade()?.working_set_bytes(),
            None => tree::resident_bytes(self.pid),
        }
    }

    /// Processor time that its processes have used so far. `None` once it has ended, or where nothing counts it.
    #[must_use]
    pub fn processor_time(&self) -> Option<Duration> {
        match &self.group {
            Some(group) => group.upgrade()?.processor_time(),
            None => processor_time(self.pid),
        }
    }

    /// Whether one of its processes runs now or would, if it were let. Asks each of them.
    #[must_use]
    pub fn wants_processor(&self) -> bool {
        self.living().is_some_and(|group| group.wants_processor())
    }

    /// Sets who goes first among the jails of this host. Without control groups nothing can be set.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn set_priority(&self, priority: Priority) -> io::Result<()> {
        self.living().map_or(Ok(()), |group| group.set_priority(priority))
    }

    fn living(&self) -> Option<Arc<Group>> {
        self.group.as_ref().and_then(Weak::upgrade)
    }
}

/// Of a process and its descendants so far, of those that have ended and were reaped too. `None` once it is gone.
fn processor_time(root: i32) -> Option<Duration> {
    fs::metadata(format!("/proc/{root}")).ok()?;
    let ticks: u64 = tree::with_descendants(root).into_iter().filter_map(ticks_of).sum();
    Some(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// What a process and its reaped children have used, in the kernel's clock ticks.
fn ticks_of(pid: i32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and can hold anything, further parentheses included.
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    // `utime`, `stime`, `cutime` and `cstime`: fields 14 to 17; the first one here is the third.
    Some(rest.split_ascii_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_the_processor_until_it_is_gone() {
        assert!(processor_time(1).is_some());
        assert_eq!(processor_time(i32::MAX), None);
    }
}
