//! What plugins used of the services that they asked for: noted for the audit trail, one line per instance and period.
//!
//! Workers count for themselves and may lie. What a lie can lead to is bounded: a line has the names of known services
//! and two numbers each, and there is at most one of them per instance and period however much is reported.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hayloft_model::plugin::Service;
use hayloft_model::{Clock, InstanceKey};
use hayloft_store::Store;
use hayloft_store::audit::NewAuditEntry;
use hayloft_workers::Refusal;
use hayloft_workers::protocol::{CapabilityUse, FailureReason};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::Host;

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
}

impl Uses {
    fn add(
        &self,
        key: &InstanceKey,
        uses: impl IntoIterator<Item = (Service, u64, u64)>,
        since: DateTime<Utc>,
    ) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(key.clone()).or_insert_with(|| Tally { since, counts: HashMap::new() });
        tally.since = tally.since.min(since);
        for (service, count, denied) in uses {
            let counts = tally.counts.entry(service).or_default();
            counts.0 = counts.0.saturating_add(count);
            counts.1 = counts.1.saturating_add(denied);
        }
        drop(tallies);
        self.reported.notify_one();
    }

    /// Writes a line for each instance that has something to tell.
    pub(crate) async fn write(&self, store: &Store, now: DateTime<Utc>) {
        let tallies = mem::take(&mut *self.tallies.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, tally) in tallies {
            if let Err(error) = store.audit().append(key.organization, tally.line(&key, now)).await {
                tracing::error!(instance = %key, %error, "what a plugin used could not be audited; it is told later");
                let Tally { since, counts } = tally;
                let counts = counts.into_iter().map(|(service, (count, denied))| (service, count, denied));
                self.add(&key, counts, since);
            }
        }
    }
}

/// Writes what is reported, a period after the first report of it, until it is aborted.
pub(crate) async fn run(uses: Arc<Uses>, store: Store, clock: Arc<dyn Clock>, period: Duration) {
    loop {
        uses.reported.notified().await;
        tokio::time::sleep(period).await;
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
