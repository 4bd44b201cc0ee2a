//! What plugins used of the services that they asked for: noted for the audit trail, one line per instance and period.
//!
//! Workers count for themselves and may lie. What a lie can lead to is bounded: a line has the names of known services
//! and two numbers each, and there is at most one of them per instance and period however much is reported.
//!
//! What is in no line yet is kept in the store every [`KEPT_EVERY`], so a sudden end of the host takes no more than that.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hayloft_model::plugin::Service;
use hayloft_model::{Clock, InstanceKey, OrganizationId};
use hayloft_store::audit::NewAuditEntry;
use hayloft_store::capability_uses::KeptUses;
use hayloft_store::{DatabaseError, Store, WriteError};
use hayloft_workers::Refusal;
use hayloft_workers::protocol::{CapabilityUse, FailureReason};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Host;

/// How often what is in no line yet is kept: one transaction for all instances, while any of them uses something.
const KEPT_EVERY: Duration = Duration::from_secs(1);

/// What was reported and is in no line yet.
#[derive(Default)]
pub(crate) struct Uses {
    tallies: Mutex<HashMap<InstanceKey, Tally>>,
    reported: Notify,
}

/// What one instance used since a moment.
struct Tally {
    since: DateTime<Utc>,
    /// By service: allowed, refused.
    counts: HashMap<Service, (u64, u64)>,
    /// Whether the store does not know all of this.
    is_new: bool,
}

impl Tally {
    fn line(&self, key: &InstanceKey, until: DateTime<Utc>) -> NewAuditEntry {
        let used = Service::ALL.into_iter().filter_map(|service| {
            let (count, denied) = self.counts.get(&service)?;
            Some((service.to_string(), json!({ "count": count, "denied": denied })))
        });
        NewAuditEntry {
            actor: String::from("host"),
            action: String::from("capabilities.used"),
            subject: Some(key.plugin.to_string()),
            detail: json!({ "since": self.since, "until": until, "uses": used.collect::<Map<_, Value>>() }),
        }
    }

    fn kept(&self, key: &InstanceKey) -> KeptUses {
        let counts = self.counts.iter().map(|(service, counts)| (service.to_string(), json!(counts)));
        KeptUses::new(key.clone(), self.since, counts.collect::<Map<_, Value>>().into())
    }
}

impl Uses {
    fn add(
        &self,
        key: &InstanceKey,
        uses: impl IntoIterator<Item = (Service, u64, u64)>,
        since: DateTime<Utc>,
    ) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(key.clone()).or_insert_with(|| Tally {
            since,
            counts: HashMap::new(),
            is_new: true,
        });
        tally.is_new = true;
        tally.since = tally.since.min(since);
        for (service, count, denied) in uses {
            let counts = tally.counts.entry(service).or_default();
            counts.0 = counts.0.saturating_add(count);
            counts.1 = counts.1.saturating_add(denied);
        }
        drop(tallies);
        self.reported.notify_one();
    }

    /// Takes up what an earlier run of the host kept and told nobody.
    pub(crate) async fn recall(&self, store: &Store) -> Result<(), DatabaseError> {
        for KeptUses { key, since, counts } in store.capability_uses().all().await? {
            let of = |service: Service| {
                let counts = &counts[service.as_str()];
                Some((service, counts[0].as_u64()?, counts[1].as_u64()?))
            };
            self.add(&key, Service::ALL.into_iter().filter_map(of), since);
        }
        Ok(())
    }

    /// Keeps what the store does not know yet.
    async fn keep(&self, store: &Store) {
        let new: Vec<KeptUses> = {
            let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
            let new = |(key, tally): (&InstanceKey, &mut Tally)| {
                mem::take(&mut tally.is_new).then(|| tally.kept(key))
            };
            tallies.iter_mut().filter_map(new).collect()
        };
        if new.is_empty() {
            return;
        }
        let Err(error) = store.capability_uses().keep(&new).await else { return };
        tracing::error!(%error, "what plugins used could not be kept; it is tried again");
        if let WriteError::UnknownOrganization(unknown) = error {
            self.forget(unknown.0);
        }
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        for KeptUses { key, .. } in new {
            if let Some(tally) = tallies.get_mut(&key) {
                tally.is_new = true;
            }
        }
    }

    /// Nobody is left to tell it to.
    fn forget(&self, organization: OrganizationId) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.retain(|key, _| key.organization != organization);
    }

    /// Writes a line for each instance that has something to tell.
    pub(crate) async fn write(&self, store: &Store, now: DateTime<Utc>) {
        let tallies = mem::take(&mut *self.tallies.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, tally) in tallies {
            match store.capability_uses().tell(&key, tally.line(&key, now)).await {
                Ok(()) => {}
                Err(error @ WriteError::UnknownOrganization(_)) => {
                    tracing::error!(instance = %key, %error, "what a plugin used could not be audited");
                }
                Err(error @ WriteError::Database(_)) => {
                    tracing::error!(instance = %key, %error, "what a plugin used could not be audited; it is told later");
                    let Tally { since, counts, .. } = tally;
                    let counts =
                        counts.into_iter().map(|(service, (count, denied))| (service, count, denied));
                    self.add(&key, counts, since);
                }
            }
        }
    }
}

