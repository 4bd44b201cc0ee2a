//! What workers, and the host on behalf of plugins, were refused on the network: for the audit trail.

use std::sync::Arc;

use hayloft_model::{InstanceKey, PluginId, ServerId};
use hayloft_store::audit::NewAuditEntry;
use hayloft_workers::{GateCaller, NetworkRefusal, Reason};
use serde_json::{Value, json};

use crate::Host;

/// How many of these lines wait to be written. While the database is slow or gone, further ones are only counted.
pub(crate) const WAITING: usize = 64;

impl Host {
    /// Takes down that a worker was refused something: in its organization's trail, or the host's own while it has none.
    /// The number of these is bounded where they come from, and here once more.
    pub(crate) fn network_refused(&self, caller: &GateCaller, refusal: &NetworkRefusal) {
        let who = ("worker", caller.worker().to_string());
        self.take_down_refusal(caller.key().cloned(), entry(caller.plugin(), who, refusal), refusal.times);
    }

    /// Takes down that one of the servers elsewhere of an instance may not be reached.
    pub(crate) fn server_refused(&self, key: &InstanceKey, server: &ServerId, refusal: &NetworkRefusal) {
        let NetworkRefusal { host, port, reason, times } = refusal;
        tracing::info!(instance = %key, %server, host, port, times, "a connection was refused: {reason}");
        let entry = entry(&key.plugin, ("server", server.to_string()), refusal);
        self.take_down_refusal(Some(key.clone()), entry, refusal.times);
    }

    fn take_down_refusal(&self, key: Option<InstanceKey>, entry: NewAuditEntry, times: u64) {
        let Ok(turn) = Arc::clone(&self.refusals).try_acquire_owned() else {
            metrics::counter!("hayloft_egress_refusals_not_taken_down_total").increment(times);
            return;
        };
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

fn entry(plugin: &PluginId, who: (&str, String), refusal: &NetworkRefusal) -> NewAuditEntry {
    let NetworkRefusal { host, port, reason, times } = refusal;
    let mut detail = json!({ "reason": reason.as_str(), "times": times });
    detail[who.0] = Value::String(who.1);
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
        subject: Some(plugin.to_string()),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_wanted_what_and_why_not() {
        let caller =
            GateCaller::new(format!("wrk_{:032x}", 7).parse().unwrap(), "hay-plugin-a".parse().unwrap());
        let refusal =
            NetworkRefusal { host: Some("a.test".into()), port: Some(443), reason: Reason::Host, times: 3 };
        let worker = caller.worker().to_string();
        let entry = entry(caller.plugin(), ("worker", worker.clone()), &refusal);
        assert_eq!(
            (entry.action.as_str(), entry.subject.as_deref()),
            ("network.refused", Some("hay-plugin-a"))
        );
        assert_eq!(
            entry.detail,
            json!({ "worker": worker, "host": "a.test", "port": 443, "reason": "host", "times": 3 })
        );
    }
}
