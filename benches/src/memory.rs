//! What processes hold: memory, from `/proc/PID/smaps_rollup`, and descriptors.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::time::sleep;

/// Memory is at rest when it moved by less than this share from one look to the next.
const REST: f64 = 0.005;
const LOOK: Duration = Duration::from_secs(1);
/// What does not come to rest is taken as it is then.
const PATIENCE: Duration = Duration::from_secs(15);

/// The proportional set size in KiB: pages that processes share are divided among them.
pub(crate) fn proportional_kib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    parse(&rollup).with_context(|| format!("unexpected form of {path}"))
}

/// The same of several processes together, as a figure.
pub(crate) fn kib_of(pids: &[u32]) -> anyhow::Result<f64> {
    let sum: u64 = pids.iter().map(|pid| proportional_kib(*pid)).sum::<anyhow::Result<u64>>()?;
    Ok(f64::from(u32::try_from(sum)?))
}

/// The same once it is at rest: what was just used is given back a little later.
pub(crate) async fn kib_at_rest(pids: &[u32]) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut before = kib_of(pids)?;
    loop {
        sleep(LOOK).await;
        let now = kib_of(pids)?;
        if (now - before).abs() < before * REST || start.elapsed() > PATIENCE {
            return Ok(now);
        }
        before = now;
    }
}

/// How many descriptors a process has open.
pub(crate) fn descriptors_of(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/fd");
    let open = fs::read_dir(&path).with_context(|| format!("failed to read {path}"))?.count();
    Ok(f64::from(u32::try_from(open)?))
}

fn parse(rollup: &str) -> Option<u64> {
    let value = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    value.trim().strip_suffix("kB")?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_read_and_not_one_of_its_parts() {
        let rollup = "00400000-7ffd [rollup]\nRss:    51200 kB\nPss_Anon:    7 kB\nPss:      40100 kB\n";
        assert_eq!(parse(rollup), Some(40_100));
    }
}
