//! How many workers are started at once, and how many by one organization.
//!
//! A start has a slot until its plugin is loaded. What takes longer than a moment gives it back as soon as it rests: it
//! waits for something and needs no processor, so a plugin that never loads holds up nobody. While it uses the processor
//! it keeps its slot, or on a busy machine ever more would be loaded at once, each slower than the one before, until none
//! comes up in time; but not for long, since code that computes without end looks the same. Of all slots an organization
//! has half, and no more starts in a while than its allowance: a storm of its own workers, that crash or are restarted,
//! costs it alone.

use std::collections::HashMap;
use std::time::Duration;

use hayloft_model::{OrganizationId, WorkerId};
use tokio::time::Instant;

use crate::StartLimits;

/// So many times as long as one that rests keeps its slot, one keeps it that uses the processor.
const BUSY: u32 = 5;

/// Within the time of a slot it is looked so often whether one rests whose time is over.
const LOOKS: u32 = 4;

/// What is being started, and what each organization has started lately.
#[derive(Debug)]
pub(crate) struct Slots {
    limits: StartLimits,
    taken: HashMap<WorkerId, Slot>,
    /// When all that an organization has spent will have come back.
    whole: HashMap<OrganizationId, Instant>,
}

/// What a start has until its plugin is loaded.
#[derive(Debug)]
struct Slot {
    organization: Option<OrganizationId>,
    /// It is asked then whether the worker rests.
    look: Instant,
    /// It is over then, whatever the worker does.
    end: Instant,
}

impl Slots {
    pub(crate) fn new(limits: StartLimits) -> Self {
        Self { limits, taken: HashMap::new(), whole: HashMap::new() }
    }

    /// Whether this organization may start another worker now.
    pub(crate) fn are_free_for(&self, organization: Option<OrganizationId>, now: Instant) -> bool {
        self.wait_of(organization, now).is_none()
    }

    /// When that is worth asking again, if it is not now. A slot that is given back is said beside that.
    pub(crate) fn wait_of(&self, organization: Option<OrganizationId>, now: Instant) -> Option<Instant> {
        let at_once = self.limits.at_once.get();
        let own = self.taken.values().filter(|slot| slot.organization == organization).map(|slot| slot.look);
        let by_slot = if self.taken.len() >= at_once {
            self.taken.values().map(|slot| slot.look).min()
        } else if own.clone().count() >= at_once.div_ceil(2) {
            own.min()
        } else {
            None
        };
        by_slot.max(self.allowance_due(organization, now))
    }

    /// Whether this organization has an allowance now, whatever is being started.
    pub(crate) fn has_allowance(&self, organization: Option<OrganizationId>, now: Instant) -> bool {
        self.allowance_due(organization, now).is_none()
    }

    /// When it has one again, if it has none.
    fn allowance_due(&self, organization: Option<OrganizationId>, now: Instant) -> Option<Instant> {
        let ahead = self.interval() * self.limits.burst.get().saturating_sub(1);
        let whole = organization.and_then(|organization| self.whole.get(&organization));
        whole.and_then(|whole| whole.checked_sub(ahead)).filter(|due| *due > now)
    }

    /// Whether nothing is being started.
    pub(crate) fn are_unused(&self) -> bool {
        self.taken.is_empty()
    }

    /// Gives a start its slot.
    pub(crate) fn take(&mut self, worker: WorkerId, organization: Option<OrganizationId>, now: Instant) {
        let (look, end) = (now + self.limits.slot, now + self.limits.slot * BUSY);
        self.taken.insert(worker, Slot { organization, look, end });
        if let Some(organization) = organization {
            self.charge(organization, now);
        }
    }

    /// Notes that an organization got a worker, be it one for which no slot was needed.
    pub(crate) fn charge(&mut self, organization: OrganizationId, now: Instant) {
        // What has come back whole needs not be remembered.
        self.whole.retain(|_, whole| *whole > now);
        let interval = self.interval();
        let whole = self.whole.entry(organization).or_insert(now);
        *whole = (*whole).max(now) + interval;
    }

