//! Who may wait for a start: a bounded number of calls per organization, so that one organization's rush neither grows
//! the host nor takes another one's place. It knows how long an organization's calls wait, so that those of its calls that
//! are sent away can be told.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hayloft_model::OrganizationId;
use metrics::{gauge, histogram};
use tokio::time::Instant;

use crate::{QueueLimits, Unavailable};

/// Of what is expected, a call that has just waited says so much: one part in four.
const WEIGHT: u32 = 4;

/// What nobody has waited for any more since then says nothing of those who come now.
const LATELY: Duration = Duration::from_secs(300);

/// Nobody is told to come back earlier.
const SOONEST: Duration = Duration::from_secs(1);

/// The places of all organizations.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) limits: QueueLimits,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// When those began to wait who wait now, oldest first, by organization.
    since: HashMap<OrganizationId, BTreeMap<u64, Instant>>,
    /// How many ever waited.
    number: u64,
    /// How long calls waited lately until they had a worker or their time was over, and when the last of them did, by
    /// organization: what one waits for says nothing of another's plugins.
    lately: HashMap<OrganizationId, (Duration, Instant)>,
}

/// A place, held as long as its owner waits.
#[derive(Debug)]
pub(crate) struct Place {
    organization: OrganizationId,
    number: u64,
    since: Instant,
    waiting: Arc<Mutex<Waiting>>,
}

impl Queue {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self { limits, waiting: Arc::default() }
    }

    pub(crate) fn enter(&self, organization: OrganizationId) -> Result<Place, Unavailable> {
        let limit = self.limits.per_organization;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.since.get(&organization).is_some_and(|since| since.len() >= limit) || limit == 0 {
            return Err(Unavailable::QueueFull { limit, retry_after: waiting.expected(organization) });
        }
        let (number, since) = (waiting.number, Instant::now());
        waiting.number += 1;
        waiting.since.entry(organization).or_default().insert(number, since);
        gauge!("hayloft_queue_depth").increment(1);
        Ok(Place { organization, number, since, waiting: Arc::clone(&self.waiting) })
    }

    /// How long a call of this organization is expected to wait.
    pub(crate) fn expected(&self, organization: OrganizationId) -> Duration {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).expected(organization)
    }
}

impl Waiting {
    /// As long as others of it waited lately, and no less than the one has waited already that comes first. How many are
    /// ahead says no more: those who wait for the same plugin wait for one start.
    fn expected(&self, organization: OrganizationId) -> Duration {
        let first = self.since.get(&organization).and_then(|since| since.first_key_value());
        let longest = first.map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let lately = self.lately.get(&organization).filter(|(_, at)| at.elapsed() < LATELY);
        lately.map_or(Duration::ZERO, |(lately, _)| *lately).max(longest).max(SOONEST)
    }

    fn note(&mut self, organization: OrganizationId, waited: Duration) {
        self.lately.retain(|_, (_, at)| at.elapsed() < LATELY);
        let now = Instant::now();
        let (lately, at) = self.lately.entry(organization).or_insert((waited, now));
        (*lately, *at) = ((*lately * (WEIGHT - 1) + waited) / WEIGHT, now);
    }
}

impl Place {
    /// Gives it back after what it was held for: there is a worker, or there was none in time. Whoever was refused one, or
    /// went away, drops it, and that says nothing of how long others wait.
    pub(crate) fn served(self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.note(self.organization, self.since.elapsed());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let waited = self.since.elapsed();
        gauge!("hayloft_queue_depth").decrement(1);
        histogram!("hayloft_queue_wait_seconds").record(waited.as_secs_f64());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = waiting.since.get_mut(&self.organization) {
            since.remove(&self.number);
            if since.is_empty() {
                waiting.since.remove(&self.organization);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization(number: u8) -> OrganizationId {
        format!("org_{number:032x}").parse().unwrap()
    }

    fn queue() -> Queue {
        Queue::new(QueueLimits { per_organization: 2, deadline: Duration::from_secs(1) })
    }

    #[tokio::test(start_paused = true)]
    async fn an_organization_fills_only_its_own_places() {
        let queue = queue();
        let first = queue.enter(organization(1)).unwrap();
        let second = queue.enter(organization(1)).unwrap();
        let full = Unavailable::QueueFull { limit: 2, retry_after: SOONEST };
        assert_eq!(queue.enter(organization(1)).unwrap_err(), full);
        assert!(queue.enter(organization(2)).is_ok());
        drop(first);
        assert!(queue.enter(organization(1)).is_ok());
        drop(second);
        assert!(queue.waiting.lock().unwrap().since.is_empty());
    }

    /// A call waits for so many seconds, and then has a worker.
    async fn waits(queue: &Queue, of: u8, seconds: u64) {
        let place = queue.enter(organization(of)).unwrap();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        place.served();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_expected_is_what_others_of_the_organization_wait() {
        let queue = queue();
        let expected = |of| queue.expected(organization(of)).as_secs_f64();
        assert_eq!(expected(1), 1.0);
        waits(&queue, 1, 20).await;
        assert_eq!((expected(1), expected(2)), (20.0, 1.0));
        waits(&queue, 1, 4).await;
        assert_eq!(expected(1), 16.0);
        // No less than the one has waited already that comes first.
        let places: Vec<_> = (0..2).map(|_| queue.enter(organization(1)).unwrap()).collect();
        tokio::time::advance(Duration::from_secs(18)).await;
        let full = queue.enter(organization(1)).unwrap_err();
        assert_eq!(full.retry_after(), Some(Duration::from_secs(18)));
        for place in places {
            place.served();
        }
        assert_eq!(expected(1), 16.875);
        assert!(queue.waiting.lock().unwrap().since.is_empty());
        // What was long ago is forgotten.
        tokio::time::advance(LATELY).await;
        assert_eq!(expected(1), 1.0);
        waits(&queue, 2, 0).await;
        assert_eq!(queue.waiting.lock().unwrap().lately.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_at_once_or_goes_away_says_nothing_of_how_long_others_wait() {
        let queue = queue();
        waits(&queue, 1, 20).await;
        for _ in 0..100 {
            drop(queue.enter(organization(1)).unwrap());
        }
        assert_eq!(queue.expected(organization(1)), Duration::from_secs(20));
    }
}
