//! End what runs of a plugin in an organization. It stays switched on: whoever needs it next starts it again.

use hayloft_model::{Caller, InstanceKey, InstanceState, OrganizationId, PluginId, Scope};
use hayloft_store::WriteError;
use hayloft_store::audit::NewAuditEntry;
use serde_json::json;

use super::view::PluginDetail;
use crate::access::Denied;
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// Why it was not stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopPluginError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Ends the plugin's worker once its calls have ended, and lets go of its connections to servers elsewhere. One that is
    /// held back stays so, and stopping what does not run is no error.
    ///
    /// # Errors
    /// See [`StopPluginError`].
    pub async fn stop_plugin(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<PluginDetail, StopPluginError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let (plugin, key) = self.plugins.named_or(organization, id, StopPluginError::UnknownPlugin)?;
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move {
            host.stop_for(&caller, &key).await?;
            let instance = host.instances.get(&key);
            Ok(host.plugin_detail(organization, &plugin, instance.as_deref()).await?)
        })
        .await
    }

    /// Ends what runs of one instance, and gives whether anything did.
    pub(crate) async fn stop_for(&self, caller: &Caller, key: &InstanceKey) -> Result<bool, StoreError> {
        let _turn = self.turns.take(key).await;
        let Some(instance) = self.instances.get(key).filter(|instance| instance.enabled) else {
            return Ok(false);
        };
        let ran = self.workers.statuses().await.iter().any(|worker| worker.key == *key)
            || self.remotes.of(key).values().any(|link| link.is_connected());
        // Before anything ends: what is taken down is who wanted it, whatever comes of it.
        let entry = NewAuditEntry {
            actor: caller.to_string(),
            action: String::from("plugin.stopped"),
            subject: Some(key.plugin.to_string()),
            detail: json!({ "ran": ran }),
        };
        match self.store.audit().append(key.organization, entry).await {
            Ok(()) => {}
            // It is being removed, and stops with everything that it has.
            Err(WriteError::UnknownOrganization(_)) => return Ok(false),
            Err(WriteError::Database(error)) => return Err(error.into()),
        }
        // Of what is held back nothing runs, and a stop of its workers would release it.
        if instance.state != InstanceState::Quarantined {
            self.workers.stop(key, "a person stopped it").await;
        }
        self.let_go_of_remotes(key);
        self.workers.told(key).await;
        // The pause after a crash ended with the rest; nothing waits for a start any more.
        if self.instances.get(key).is_some_and(|instance| instance.state == InstanceState::Backoff) {
            self.instances.step(key, InstanceState::Stopped, |_| {});
        }
        self.instances.flush().await;
        Ok(ran)
    }
}
