//! What workers were refused on the network, for the audit trail.

use std::sync::Arc;

use hayloft_store::audit::NewAuditEntry;
use hayloft_workers::{GateCaller, NetworkRefusal, Reason};
use serde_json::json;

use crate::Host;

/// How many of these lines wait to be written. While the database is slow or gone, further ones are only counted.
pub(crate) const WAITING: usize = 64;

impl Host {
    /// Takes down that a worker was refused something: in its organization's trail, or the host's own while it has none.
    /// The number of these is bounded where they come from, and here once more.
    pub(crate) fn network_refused(&self, caller: &GateCaller, refusal: &NetworkRefusal) {
        let Ok(turn) = Arc::clone(&self.refusals).try_acquire_owned() else {
            metrics::counter!("hayloft_egress_refusals_not_taken_down_total").increment(refusal.times);
            return;
        };
        let entry = entry(caller, refusal);
        let key = caller.key().cloned();
        let host = self.clone();
        tokio::spawn(async move {
            let _turn = turn;
            let audit = host.store.audit();
            let written = match key {
                Some(key) => audit.append(key.organization, entry).await.map_err(|error| error.to_string()),
                None => audit.append_for_host(entry).await.map_err(|error| error.to_string()),
            };
            if let Err(error) = written {
                tracing::error!(error, "failed to write a refused connection into the audit trail");
            }
        });
    }
}

fn entry(caller: &GateCaller, refusal: &NetworkRefusal) -> NewAuditEntry {
    let NetworkRefusal { host, port, reason, times } = refusal;
    let mut detail = json!({
        "worker": caller.worker().to_string(),
        "reason": reason.as_str(),
        "times": times,
    });
    for (name, value) in [("host", json!(host)), ("port", json!(port))] {
        if !value.is_null() {
            detail[name] = value;
        }
    }
    if let Reason::NotPublic(special) = reason {
        detail["address"] = json!(special.as_str());
    }
    NewAuditEntry {
        actor: String::from("host"),
        action: String::from("network.refused"),
        subject: Some(caller.plugin().to_string()),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl hayloft_model::Entropy for Nothing {
        fn fill(&self, _: &mut [u8]) {}
    }

    #[test]
    fn a_line_says_who_wanted_what_and_why_not() {
        let caller = GateCaller::new(
            format!("wrk_{:032x}", 7).parse().unwrap(),
            "hay-plugin-a".parse().unwrap(),
            &Nothing,
        );
        let refusal =
            NetworkRefusal { host: Some("a.test".into()), port: Some(443), reason: Reason::Host, times: 3 };
        let entry = entry(&caller, &refusal);
        assert_eq!(
            (entry.action.as_str(), entry.subject.as_deref()),
            ("network.refused", Some("hay-plugin-a"))
        );
        let worker = caller.worker().to_string();
        assert_eq!(
            entry.detail,
            json!({ "worker": worker, "host": "a.test", "port": 443, "reason": "host", "times": 3 })
        );
    }
}
