//! Results of tools that only read, kept for a while so that the same question is not asked twice.
//!
//! Only where the operator or the organization switched it on. A result is found by everything that it depends on:
//! organization, plugin, its content, the revision of its settings, server, tool and arguments. What goes wrong is never
//! kept, and whatever changes an instance forgets its results. Each organization has room of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hayloft_mcp::{is_error_result, with_meta};
use hayloft_model::{ContentHash, InstanceKey, OrganizationId, PluginId, Revision, ServerId};
use moka::Expiry;
use moka::sync::Cache;
use serde_json::value::RawValue;

mod holds;
mod options;

pub(crate) use holds::Holds;
pub use options::{ResultCacheOptions, ResultCaching};

/// What a result that was kept carries in its `_meta`: an object with `ageSeconds`.
const TOLD_IN: &str = "hayloft/cache";

/// What an entry takes beside its texts, in bytes.
const OVERHEAD: usize = 512;

/// Everything that a result depends on, within its organization.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResultKey {
    pub(crate) plugin: PluginId,
    pub(crate) content: ContentHash,
    pub(crate) revision: Revision,
    pub(crate) server: ServerId,
    pub(crate) tool: String,
    pub(crate) arguments: String,
}

struct Kept {
    result: Box<RawValue>,
    since: Instant,
    time: Duration,
}

struct UntilItsTime;

impl Expiry<ResultKey, Arc<Kept>> for UntilItsTime {
    fn expire_after_create(&self, _: &ResultKey, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
        Some(kept.time)
    }

    fn expire_after_update(
        &self,
        _: &ResultKey,
        kept: &Arc<Kept>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.time)
    }
}

/// The room of one organization.
struct Room {
    results: Cache<ResultKey, Arc<Kept>>,
    /// Counts what was forgotten, so that an answer to an older question is not kept.
    forgotten: AtomicU64,
    used: AtomicU64,
}

/// The results of all organizations.
pub(crate) struct ResultCache {
    options: ResultCacheOptions,
    chosen: RwLock<HashMap<OrganizationId, ResultCaching>>,
    rooms: RwLock<HashMap<OrganizationId, Arc<Room>>>,
    uses: AtomicU64,
}

/// What a look gave.
pub(crate) enum Looked {
    /// A result that holds, marked as kept.
    Found(Box<RawValue>),
    /// Nothing; the result may be put here.
    Free(Slot),
}

/// Where the result of a call belongs.
pub(crate) struct Slot {
    room: Arc<Room>,
    key: ResultKey,
    forgotten: u64,
    time: Duration,
}

impl ResultCache {
    pub(crate) fn new(
        options: ResultCacheOptions,
        chosen: impl IntoIterator<Item = (OrganizationId, ResultCaching)>,
    ) -> Self {
        Self {
            options,
            chosen: RwLock::new(chosen.into_iter().collect()),
            rooms: RwLock::default(),
            uses: AtomicU64::new(0),
        }
    }

    /// What the organization chose, if it did.
    pub(crate) fn chosen(&self, organization: OrganizationId) -> Option<ResultCaching> {
        self.chosen.read().unwrap_or_else(PoisonError::into_inner).get(&organization).copied()
    }

    /// What counts for an organization.
    pub(crate) fn caching(&self, organization: OrganizationId) -> ResultCaching {
        self.chosen(organization).unwrap_or(self.options.default)
    }

    /// Takes over what an organization chose, and forgets all of its results.
    pub(crate) fn choose(&self, organization: OrganizationId, caching: Option<ResultCaching>) {
        {
            let mut chosen = self.chosen.write().unwrap_or_else(PoisonError::into_inner);
            match caching {
                Some(caching) => chosen.insert(organization, caching),
                None => chosen.remove(&organization),
            };
        }
        let room = self.rooms.write().unwrap_or_else(PoisonError::into_inner).remove(&organization);
        if let Some(room) = room {
            room.forgotten.fetch_add(1, Ordering::AcqRel);
            room.results.invalidate_all();
        }
    }

