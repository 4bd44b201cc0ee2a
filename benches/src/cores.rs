//! On which core a process runs, where the scheduler's own choice would be measured in place of what is meant: two
//! processes that answer each other take three times as long when each answer has to wake a sleeping core.

use std::fs;

use anyhow::Context as _;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this program may use. Taken before anything is kept on one of them.
#[derive(Clone, Debug)]
pub(crate) struct Cores(Vec<usize>);

impl Cores {
    /// Those of the calling thread.
    pub(crate) fn usable() -> anyhow::Result<Self> {
        let all = sched_getaffinity(None).context("failed to ask which cores may be used")?;
        Ok(Self((0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect()))
    }

    /// The first of them, and another one where there is one.
    pub(crate) fn two(&self) -> (usize, Option<usize>) {
        (self.0.first().copied().unwrap_or_default(), self.0.get(1).copied())
    }

    /// Lets all threads of a process run on any of them.
    pub(crate) fn release(&self, pid: u32) -> anyhow::Result<()> {
        place(pid, &self.0)
    }
}

/// Keeps all threads of a process on one core.
pub(crate) fn keep(pid: u32, core: usize) -> anyhow::Result<()> {
    place(pid, &[core])
}

fn place(pid: u32, cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    let threads = format!("/proc/{pid}/task");
    for thread in fs::read_dir(&threads).with_context(|| format!("failed to read {threads}"))? {
        let name = thread?.file_name();
        let thread = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        sched_setaffinity(thread, &set)
            .with_context(|| format!("failed to keep process {pid} on cores {cores:?}"))?;
    }
    Ok(())
}
