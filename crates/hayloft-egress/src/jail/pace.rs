//! So much per second, and a little at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Measures out a rate. What is over it is owed, and whoever owes waits.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: f64,
    at_once: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What may be taken at once; less than nothing is owed.
    left: f64,
    at: Instant,
}

impl Pace {
    /// A rate, and how many seconds of it may be taken at once after a rest.
    pub(crate) fn new(per_second: u64, saved_seconds: f64) -> Self {
        let per_second = per_second.max(1) as f64;
        let at_once = (per_second * saved_seconds).max(1.0);
        Self { per_second, at_once, state: Mutex::new(State { left: at_once, at: Instant::now() }) }
    }

    /// Takes some, and waits until it is no longer owed.
    pub(crate) async fn take(&self, amount: usize) {
        if let Some(wait) = self.owe(amount) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes some, and gives for how long it is owed.
    pub(crate) fn owe(&self, amount: usize) -> Option<Duration> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = now.saturating_duration_since(state.at).as_secs_f64() * self.per_second;
        state.left = (state.left + earned).min(self.at_once) - amount as f64;
        state.at = now;
        (state.left < 0.0).then(|| Duration::from_secs_f64(-state.left / self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_over_the_rate_waits() {
        let pace = Pace::new(100, 1.0);
        let begun = Instant::now();
        for _ in 0..100 {
            pace.take(1).await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for _ in 0..100 {
            pace.take(1).await;
        }
        let took = begun.elapsed();
        assert!((950..1150).contains(&took.as_millis()), "{took:?}");
        // A rest saves up, but not without end.
        tokio::time::advance(Duration::from_secs(60)).await;
        let begun = Instant::now();
        pace.take(100).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        pace.take(200).await;
        assert!(begun.elapsed() >= Duration::from_secs(2));
    }
}
