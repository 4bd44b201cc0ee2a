//! A clock that stands still until the test moves it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hayloft_model::Clock;

/// Tells the time that the test set. Clones show the same time.
#[derive(Clone, Debug)]
pub struct FakeClock(Arc<Mutex<DateTime<Utc>>>);

impl FakeClock {
    /// A clock at `2026-01-02T03:04:05Z`.
    #[must_use]
    pub fn new() -> Self {
        Self::at("2026-01-02T03:04:05Z")
    }

    /// A clock at a time given as RFC 3339.
    #[must_use]
    pub fn at(time: &str) -> Self {
        let time = DateTime::parse_from_rfc3339(time).expect("a time as in RFC 3339").with_timezone(&Utc);
        Self(Arc::new(Mutex::new(time)))
    }

    /// Moves the time on.
    pub fn advance(&self, by: Duration) {
        let by = TimeDelta::from_std(by).expect("a duration that chrono can hold");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_only_when_told_and_for_every_clone() {
        let clock = FakeClock::new();
        let clone = clock.clone();
        let before = clone.now();
        assert_eq!(clone.now(), before);
        clock.advance(Duration::from_millis(1500));
        assert_eq!((clone.now() - before).num_milliseconds(), 1500);
    }
}
