//! Each organization's share of the calls that run at once, so that one organization's thousand calls never stand before
//! another's first. Beyond its share, calls of an organization wait in the order in which they came.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hayloft_model::OrganizationId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How many calls an organization may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Of one of its plugins in a second; 0 for as many as come.
    pub rate: u32,
    /// So many of those at once, after a while of quiet.
    pub burst: NonZeroU32,
    /// Running at once.
    pub at_once: usize,
    /// Waiting to run.
    pub waiting: usize,
    /// How long one waits at most.
    pub wait: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        let burst = NonZeroU32::MIN.saturating_add(99);
        Self { rate: 0, burst, at_once: 256, waiting: 4096, wait: Duration::from_secs(30) }
    }
}

/// Why a call does not run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// The organization has too many calls already.
    Busy {
        /// How many of them wait.
        waiting: usize,
        /// When there is room, as it looks.
        retry_after: Duration,
    },
    /// Nobody waits for it any more.
    Cancelled,
}

/// The shares of all organizations that ever called. An entry is a few words, and organizations are never deleted.
pub(crate) struct Shares {
    limits: CallLimits,
    organizations: RwLock<HashMap<OrganizationId, Arc<Share>>>,
}

struct Share {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// How long a call takes, as a moving average in microseconds.
    usual: AtomicU64,
}

/// A call that runs. Dropping it makes room for the next.
pub(crate) struct CallTurn {
    share: Arc<Share>,
    begun: Instant,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Shares {
    pub(crate) fn new(limits: CallLimits) -> Self {
        let limits = CallLimits { at_once: limits.at_once.max(1), ..limits };
        Self { limits, organizations: RwLock::default() }
    }

    /// Waits for room in the organization's share. What is cancelled meanwhile gives its place in the queue up.
    pub(crate) async fn take(
        &self,
        organization: OrganizationId,
        cancelled: &CancellationToken,
    ) -> Result<CallTurn, NoTurn> {
        let share = self.of(organization);
        // Those who wait are served first: a turn that is given back goes to them and is never free in between.
        if let Ok(permit) = Arc::clone(&share.turns).try_acquire_owned() {
            return Ok(CallTurn::new(share, Some(permit)));
        }
        let Some(_place) = share.queue(self.limits.waiting) else { return Err(self.refuse(&share)) };
        let turn = tokio::time::timeout(self.limits.wait, Arc::clone(&share.turns).acquire_owned());
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(NoTurn::Cancelled),
            turn = turn => match turn {
                // The semaphore is never closed, so there always is a permit.
                Ok(permit) => Ok(CallTurn::new(Arc::clone(&share), permit.ok())),
                Err(_) => Err(self.refuse(&share)),
            },
        }
    }

    fn of(&self, organization: OrganizationId) -> Arc<Share> {
        let known = self.organizations.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = known.get(&organization) {
            return Arc::clone(share);
        }
        drop(known);
        let mut organizations = self.organizations.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(organizations.entry(organization).or_insert_with(|| {
            Arc::new(Share {
                turns: Arc::new(Semaphore::new(self.limits.at_once)),
                waiting: AtomicUsize::new(0),
                usual: AtomicU64::new(0),
            })
        }))
    }

    /// The time until those who wait now had their turn, in whole seconds to be told.
    fn refuse(&self, share: &Share) -> NoTurn {
        metrics::counter!("hayloft_tool_calls_refused_total").increment(1);
        let waiting = share.waiting.load(Ordering::Relaxed);
        let ahead = u64::try_from(waiting + 1).unwrap_or(u64::MAX);
        let at_once = u64::try_from(self.limits.at_once).unwrap_or(u64::MAX);
        let micros = share.usual.load(Ordering::Relaxed).saturating_mul(ahead) / at_once;
        let least = Duration::from_secs(1);
        let retry_after = Duration::from_micros(micros).clamp(least, self.limits.wait.max(least));
        NoTurn::Busy { waiting, retry_after }
    }
}

