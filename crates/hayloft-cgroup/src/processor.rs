//! Processor time: how much of it a group has used, and who goes first when there is not enough.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use crate::folders::write;
use crate::processes::any_runnable;
use crate::{ACCOUNT, CPU, Group, Layout};

/// Who goes first when two groups of the same host want the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// A fair share.
    #[default]
    Normal,
    /// What the others leave. Whoever of them wakes up interrupts it at once, where the kernel can do that (5.15); with
    /// an older one it waits for the end of a slice. In the split layout that is true of the host's threads, too. A free
    /// core is its own, and it never gets nothing at all.
    Idle,
}

impl Group {
    /// Processor time of all its processes so far, of those that have ended too. `None` where nothing counts it.
    pub fn processor_time(&self) -> Option<Duration> {
        let folder = &self.folders[ACCOUNT];
        match self.layout {
            Layout::Unified => {
                let text = fs::read_to_string(folder.join("cpu.stat")).ok()?;
                let used =
                    text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse().ok());
                used.map(Duration::from_micros)
            }
            Layout::Split => {
                let used = fs::read_to_string(folder.join("cpuacct.usage")).ok()?;
                used.trim().parse().ok().map(Duration::from_nanos)
            }
        }
    }

    /// Whether any of its tasks runs now or would, if it were let.
    pub fn wants_processor(&self) -> bool {
        any_runnable(&self.folders[CPU])
    }

    /// Sets who goes first.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn set_priority(&self, priority: Priority) -> io::Result<()> {
        prioritize(&self.folders[CPU], self.layout, priority)
    }
}

pub(crate) fn prioritize(folder: &Path, layout: Layout, priority: Priority) -> io::Result<()> {
    let idle = if priority == Priority::Idle { "1" } else { "0" };
    match write(&folder.join("cpu.idle"), idle) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let (file, weight) = match (layout, priority) {
                (Layout::Unified, Priority::Normal) => ("cpu.weight", "100"),
                (Layout::Unified, Priority::Idle) => ("cpu.weight", "1"),
                (Layout::Split, Priority::Normal) => ("cpu.shares", "1024"),
                (Layout::Split, Priority::Idle) => ("cpu.shares", "2"),
            };
            write(&folder.join(file), weight)
        }
        result => result,
    }
}
