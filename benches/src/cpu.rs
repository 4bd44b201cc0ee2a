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
    parse(&stat, 2).with_context(|| format!("unexpected form of /proc/{pid}/stat"))
}

/// The same with that of the children it has reaped, and none if it is gone.
pub(crate) fn time_with_children(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.ok().and_then(|stat| parse(&stat, 4)).unwrap_or_default()
}

/// The sum of so many fields from number 14 on (proc(5)): user and system time, and the same of children. The command
/// may hold anything, so they count from its closing bracket.
fn parse(stat: &str, fields: usize) -> Option<Duration> {
    let mut values = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    (0..fields).map(|_| Some(TICK * values.next()?.parse::<u32>().ok()?)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "4711 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 200 100 20";
        assert_eq!(parse(stat, 2), Some(Duration::from_secs(2)));
        assert_eq!(parse(stat, 4), Some(Duration::from_secs(5)));
    }
}
