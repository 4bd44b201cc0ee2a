//! How long an instance waits after a crash before it may start again, and when it crashed too often.

use std::collections::VecDeque;
use std::time::Duration;

use hayloft_model::Entropy;
use tokio::time::Instant;

use crate::CrashLimits;

/// A worker that was up for so long did not crash because of its start.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// The pauses of one instance.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    crashes: u32,
    until: Option<Instant>,
    /// When it crashed lately, however long it had lived, where somebody counts that.
    lately: VecDeque<Instant>,
}

impl Backoff {
    /// Notes a crash; gives the pause that follows: none after the first, then twice as long each time, and up to a
    /// quarter more by chance, so that what fell together does not get up together.
    pub(crate) fn crashed(&mut self, uptime: Duration, chance: &dyn Entropy) -> Duration {
        if uptime >= FORGIVEN_AFTER {
            self.crashes = 0;
        }
        let pause = match self.crashes {
            0 => Duration::ZERO,
            crashes => FIRST.saturating_mul(1_u32.checked_shl(crashes - 1).unwrap_or(u32::MAX)).min(LONGEST),
        };
        let mut random = [0];
        chance.fill(&mut random);
        let pause = pause + pause / 4 * u32::from(random[0]) / 256;
        self.crashes = self.crashes.saturating_add(1);
        self.until = Some(Instant::now() + pause);
        pause
    }

    /// Notes the crash for those who count them; gives whether there were as many in a while as there must not be. The
    /// time that its start took is none in which it could have done well, so earlier crashes do not grow older in it:
    /// what starts slowly and never comes up is held back like what fails fast.
    pub(crate) fn is_too_often(&mut self, starting: Duration, limits: &CrashLimits) -> bool {
        for crash in &mut self.lately {
            *crash += starting;
        }
        self.lately.push_back(Instant::now());
        while self.lately.front().is_some_and(|crash| crash.elapsed() > limits.within) {
            self.lately.pop_front();
        }
        let count = limits.count.get();
        while self.lately.len() > count {
            self.lately.pop_front();
        }
        self.lately.len() >= count
    }

    /// How long calls are still refused, if they are.
    pub(crate) fn left(&self) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Notes an end in order: after a worker that lived long enough there is no pause. What crashes between such ends
    /// crashes as often.
    pub(crate) fn ended(&mut self, uptime: Duration) {
        if uptime >= FORGIVEN_AFTER {
            self.crashes = 0;
            self.until = None;
        }
    }

    /// Whether there is no crash for which anybody waits.
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
    use std::num::NonZeroUsize;

    use super::*;

    /// A random source that always says the same.
    struct Always(u8);

    impl Entropy for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_are_forgiven() {
        let mut backoff = Backoff::default();
        let crashed = |backoff: &mut Backoff, uptime| backoff.crashed(uptime, &Always(0));
        let pauses: Vec<_> = (0..9).map(|_| crashed(&mut backoff, Duration::ZERO).as_secs_f64()).collect();
        assert_eq!(pauses, [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(backoff.left(), Some(LONGEST));
        tokio::time::advance(LONGEST).await;
        assert_eq!(backoff.left(), None);
        assert_eq!(crashed(&mut backoff, FORGIVEN_AFTER), Duration::ZERO);
        assert_eq!(backoff.left(), None);
        assert_eq!(crashed(&mut backoff, Duration::ZERO), FIRST);
        backoff.ended(Duration::ZERO);
        assert!(!backoff.is_clear());
        backoff.ended(FORGIVEN_AFTER);
        assert!(backoff.is_clear());
        crashed(&mut backoff, Duration::ZERO);
        backoff.reset();
        assert!(backoff.is_clear());
        assert_eq!(backoff.left(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fell_together_does_not_get_up_together() {
        let pauses = [0, 128, 255].map(|random| {
            let mut backoff = Backoff::default();
            backoff.crashed(Duration::ZERO, &Always(random));
            let second = backoff.crashed(Duration::ZERO, &Always(random));
            assert_eq!(backoff.left(), Some(second));
            second
        });
        assert!(pauses[0] == FIRST && pauses[0] < pauses[1] && pauses[1] < pauses[2], "{pauses:?}");
        assert!(pauses[2] < FIRST * 5 / 4, "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn too_often_is_so_many_in_a_while_however_long_each_lived() {
        let limits = CrashLimits { count: NonZeroUsize::new(3).unwrap(), within: Duration::from_secs(600) };
        let mut backoff = Backoff::default();
        let crash = |backoff: &mut Backoff| {
            backoff.crashed(FORGIVEN_AFTER, &Always(0));
            backoff.is_too_often(Duration::ZERO, &limits)
        };
        assert!(!crash(&mut backoff));
        tokio::time::advance(Duration::from_secs(599)).await;
        assert!(!crash(&mut backoff));
        // The first one is forgotten by now.
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!crash(&mut backoff));
        backoff.ended(FORGIVEN_AFTER);
        assert!(crash(&mut backoff));
        backoff.reset();
        assert!(!crash(&mut backoff));
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_takes_long_and_fails_counts_like_one_that_fails_fast() {
        let limits = CrashLimits { count: NonZeroUsize::new(3).unwrap(), within: Duration::from_secs(600) };
        let mut backoff = Backoff::default();
        let start = Duration::from_secs(500);
        let mut outcomes = Vec::new();
        for _ in 0..3 {
            tokio::time::advance(start).await;
            outcomes
                .push((backoff.crashed(Duration::ZERO, &Always(0)), backoff.is_too_often(start, &limits)));
        }
        assert_eq!(outcomes, [(Duration::ZERO, false), (FIRST, false), (2 * FIRST, true)]);
    }
}
