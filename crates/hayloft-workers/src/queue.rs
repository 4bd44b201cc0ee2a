//! Who may wait for a start: a bounded number of calls per organization, so that one organization's rush neither grows
//! the host nor takes another one's place. It knows how long calls wait, so that those who are sent away can be told.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hayloft_model::OrganizationId;
use metrics::{gauge, histogram};
use tokio::time::Instant;

use crate::{QueueLimits, Unavailable};

/// Of what is expected, a call that has just waited says so much: one part in four.
const WEIGHT: u32 = 4;

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
    /// How long calls waited lately.
    lately: Duration,
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
    /// As long as others waited lately, and no less than the one has waited already that comes first.
    fn expected(&self, organization: OrganizationId) -> Duration {
        let first = self.since.get(&organization).and_then(|since| since.first_key_value());
        let longest = first.map_or(Duration::ZERO, |(_, since)| since.elapsed());
        self.lately.max(longest).max(SOONEST)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let waited = self.since.elapsed();
        gauge!("hayloft_queue_depth").decrement(1);
        histogram!("hayloft_queue_wait_seconds").record(waited.as_secs_f64());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.lately = (waiting.lately * (WEIGHT - 1) + waited) / WEIGHT;
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

    #[tokio::test(start_paused = true)]
    async fn what_is_expected_is_what_others_wait() {
        let queue = queue();
        let first = queue.enter(organization(1)).unwrap();
        let second = queue.enter(organization(1)).unwrap();
        tokio::time::advance(Duration::from_secs(20)).await;
        let full = queue.enter(organization(1)).unwrap_err();
        assert_eq!(full.retry_after(), Some(Duration::from_secs(20)));
        // Nobody of another organization has waited yet.
        assert_eq!(queue.expected(organization(2)), SOONEST);
        drop((first, second));
        let lately = queue.expected(organization(2));
        assert!(lately > Duration::from_secs(8) && lately < Duration::from_secs(20), "{lately:?}");
        for _ in 0..30 {
            drop(queue.enter(organization(1)).unwrap());
        }
        assert_eq!(queue.expected(organization(2)), SOONEST);
    }
}