    /// Takes back the slot of a worker that is loaded, or gone.
    pub(crate) fn give_back(&mut self, worker: WorkerId) {
        self.taken.remove(&worker);
    }

    /// Takes back the slots whose time is over, but for those of workers that are at work.
    pub(crate) fn end_overdue(&mut self, now: Instant, rests: impl Fn(WorkerId) -> bool) {
        let pause = self.limits.slot / LOOKS;
        self.taken.retain(|worker, slot| {
            if slot.look > now {
                return true;
            }
            slot.look = (now + pause).min(slot.end);
            slot.end > now && !rests(*worker)
        });
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.limits.rate.get()
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroUsize};

    use super::*;

    fn slots(at_once: usize, burst: u32) -> Slots {
        Slots::new(StartLimits {
            at_once: NonZeroUsize::new(at_once).unwrap(),
            slot: Duration::from_secs(1),
            rate: NonZeroU32::new(2).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        })
    }

    fn organization(number: u8) -> Option<OrganizationId> {
        Some(format!("org_{number:032x}").parse().unwrap())
    }

    fn worker(number: u8) -> WorkerId {
        format!("wrk_{number:032x}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_organization_has_half_of_the_slots() {
        let (mut slots, now) = (slots(4, 100), Instant::now());
        slots.take(worker(1), organization(1), now);
        slots.take(worker(2), organization(1), now);
        assert!(!slots.are_free_for(organization(1), now));
        assert!(slots.are_free_for(organization(2), now) && slots.are_free_for(None, now));
        slots.take(worker(3), organization(2), now);
        slots.take(worker(4), None, now);
        assert_eq!(slots.wait_of(organization(2), now), Some(now + Duration::from_secs(1)));
        slots.give_back(worker(1));
        assert!(slots.are_free_for(organization(1), now));
        // A single slot is everybody's.
        assert!(self::slots(1, 1).are_free_for(organization(1), now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_hangs_gives_its_slot_back() {
        let (mut slots, now) = (slots(1, 100), Instant::now());
        slots.take(worker(1), organization(1), now);
        slots.end_overdue(now, |_| true);
        let due = slots.wait_of(organization(2), now).unwrap();
        assert_eq!(due, now + Duration::from_secs(1));
        slots.end_overdue(due, |_| true);
        assert!(slots.are_free_for(organization(2), due));
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_needs_the_processor_keeps_its_slot_until_it_rests() {
        for rests_after in [2.6, 60.0] {
            let (mut slots, begun) = (slots(1, 100), Instant::now());
            slots.take(worker(1), organization(1), begun);
            let mut now = begun;
            while let Some(due) = slots.wait_of(organization(2), now) {
                assert!(due > now, "it is not looked again and again in the same moment");
                now = due;
                slots.end_overdue(now, |_| (now - begun).as_secs_f64() >= rests_after);
            }
            // What computes for ever keeps it no longer than this.
            let kept = if rests_after < 5.0 { 2.75 } else { 5.0 };
            assert_eq!((now - begun).as_secs_f64(), kept, "it rests after {rests_after} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn starts_of_one_organization_are_paced() {
        let (mut slots, begun) = (slots(2, 3), Instant::now());
        let mut now = begun;
        for number in 0..7 {
            if let Some(due) = slots.wait_of(organization(1), now) {
                now = due;
            }
            slots.take(worker(number), organization(1), now);
            slots.give_back(worker(number));
        }
        // Three at once, and four more at two a second.
        assert_eq!(now - begun, Duration::from_secs(2));
        assert!(slots.are_free_for(organization(2), begun));
        // What was not spent comes back, up to the burst.
        let later = now + Duration::from_secs(60);
        for number in 0..3 {
            assert!(slots.are_free_for(organization(1), later));
            slots.take(worker(number), organization(1), later);
            slots.give_back(worker(number));
        }
        assert!(!slots.are_free_for(organization(1), later));
        assert_eq!(slots.whole.len(), 1);
    }
}
