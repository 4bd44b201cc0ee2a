//! When a server elsewhere is tried again, and when nobody should wait for it any more.

use std::time::Duration;

/// So many failures one after another, and calls are refused at once instead of trying.
pub(super) const OPENS_AFTER: u32 = 5;

/// A session that lasted so long did not fail because of how it began.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30);

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Counts the failures of one server.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
}

impl Breaker {
    /// Notes a failure, after a session that lasted so long. Gives the pause that follows: none after the first failure,
    /// then twice as long each time.
    pub(super) fn failed(&mut self, lasted: Duration) -> Duration {
        if lasted >= FORGIVEN_AFTER {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        match self.failures - 1 {
            0 => Duration::ZERO,
            before => FIRST_PAUSE
                .saturating_mul(1_u32.checked_shl(before - 1).unwrap_or(u32::MAX))
                .min(LONGEST_PAUSE),
        }
    }

    /// Notes that nothing will help until somebody changes something, or that calls failed one after another. Gives the
    /// pause that follows.
    pub(super) fn trip(&mut self) -> Duration {
        self.failures = self.failures.max(OPENS_AFTER - 1);
        self.failed(Duration::ZERO)
    }

    /// Notes that the server did what it is there for.
    pub(super) const fn worked(&mut self) {
        self.failures = 0;
    }

    /// Whether calls are refused at once. The next trial decides.
    pub(super) const fn is_open(&self) -> bool {
        self.failures >= OPENS_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_session_lasts_or_a_call_works() {
        let mut breaker = Breaker::default();
        let failures = |breaker: &mut Breaker, count: usize| -> Vec<f64> {
            (0..count).map(|_| breaker.failed(Duration::ZERO).as_secs_f64()).collect()
        };
        assert_eq!(failures(&mut breaker, 4), [0.0, 0.5, 1.0, 2.0]);
        assert!(!breaker.is_open());
        assert_eq!(failures(&mut breaker, 6), [4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert!(breaker.is_open());
        assert_eq!(breaker.failed(FORGIVEN_AFTER), Duration::ZERO);
        assert!(!breaker.is_open());
        assert_eq!(breaker.trip(), Duration::from_secs(4));
        assert!(breaker.is_open());
        breaker.worked();
        assert!(!breaker.is_open());
        assert_eq!(breaker.failed(Duration::ZERO), Duration::ZERO);
    }
}