impl Share {
    /// A place in the queue, if there is one.
    fn queue(&self, most: usize) -> Option<Place<'_>> {
        let more = |waiting| (waiting < most).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        metrics::gauge!("hayloft_tool_calls_waiting").increment(1);
        Some(Place(self))
    }
}

struct Place<'a>(&'a Share);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("hayloft_tool_calls_waiting").decrement(1);
    }
}

impl CallTurn {
    fn new(share: Arc<Share>, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { share, begun: Instant::now(), _permit: permit }
    }
}

impl Drop for CallTurn {
    fn drop(&mut self) {
        let took = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let usual = self.share.usual.load(Ordering::Relaxed);
        // Two calls that end at once may lose one of the two samples; it is an estimate.
        let usual = if usual == 0 { took } else { usual - usual / 8 + took / 8 };
        self.share.usual.store(usual, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;

    fn organization(number: u128) -> OrganizationId {
        OrganizationId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn shares(at_once: usize, waiting: usize) -> Shares {
        let wait = Duration::from_secs(30);
        Shares::new(CallLimits { at_once, waiting, wait, ..CallLimits::default() })
    }

    #[tokio::test]
    async fn a_full_share_holds_nobody_else_up() {
        let (shares, never) = (shares(2, 1000), CancellationToken::new());
        let _running = [
            shares.take(organization(1), &never).await.unwrap(),
            shares.take(organization(1), &never).await.unwrap(),
        ];
        let mut waiting: Vec<_> = (0..1000).map(|_| Box::pin(shares.take(organization(1), &never))).collect();
        for call in &mut waiting {
            assert!(poll!(call).is_pending());
        }
        let mut other = pin!(shares.take(organization(2), &never));
        assert!(poll!(&mut other).is_ready());
    }

    #[tokio::test]
    async fn those_who_wait_are_served_in_their_order_and_cannot_be_passed() {
        let (shares, never) = (shares(1, 10), CancellationToken::new());
        let running = shares.take(organization(1), &never).await.unwrap();
        let mut first = pin!(shares.take(organization(1), &never));
        let mut second = pin!(shares.take(organization(1), &never));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        drop(running);
        let mut late = pin!(shares.take(organization(1), &never));
        assert!(poll!(&mut late).is_pending(), "it came last");
        assert!(poll!(&mut second).is_pending());
        let first = first.await.unwrap();
        drop(first);
        drop(second.await.unwrap());
        drop(late.await.unwrap());
        assert_eq!(shares.of(organization(1)).waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_queue_and_after_its_time_calls_are_refused_with_a_pause() {
        let (shares, never) = (shares(1, 1), CancellationToken::new());
        let _running = shares.take(organization(1), &never).await.unwrap();
        shares.of(organization(1)).usual.store(4_000_000, Ordering::Relaxed);
        let mut waiting = pin!(shares.take(organization(1), &never));
        assert!(poll!(&mut waiting).is_pending());
        let refused = shares.take(organization(1), &never).await.err();
        assert_eq!(refused, Some(NoTurn::Busy { waiting: 1, retry_after: Duration::from_secs(8) }));
        // The clock goes on by itself while everybody waits.
        let expired = waiting.await.err();
        assert!(matches!(expired, Some(NoTurn::Busy { .. })), "{expired:?}");
    }

    #[tokio::test]
    async fn who_is_cancelled_gives_the_place_up() {
        let (shares, never, cancelled) = (shares(1, 1), CancellationToken::new(), CancellationToken::new());
        let running = shares.take(organization(1), &never).await.unwrap();
        let mut waiting = pin!(shares.take(organization(1), &cancelled));
        assert!(poll!(&mut waiting).is_pending());
        cancelled.cancel();
        assert_eq!(waiting.await.err(), Some(NoTurn::Cancelled));
        let mut next = pin!(shares.take(organization(1), &never));
        assert!(poll!(&mut next).is_pending(), "the place is free again");
        drop(running);
        assert!(next.await.is_ok());
    }
}
