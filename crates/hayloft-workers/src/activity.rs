//! What a worker is doing for others, counted without asking it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Calls in flight and the time of the last one.
#[derive(Debug)]
pub(crate) struct Activity {
    origin: Instant,
    /// Microseconds from `origin`.
    last: AtomicU64,
    /// Microseconds from `origin`; zero before the first time.
    asked: AtomicU64,
    /// When somebody was given it who begins a call; microseconds from `origin`, zero before the first time.
    found: AtomicU64,
    /// When it answered something that it may still be at work on; microseconds from `origin`, zero before the first time.
    answered: AtomicU64,
    /// For so long after it has asked for something it is not idle.
    after_asking: Duration,
    in_flight: AtomicUsize,
    closed: AtomicBool,
    quiet: Notify,
}

impl Activity {
    /// No alarm for it is set nearer than that.
    pub(crate) const PRECISION: Duration = Duration::from_millis(1);
    /// Whoever finds a worker begins a call on it within that time.
    pub(crate) const SETTLED: Duration = Duration::from_millis(100);

    pub(crate) fn new(after_asking: Duration) -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            last: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            found: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            after_asking,
            in_flight: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            quiet: Notify::new(),
        })
    }

    /// Notes that something happened now.
    pub(crate) fn touch(&self) {
        self.last.fetch_max(self.now(), Ordering::AcqRel);
    }

    /// Notes that somebody is given it now who begins a call.
    pub(crate) fn found(&self) {
        self.found.fetch_max(self.now().max(1), Ordering::AcqRel);
        self.touch();
    }

    /// Notes that the worker asked the host for something now.
    pub(crate) fn asked(&self) {
        self.asked.fetch_max(self.now().max(1), Ordering::AcqRel);
        self.touch();
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// When nobody uses it any more, unless somebody comes until then.
    pub(crate) fn settled_at(&self) -> Instant {
        let settled = self.last() + Self::SETTLED;
        self.busy_until().map_or(settled, |busy| busy.max(settled))
    }

    /// Waits until nobody uses it any more.
    pub(crate) async fn settled(&self) {
        loop {
            self.quiet().await;
            let settled = self.settled_at();
            if settled <= Instant::now() {
                return;
            }
            sleep_until(settled).await;
        }
    }

    /// Until when it is not idle because of what it asked for.
    pub(crate) fn busy_until(&self) -> Option<Instant> {
        match self.asked.load(Ordering::Acquire) {
            0 => None,
            asked => Some(self.origin + Duration::from_micros(asked) + self.after_asking),
        }
    }

    /// When whoever was given it has begun, and it has asked for what it needs for something that it has answered. The past
    /// for one that nobody has found lately, so that its end waits for nothing.
    pub(crate) fn free_at(&self) -> Instant {
        let moments = [&self.found, &self.answered, &self.asked].map(|at| at.load(Ordering::Acquire));
        match moments.into_iter().max() {
            None | Some(0) => self.origin,
            Some(latest) => self.origin + Duration::from_micros(latest) + Self::SETTLED,
        }
    }

    pub(crate) fn last(&self) -> Instant {
        self.origin + Duration::from_micros(self.last.load(Ordering::Acquire))
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Whether nothing was done for so long and nothing is being done.
    pub(crate) fn is_idle(&self, idle: Duration) -> bool {
        self.in_flight() == 0
            && self.last().elapsed() >= idle
            && self.busy_until().is_none_or(|until| until <= Instant::now())
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
    after: After,
}

/// What a worker may do for a call that it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Work,
    Nothing,
}

impl ActivityGuard {
    pub(crate) fn new(activity: &Arc<Activity>) -> Self {
        Self::begin(activity, After::Work)
    }

    /// Of a hook, which is all that there is to do.
    pub(crate) fn of_hook(activity: &Arc<Activity>) -> Self {
        Self::begin(activity, After::Nothing)
    }

    fn begin(activity: &Arc<Activity>, after: After) -> Self {
        activity.in_flight.fetch_add(1, Ordering::AcqRel);
        activity.touch();
        Self { activity: Arc::clone(activity), after }
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.activity.touch();
        if self.after == After::Work {
            self.activity.answered.fetch_max(self.activity.now().max(1), Ordering::AcqRel);
        }
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
        let activity = Activity::new(Duration::ZERO);
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

    #[tokio::test(start_paused = true)]
    async fn only_who_was_found_answered_or_asked_just_now_is_waited_for() {
        let activity = Activity::new(Duration::from_secs(30));
        let is_free = |activity: &Activity| activity.free_at() <= Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        activity.touch();
        drop(ActivityGuard::of_hook(&activity));
        assert!(is_free(&activity));
        let moments: [fn(&Arc<Activity>); 3] = [
            |activity| activity.found(),
            |activity| activity.asked(),
            |activity| drop(ActivityGuard::new(activity)),
        ];
        for happens in moments {
            happens(&activity);
            tokio::time::advance(Activity::SETTLED - Activity::PRECISION).await;
            assert!(!is_free(&activity));
            tokio::time::advance(Activity::PRECISION).await;
            assert!(is_free(&activity));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_for_something_is_not_idle_for_a_while() {
        let activity = Activity::new(Duration::from_secs(30));
        assert!(activity.is_idle(Duration::ZERO));
        activity.asked();
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(!activity.is_idle(Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(activity.is_idle(Duration::from_secs(1)));
    }
}