/// Keeps what is reported, and writes it a period after the first report of it, until it is aborted.
pub(crate) async fn run(uses: Arc<Uses>, store: Store, clock: Arc<dyn Clock>, period: Duration) {
    loop {
        uses.reported.notified().await;
        let told_at = Instant::now() + period;
        loop {
            let left = told_at.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(KEPT_EVERY)).await;
            if Instant::now() >= told_at {
                break;
            }
            uses.keep(&store).await;
        }
        uses.write(&store, clock.now()).await;
    }
}

impl Host {
    /// Notes what a worker says that it used.
    pub(crate) fn note_use(&self, key: &InstanceKey, uses: &[CapabilityUse]) -> Result<(), Refusal> {
        let refused = |message| Refusal::new(FailureReason::Refused, message);
        let plugin = self.plugins.get(key.organization, &key.plugin);
        if plugin.as_ref().and_then(|plugin| plugin.descriptor()?.services.as_ref()).is_none() {
            return Err(refused(String::from("the plugin uses no services that are counted")));
        }
        let uses = uses.iter().map(known).collect::<Result<Vec<_>, _>>().map_err(refused)?;
        if uses.len() > Service::ALL.len() {
            return Err(refused(format!("a report has at most {} entries", Service::ALL.len())));
        }
        self.uses.add(key, uses, self.clock.now());
        Ok(())
    }
}

fn known(used: &CapabilityUse) -> Result<(Service, u64, u64), String> {
    let service = Service::ALL.into_iter().find(|service| service.as_str() == used.capability);
    let service = service.ok_or_else(|| {
        let name: String = used.capability.chars().take(80).collect();
        format!("there is no capability `{name}`")
    })?;
    Ok((service, used.count, used.denied))
}

#[cfg(test)]
mod tests {
    use hayloft_model::OrganizationId;

    use super::*;

    #[test]
    fn many_reports_are_one_line() {
        let uses = Uses::default();
        let key = |plugin: &str| InstanceKey {
            organization: OrganizationId::from_uuid(uuid::Uuid::nil()),
            plugin: plugin.parse().unwrap(),
        };
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        for second in 0..1000 {
            uses.add(&key("a"), [(Service::Kv, 2, 0), (Service::Fetch, 0, 1)], at(second));
        }
        uses.add(&key("a"), [(Service::Kv, u64::MAX, 0)], at(1000));
        uses.add(&key("b"), [(Service::Logger, 1, 0)], at(7));
        let tallies = uses.tallies.into_inner().unwrap();
        assert_eq!(tallies.len(), 2);
        let line = tallies[&key("a")].line(&key("a"), at(60));
        assert_eq!(
            (line.actor.as_str(), line.action.as_str(), line.subject.as_deref()),
            ("host", "capabilities.used", Some("a"))
        );
        assert_eq!(
            line.detail,
            json!({
                "since": "1970-01-01T00:00:00Z",
                "until": "1970-01-01T00:01:00Z",
                "uses": { "fetch": { "count": 0, "denied": 1000 }, "kv": { "count": u64::MAX, "denied": 0 } },
            })
        );
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let used = |name: &str| CapabilityUse { capability: name.into(), count: 1, denied: 2 };
        assert_eq!(known(&used("crypto")), Ok((Service::Crypto, 1, 2)));
        for bad in ["", "Kv", "kv ", &"x".repeat(1000)] {
            let refused = known(&used(bad)).unwrap_err();
            assert!(refused.len() < 200, "{refused}");
        }
    }
}
