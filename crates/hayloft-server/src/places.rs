//! Places for what takes room for a long time, such as a stream: so many for all, and a share of them for each
//! organization, so that one that takes all of its own leaves the others theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hayloft_model::OrganizationId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    share: usize,
    taken: Arc<Mutex<HashMap<OrganizationId, usize>>>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    organization: OrganizationId,
    taken: Arc<Mutex<HashMap<OrganizationId, usize>>>,
    _one_of_all: OwnedSemaphorePermit,
}

impl Places {
    /// So many for all, and at most so many of them for one organization.
    pub(crate) fn new(all: usize, share: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), share, taken: Arc::default() }
    }

    /// A place for an organization, if one is free.
    pub(crate) fn take(&self, organization: OrganizationId) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&organization).copied().unwrap_or_default();
        if own >= self.share {
            return None;
        }
        let one_of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        taken.insert(organization, own + 1);
        Some(Place { organization, taken: Arc::clone(&self.taken), _one_of_all: one_of_all })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.organization) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.organization);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_all_of_their_own_leaves_the_others_theirs() {
        let organization = |n: u128| format!("org_{n:032x}").parse::<OrganizationId>().unwrap();
        let (greedy, other, third) = (organization(1), organization(2), organization(3));
        let places = Places::new(4, 2);
        let own: Vec<_> = std::iter::from_fn(|| places.take(greedy)).collect();
        assert_eq!(own.len(), 2);
        let others = [places.take(other), places.take(other)];
        assert!(others.iter().all(Option::is_some) && places.take(third).is_none());
        drop(own);
        assert!(places.take(third).is_some() && places.take(greedy).is_some());
        drop(others);
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
