//! What a worker is doing for others, counted without asking it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Calls in flight and the time of the last one.
#[derive(Debug)]
pub(crate) struct Activity {
    origin: Instant,
    /// Milliseconds from `origin`.
    last: AtomicU64,
    in_flight: AtomicUsize,
    closed: AtomicBool,
    quiet: Notify,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            last: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            quiet: Notify::new(),
        })
    }

    /// Notes that something happened now.
    pub(crate) fn touch(&self) {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(now, Ordering::AcqRel);
    }

    pub(crate) fn last(&self) -> Instant {
        self.origin + Duration::from_millis(self.last.load(Ordering::Acquire))
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Whether nothing was done for so long and nothing is being done.
    pub(crate) fn is_idle(&self, idle: Duration) -> bool {
        self.in_flight() == 0 && self.last().elapsed() >= idle
    }

    /// From now on the worker takes nothing.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn quiet(&self) {
        loop {
            let quiet = self.quiet.notified();
            if self.in_flight() == 0 {
                return;
            }
            quiet.await;
        }
    }
}

/// A call in flight. Dropping it ends the call.
#[derive(Debug)]
pub struct ActivityGuard {
    activity: Arc<Activity>,
}

impl ActivityGuard {
    pub(crate) fn new(activity: &Arc<Activity>) -> Self {
        activity.in_flight.fetch_add(1, Ordering::AcqRel);
        activity.touch();
        Self { activity: Arc::clone(activity) }
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.activity.touch();
        if self.activity.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.activity.quiet.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn quiet_comes_with_the_last_call() {
        let activity = Activity::new();
        let (first, second) = (ActivityGuard::new(&activity), ActivityGuard::new(&activity));
        let waiting = tokio::spawn({
            let activity = Arc::clone(&activity);
            async move { activity.quiet().await }
        });
        drop(first);
        assert!(!activity.is_idle(Duration::ZERO));
        drop(second);
        waiting.await.unwrap();
        assert!(activity.is_idle(Duration::ZERO));
        assert!(!activity.is_idle(Duration::from_secs(60)));
    }
}