    /// Looks for a result. The caller has made sure that the organization wants it and the tool allows it.
    pub(crate) fn look(&self, organization: OrganizationId, key: ResultKey, holds: Holds) -> Option<Looked> {
        let time = match holds {
            Holds::Never => return None,
            Holds::Usual => self.options.time,
            Holds::For(time) => time,
        };
        let room = self.room(organization);
        // Read before the look: what is forgotten from now on is not put back.
        let forgotten = room.forgotten.load(Ordering::Acquire);
        match room.results.get(&key) {
            Some(kept) => {
                metrics::counter!("hayloft_cache_hits_total").increment(1);
                let age = format!(r#"{{"ageSeconds":{}}}"#, kept.since.elapsed().as_secs());
                Some(Looked::Found(with_meta(&kept.result, TOLD_IN, &age)))
            }
            None => {
                metrics::counter!("hayloft_cache_misses_total").increment(1);
                Some(Looked::Free(Slot { room, key, forgotten, time }))
            }
        }
    }

    /// Forgets what is known of an instance: its settings, its code or its tools are others, or it is off.
    pub(crate) fn forget(&self, instance: &InstanceKey) {
        let room = {
            let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
            rooms.get(&instance.organization).map(Arc::clone)
        };
        let Some(room) = room else { return };
        room.forgotten.fetch_add(1, Ordering::AcqRel);
        let plugin = instance.plugin.clone();
        // Without leave to do so nothing could be told apart, and then all of it goes.
        if room.results.invalidate_entries_if(move |key, _| key.plugin == plugin).is_err() {
            room.results.invalidate_all();
        }
    }

    fn room(&self, organization: OrganizationId) -> Arc<Room> {
        let now = self.uses.fetch_add(1, Ordering::Relaxed);
        let known = {
            let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
            rooms.get(&organization).map(Arc::clone)
        };
        let room = known.unwrap_or_else(|| self.make_room(organization));
        room.used.store(now, Ordering::Relaxed);
        room
    }

    fn make_room(&self, organization: OrganizationId) -> Arc<Room> {
        let options = &self.options;
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get(&organization) {
            return Arc::clone(room);
        }
        let most =
            usize::try_from(options.bytes / options.bytes_per_organization.max(1)).unwrap_or(usize::MAX);
        while rooms.len() >= most.max(1) {
            let oldest = rooms.iter().min_by_key(|(_, room)| room.used.load(Ordering::Relaxed));
            let Some(oldest) = oldest.map(|(organization, _)| *organization) else { break };
            rooms.remove(&oldest);
        }
        let least = options.bytes_per_organization / options.entries_per_organization.max(1);
        let results = Cache::builder()
            .max_capacity(options.bytes_per_organization)
            // That each entry counts for so much at least bounds their number as well.
            .weigher(move |key: &ResultKey, kept: &Arc<Kept>| {
                let bytes = key.arguments.len() + key.tool.len() + kept.result.get().len() + OVERHEAD;
                u32::try_from(u64::try_from(bytes).unwrap_or(u64::MAX).max(least)).unwrap_or(u32::MAX)
            })
            .expire_after(UntilItsTime)
            .support_invalidation_closures()
            .build();
        let room = Room { results, forgotten: AtomicU64::new(0), used: AtomicU64::new(0) };
        Arc::clone(rooms.entry(organization).or_insert(Arc::new(room)))
    }
}

impl Slot {
    /// Keeps the result that a worker with these settings gave, unless it says that something went wrong, or something
    /// was changed since it was asked for.
    pub(crate) fn keep(self, revision: Revision, result: &RawValue) {
        let current = self.forgotten == self.room.forgotten.load(Ordering::Acquire);
        if !current || revision != self.key.revision || is_error_result(result) {
            return;
        }
        let kept = Kept { result: result.to_owned(), since: Instant::now(), time: self.time };
        self.room.results.insert(self.key.clone(), Arc::new(kept));
        // Whoever forgot meanwhile may have done so before the result was there.
        if self.forgotten != self.room.forgotten.load(Ordering::Acquire) {
            self.room.results.invalidate(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn organization(number: u128) -> OrganizationId {
        OrganizationId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn key(arguments: &str) -> ResultKey {
        ResultKey {
            plugin: "p".parse().unwrap(),
            content: ContentHash::from_bytes([1; 32]),
            revision: Revision(1),
            server: "s".parse().unwrap(),
            tool: "t".into(),
            arguments: arguments.to_owned(),
        }
    }

    fn cache(options: ResultCacheOptions) -> ResultCache {
        ResultCache::new(options, [])
    }

    fn slot(cache: &ResultCache, organization: OrganizationId, key: ResultKey) -> Slot {
        match cache.look(organization, key, Holds::Usual) {
            Some(Looked::Free(slot)) => slot,
            Some(Looked::Found(result)) => panic!("found {result}"),
            None => panic!("not looked for"),
        }
    }

    fn found(cache: &ResultCache, organization: OrganizationId, key: ResultKey) -> Option<String> {
        match cache.look(organization, key, Holds::Usual) {
            Some(Looked::Found(result)) => Some(result.get().to_owned()),
            Some(Looked::Free(_)) | None => None,
        }
    }

    #[test]
    fn a_result_is_found_by_all_that_it_depends_on_and_by_nothing_less() {
        let cache = cache(ResultCacheOptions::default());
        let (one, two) = (organization(1), organization(2));
        slot(&cache, one, key("{}")).keep(Revision(1), &raw(r#"{"content":[ 1 ]}"#));
        assert_eq!(
            found(&cache, one, key("{}")).unwrap(),
            r#"{"content":[ 1 ],"_meta":{"hayloft/cache":{"ageSeconds":0}}}"#
        );
        assert_eq!(found(&cache, two, key("{}")), None);
        let others = [
            ResultKey { plugin: "q".parse().unwrap(), ..key("{}") },
            ResultKey { content: ContentHash::from_bytes([2; 32]), ..key("{}") },
            ResultKey { revision: Revision(2), ..key("{}") },
            ResultKey { server: "r".parse().unwrap(), ..key("{}") },
            ResultKey { tool: "u".into(), ..key("{}") },
            key(r#"{"a":1}"#),
        ];
        for other in others {
            assert_eq!(found(&cache, one, other.clone()), None, "{other:?}");
        }
    }

    #[test]
    fn what_went_wrong_or_is_of_other_settings_is_not_kept() {
        let (cache, one) = (cache(ResultCacheOptions::default()), organization(1));
        slot(&cache, one, key("{}")).keep(Revision(1), &raw(r#"{"content":[],"isError":true}"#));
        slot(&cache, one, key("{}")).keep(Revision(2), &raw(r#"{"content":[]}"#));
        assert_eq!(found(&cache, one, key("{}")), None);
    }

    #[test]
    fn what_changes_an_instance_forgets_its_results_and_those_still_on_their_way() {
        let (cache, one) = (cache(ResultCacheOptions::default()), organization(1));
        let other = || ResultKey { plugin: "q".parse().unwrap(), ..key("{}") };
        slot(&cache, one, key("{}")).keep(Revision(1), &raw("{}"));
        slot(&cache, one, other()).keep(Revision(1), &raw("{}"));
        let on_its_way = slot(&cache, one, key("[1]"));
        cache.forget(&InstanceKey { organization: one, plugin: "p".parse().unwrap() });
        on_its_way.keep(Revision(1), &raw("{}"));
        assert_eq!(found(&cache, one, key("{}")), None);
        assert_eq!(found(&cache, one, key("[1]")), None);
        assert!(found(&cache, one, other()).is_some());

        let on_its_way = slot(&cache, one, key("[2]"));
        cache.choose(one, Some(ResultCaching::On));
        on_its_way.keep(Revision(1), &raw("{}"));
        assert_eq!(found(&cache, one, other()), None);
        assert_eq!(found(&cache, one, key("[2]")), None);
    }

    #[test]
    fn a_result_holds_for_its_time() {
        let options = ResultCacheOptions { time: Duration::from_nanos(1), ..ResultCacheOptions::default() };
        let (cache, one) = (cache(options), organization(1));
        slot(&cache, one, key("{}")).keep(Revision(1), &raw("{}"));
        // A nanosecond has passed as soon as the clock says anything else.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(1) {}
        assert_eq!(found(&cache, one, key("{}")), None);
    }

    #[test]
    fn room_is_bounded_in_bytes_entries_and_organizations() {
        let options = ResultCacheOptions {
            bytes_per_organization: 100_000,
            entries_per_organization: 10,
            bytes: 200_000,
            ..ResultCacheOptions::default()
        };
        let cache = cache(options);
        let fill = |organization, size: usize| {
            for number in 0..50 {
                let result = raw(&format!(r#"{{"content":["{}"]}}"#, "x".repeat(size)));
                slot(&cache, organization, key(&format!("{size}/{number}"))).keep(Revision(1), &result);
            }
            let room = cache.room(organization);
            room.results.run_pending_tasks();
            (room.results.entry_count(), room.results.weighted_size())
        };
        assert!(fill(organization(1), 1).0 <= 10);
        let (entries, bytes) = fill(organization(2), 40_000);
        assert!(entries <= 2 && bytes <= 100_000, "{entries} {bytes}");
        fill(organization(3), 1);
        let rooms = cache.rooms.read().unwrap();
        assert_eq!(rooms.len(), 2);
        assert!(!rooms.contains_key(&organization(1)), "it was used least lately");
    }

    #[test]
    fn an_organization_counts_more_than_the_operator() {
        let cache = cache(ResultCacheOptions { default: ResultCaching::On, ..ResultCacheOptions::default() });
        let one = organization(1);
        assert_eq!((cache.chosen(one), cache.caching(one)), (None, ResultCaching::On));
        cache.choose(one, Some(ResultCaching::Off));
        assert_eq!((cache.chosen(one), cache.caching(one)), (Some(ResultCaching::Off), ResultCaching::Off));
        cache.choose(one, None);
        assert_eq!(cache.caching(one), ResultCaching::On);
    }
}
