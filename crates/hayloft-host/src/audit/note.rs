//! What the host itself notices of a plugin, for whoever reads the trail later.

use hayloft_model::InstanceKey;
use hayloft_store::audit::NewAuditEntry;
use serde_json::Value;

use crate::Host;

impl Host {
    /// Notes what happened. What fails to be noted is in the host's log, and stops nobody.
    pub(crate) async fn note(&self, key: &InstanceKey, action: &str, detail: Value) {
        let entry = NewAuditEntry {
            actor: String::from("host"),
            action: action.to_owned(),
            subject: Some(key.plugin.to_string()),
            detail,
        };
        if let Err(error) = self.store.audit().append(key.organization, entry).await {
            tracing::error!(instance = %key, action, %error, "failed to write into the audit trail");
        }
    }
}
