//! Who may wait for a start: a bounded number of calls per organization, so that one organization's rush neither grows
//! the host nor takes another one's place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hayloft_model::OrganizationId;
use metrics::{gauge, histogram};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::{QueueLimits, Unavailable};

/// The places of all organizations.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) limits: QueueLimits,
    places: Mutex<HashMap<OrganizationId, Arc<Semaphore>>>,
}

/// A place, held as long as its owner waits.
#[derive(Debug)]
pub(crate) struct Place {
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Queue {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self { limits, places: Mutex::default() }
    }

    pub(crate) fn enter(&self, organization: OrganizationId) -> Result<Place, Unavailable> {
        let limit = self.limits.per_organization;
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits holds the semaphore too, so what only the map knows is free to go.
        places.retain(|other, free| *other == organization || free.available_permits() < limit);
        let free = places.entry(organization).or_insert_with(|| Arc::new(Semaphore::new(limit)));
        match Arc::clone(free).try_acquire_owned() {
            Ok(permit) => {
                gauge!("hayloft_queue_depth").increment(1);
                Ok(Place { since: Instant::now(), _permit: permit })
            }
            Err(_) => Err(Unavailable::QueueFull { limit }),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        gauge!("hayloft_queue_depth").decrement(1);
        histogram!("hayloft_queue_wait_seconds").record(self.since.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_organization_fills_only_its_own_places() {
        let organization = |number: u8| format!("org_{number:032x}").parse().unwrap();
        let queue = Queue::new(QueueLimits { per_organization: 2, deadline: Duration::from_secs(1) });
        let first = queue.enter(organization(1)).unwrap();
        let second = queue.enter(organization(1)).unwrap();
        assert_eq!(queue.enter(organization(1)).unwrap_err(), Unavailable::QueueFull { limit: 2 });
        assert!(queue.enter(organization(2)).is_ok());
        drop(first);
        assert!(queue.enter(organization(1)).is_ok());
        drop(second);
        let _ = queue.enter(organization(3));
        assert_eq!(queue.places.lock().unwrap().len(), 1);
    }
}
