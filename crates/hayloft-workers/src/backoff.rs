//! How long an instance waits after a crash before it may start again.

use std::time::Duration;

use tokio::time::Instant;

/// A worker that lived so long did not crash because of its start.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// The pauses of one instance.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    crashes: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Notes a crash; gives the pause that follows: none after the first, then twice as long each time.
    pub(crate) fn crashed(&mut self, uptime: Duration) -> Duration {
        if uptime >= FORGIVEN_AFTER {
            self.crashes = 0;
        }
        let pause = match self.crashes {
            0 => Duration::ZERO,
            crashes => FIRST.saturating_mul(1_u32.checked_shl(crashes - 1).unwrap_or(u32::MAX)).min(LONGEST),
        };
        self.crashes = self.crashes.saturating_add(1);
        self.until = Some(Instant::now() + pause);
        pause
    }

    /// How long calls are still refused, if they are.
    pub(crate) fn left(&self) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Notes an end in order: a worker that lived long enough wipes the slate.
    pub(crate) fn ended(&mut self, uptime: Duration) {
        if uptime >= FORGIVEN_AFTER {
            self.reset();
        }
    }

    /// Whether there is no crash to remember.
    pub(crate) const fn is_clear(&self) -> bool {
        self.crashes == 0
    }

    /// Forgets all crashes: a person or new values gave a fresh start.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_are_forgiven() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.crashed(Duration::ZERO).as_secs_f64()).collect();
        assert_eq!(pauses, [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(backoff.left(), Some(LONGEST));
        tokio::time::advance(LONGEST).await;
        assert_eq!(backoff.left(), None);
        assert_eq!(backoff.crashed(FORGIVEN_AFTER), Duration::ZERO);
        assert_eq!(backoff.left(), None);
        assert_eq!(backoff.crashed(Duration::ZERO), FIRST);
        backoff.ended(Duration::ZERO);
        assert!(!backoff.is_clear());
        backoff.ended(FORGIVEN_AFTER);
        assert!(backoff.is_clear());
        backoff.crashed(Duration::ZERO);
        backoff.reset();
        assert!(backoff.is_clear());
        assert_eq!(backoff.left(), None);
    }
}
