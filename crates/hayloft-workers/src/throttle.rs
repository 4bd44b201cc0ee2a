//! Which worker goes last while others want the processor: one that used much of it lately, until it has calmed down.
//!
//! It holds no clock and no process, so that every course of things can be tried.

use std::collections::VecDeque;
use std::time::Duration;

use hayloft_sandbox::Priority;
use tokio::time::Instant;

/// How long "lately" is.
pub(crate) const WINDOW: Duration = Duration::from_secs(1);

/// What one worker used, and what follows from it.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// Processor time at moments of the window, the last one before it included. Oldest first.
    readings: VecDeque<(Instant, Duration)>,
    priority: Priority,
    /// When it went over the line last.
    since: Instant,
}

impl Throttle {
    /// Starts with a reading.
    pub(crate) fn new(now: Instant, used: Duration) -> Self {
        Self { readings: VecDeque::from([(now, used)]), priority: Priority::Normal, since: now }
    }

    pub(crate) fn is_throttled(&self) -> bool {
        self.priority == Priority::Idle
    }

    /// Takes a reading and gives what has to change. The line is a part of one core, in percent; a worker that came over
    /// it has to stay below half of it for a whole window, or it would go to and fro. That it got little is no sign
    /// of calm while it still wants more, which is found out only when it matters.
    pub(crate) fn judge(
        &mut self,
        line: u32,
        now: Instant,
        used: Duration,
        wants_more: impl FnOnce() -> bool,
    ) -> Option<Priority> {
        while self.readings.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.readings.pop_front();
        }
        let before = self.readings.front().map_or(used, |(_, used)| *used);
        self.readings.push_back((now, used));
        let lately = used.saturating_sub(before);
        let line = WINDOW * line / 100;
        if lately > line {
            self.since = now;
        }
        let calm =
            || lately * 2 < line && now.saturating_duration_since(self.since) >= WINDOW && !wants_more();
        let next = match self.priority {
            Priority::Normal if lately > line => Priority::Idle,
            Priority::Idle if calm() => Priority::Normal,
            _ => return None,
        };
        self.priority = next;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Duration = Duration::from_millis(200);

    /// What is decided when a worker uses so many milliseconds in each turn, and wants more or not.
    fn course(turns: &[(u64, bool)]) -> Vec<(usize, Priority)> {
        let start = Instant::now();
        let mut throttle = Throttle::new(start, Duration::ZERO);
        let (mut at, mut used) = (start, Duration::ZERO);
        let mut changes = Vec::new();
        for (turn, (more, wants)) in turns.iter().enumerate() {
            at += TURN;
            used += Duration::from_millis(*more);
            if let Some(priority) = throttle.judge(50, at, used, || *wants) {
                changes.push((turn, priority));
            }
        }
        changes
    }

    #[test]
    fn half_a_core_in_a_second_is_the_line() {
        assert_eq!(course(&[(100, true); 50]), []);
        assert_eq!(course(&[(101, true); 50]), [(4, Priority::Idle)]);
        // However short it was.
        assert_eq!(course(&[(0, false), (0, false), (501, true)]), [(2, Priority::Idle)]);
        assert_eq!(course(&[(200, true); 3]), [(2, Priority::Idle)]);
    }

    #[test]
    fn it_ends_with_calm() {
        let mut turns = vec![(200, true); 5];
        turns.extend([(0, false); 20]);
        let changes = course(&turns);
        assert_eq!(changes.first(), Some(&(2, Priority::Idle)));
        let [_, (back, Priority::Normal)] = changes[..] else { panic!("{changes:?}") };
        // Over the line for the last time in turn 6; one window later it is over.
        assert_eq!(back, 11);
    }

    #[test]
    fn who_got_little_and_wants_more_is_not_calm() {
        let mut turns = vec![(200, true); 5];
        turns.extend([(1, true); 50]);
        assert_eq!(course(&turns).len(), 1);
        turns.push((1, false));
        assert_eq!(course(&turns).last(), Some(&(55, Priority::Normal)));
    }

    #[test]
    fn little_work_at_a_time_is_calm_and_more_than_half_the_line_is_not() {
        let mut turns = vec![(200, true); 5];
        turns.extend([(51, false); 50]);
        assert_eq!(course(&turns).len(), 1);
        turns.extend([(49, false); 10]);
        assert_eq!(course(&turns).last().map(|(_, priority)| *priority), Some(Priority::Normal));
    }

    #[test]
    fn a_counter_that_falls_is_no_use() {
        // Processes that nobody waited for take what they used with them, where no group counts.
        let start = Instant::now();
        let mut throttle = Throttle::new(start, Duration::from_secs(9));
        assert_eq!(throttle.judge(50, start + TURN, Duration::ZERO, || true), None);
        assert!(!throttle.is_throttled());
    }
}
