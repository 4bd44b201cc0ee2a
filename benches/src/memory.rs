//! Memory of a process, from `/proc/PID/smaps_rollup`.

use std::fs;

use anyhow::Context as _;

/// The proportional set size in KiB: pages that processes share are divided among them.
pub(crate) fn proportional_kib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    parse(&rollup).with_context(|| format!("unexpected form of {path}"))
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
