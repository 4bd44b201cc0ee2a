//! How fast the calls of one plugin in one organization may follow each other, where the operator says so: its tools,
//! resources and prompts, routes and procedures together. How many of them run at once is each organization's share.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hayloft_model::InstanceKey;

use super::shares::CallLimits;

/// A call that comes before its time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooSoon {
    /// When one may come again.
    pub(crate) retry_after: Duration,
}

/// The rates of all plugins that were ever called.
pub(crate) struct Rates {
    /// Nothing, where every call may come.
    quota: Option<Quota>,
    clock: DefaultClock,
    plugins: RwLock<HashMap<InstanceKey, Arc<DefaultDirectRateLimiter>>>,
}

impl Rates {
    pub(crate) fn new(limits: CallLimits) -> Self {
        let quota =
            NonZeroU32::new(limits.rate).map(|rate| Quota::per_second(rate).allow_burst(limits.burst));
        Self { quota, clock: DefaultClock::default(), plugins: RwLock::default() }
    }

    /// Counts a call.
    pub(crate) fn take(&self, key: &InstanceKey) -> Result<(), TooSoon> {
        let Some(quota) = self.quota else { return Ok(()) };
        self.of(key, quota).check().map_err(|until| {
            metrics::counter!("hayloft_calls_too_soon_total").increment(1);
            TooSoon { retry_after: until.wait_time_from(self.clock.now()) }
        })
    }

    fn of(&self, key: &InstanceKey, quota: Quota) -> Arc<DefaultDirectRateLimiter> {
        let known = self.plugins.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = known.get(key) {
            return Arc::clone(rate);
        }
        drop(known);
        let mut plugins = self.plugins.write().unwrap_or_else(PoisonError::into_inner);
        let rate = plugins.entry(key.clone()).or_insert_with(|| Arc::new(RateLimiter::direct(quota)));
        Arc::clone(rate)
    }

    /// Forgets a plugin of an organization that is removed.
    pub(crate) fn forget(&self, key: &InstanceKey) {
        self.plugins.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use hayloft_model::OrganizationId;

    use super::*;

    fn key(organization: u128, plugin: &str) -> InstanceKey {
        let organization = OrganizationId::from_uuid(uuid::Uuid::from_u128(organization));
        InstanceKey { organization, plugin: plugin.parse().unwrap() }
    }

    fn rates(rate: u32, burst: u32) -> Rates {
        Rates::new(CallLimits { rate, burst: NonZeroU32::new(burst).unwrap(), ..CallLimits::default() })
    }

    #[test]
    fn beyond_the_burst_each_plugin_of_each_organization_waits_for_itself() {
        // So slow that nothing comes back while this runs.
        let rates = rates(1, 3);
        let hour = Duration::from_secs(3600);
        for key in [key(1, "a"), key(1, "b"), key(2, "a")] {
            for _ in 0..3 {
                assert_eq!(rates.take(&key), Ok(()));
            }
            let TooSoon { retry_after } = rates.take(&key).unwrap_err();
            assert!(retry_after > Duration::ZERO && retry_after < hour, "{retry_after:?}");
        }
        rates.forget(&key(1, "a"));
        assert_eq!(rates.take(&key(1, "a")), Ok(()));
        assert!(rates.take(&key(1, "b")).is_err());
    }

    #[test]
    fn without_a_rate_every_call_comes() {
        let rates = rates(0, 1);
        assert!((0..1000).all(|_| rates.take(&key(1, "a")).is_ok()));
    }
}
