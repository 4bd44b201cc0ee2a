//! Start a plugin anew in an organization: what a person does with one that hangs, or that is held back.

use hayloft_model::{Caller, InstanceKey, InstanceState, OrganizationId, PluginId, Revision, Scope};
use hayloft_store::instances::InstanceChange;
use hayloft_workers::Unavailable;

use super::view::PluginDetail;
use crate::access::Denied;
use crate::uninterrupted::uninterrupted;
use crate::workers::told_to_people;
use crate::{Host, StoreError};

/// Why it was not started anew.
#[derive(Debug, thiserror::Error)]
pub enum RestartPluginError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// It is switched off.
    #[error("the plugin `{0}` is switched off")]
    NotEnabled(PluginId),
    /// It ended, and does not start.
    #[error("{}", told_to_people(.0))]
    Unavailable(Unavailable),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Ends the plugin's worker once its calls have ended, forgets its crashes, and starts it anew on the same settings.
    /// Its servers elsewhere are reached anew as well; a plugin that is nothing but those has no worker.
    ///
    /// # Errors
    /// See [`RestartPluginError`].
    pub async fn restart_plugin(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<PluginDetail, RestartPluginError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let (plugin, key) = self.plugins.named_or(organization, id, RestartPluginError::UnknownPlugin)?;
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move {
            let _turn = host.turns.take(&key).await;
            let instance = host.instances.get(&key).filter(|instance| instance.enabled);
            let Some(instance) = instance else { return Err(RestartPluginError::NotEnabled(key.plugin)) };
            // Who released it is taken down with the row, and the row is changed after all that came before.
            host.instances.flush().await;
            let released = InstanceChange::new().hold_reason(None);
            let changed = host.store.instances().change(&key, released, Some(&caller)).await;
            changed.map_err(StoreError::from)?;
            host.release(&key, "a person starts it anew").await;
            let started = if host.is_all_elsewhere(&key) {
                let revision = instance.active_revision.or(instance.desired_revision).unwrap_or(Revision(0));
                host.begin_elsewhere(&key, revision).await.map_err(Unavailable::Refused)
            } else {
                host.reach_anew(&key);
                host.workers.ensure(&key).await.map(drop)
            };
            if plugin.owner == Some(organization) && host.uploads.place_of(organization, &key.plugin).exists()
            {
                // A newer version that could not be used is tried again, too.
                host.try_uploaded(&key).await;
            }
            // The answer shows what came of it.
            host.workers.told(&key).await;
            host.instances.flush().await;
            started.map_err(RestartPluginError::Unavailable)?;
            let instance = host.instances.get(&key);
            Ok(host.plugin_detail(organization, &plugin, instance.as_deref()).await?)
        })
        .await
    }

    /// Ends what runs of an instance and lets it start again, whatever kept it from that.
    pub(crate) async fn release(&self, key: &InstanceKey, reason: &str) {
        self.workers.stop(key, reason).await;
        let held = [InstanceState::Quarantined, InstanceState::Backoff, InstanceState::Failed];
        if self.instances.get(key).is_some_and(|instance| held.contains(&instance.state)) {
            self.instances.step(key, InstanceState::Stopped, |_| {});
        }
        self.instances.change(key, |instance| instance.hold_reason = None);
    }
}
