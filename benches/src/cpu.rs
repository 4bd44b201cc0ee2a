//! Processor time of a process, from `/proc/PID/stat`.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// How long a clock tick is: Linux shows them to programs as hundredths of a second on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of all threads that a process ever had.
pub(crate) fn time_of(pid: u32) -> anyhow::Result<Duration> {
    let stat =
        fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    parse(&stat).with_context(|| format!("unexpected form of /proc/{pid}/stat"))
}

/// Fields 14 and 15 (proc(5)). The command may hold anything, so they count from its closing bracket.
fn parse(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "4711 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";
        assert_eq!(parse(stat), Some(Duration::from_secs(2)));
    }
}
