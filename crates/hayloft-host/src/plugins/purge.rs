//! Delete what an organization saved for a plugin.

use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Scope};

use crate::access::Denied;
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// Why nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum PurgeConfigurationError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It is on, and its worker needs the values.
    #[error("the plugin `{0}` is switched on")]
    StillEnabled(PluginId),
    /// Nothing is saved for it.
    #[error("nothing is saved for the plugin `{0}`")]
    NothingSaved(PluginId),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Deletes every revision of a switched-off plugin's settings and credentials, what it registered for the
    /// organization and kept there, and what its workers wrote.
    ///
    /// # Errors
    /// See [`PurgeConfigurationError`].
    pub async fn purge_configuration(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<(), PurgeConfigurationError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let key = InstanceKey { organization, plugin: self.plugins.id_of(organization, id) };
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move {
            let _turn = host.turns.take(&key).await;
            let _writing = host.writing.take(&key).await;
            let Some(instance) = host.instances.get(&key) else {
                return Err(PurgeConfigurationError::NothingSaved(key.plugin));
            };
            if instance.enabled {
                return Err(PurgeConfigurationError::StillEnabled(key.plugin));
            }
            host.store.configurations().purge(&key, &caller).await.map_err(StoreError::from)?;
            host.instances.change(&key, |instance| {
                instance.desired_revision = None;
                instance.active_revision = None;
                instance.rejected = None;
                instance.last_error = None;
                instance.auth_verdict = None;
            });
            host.instances.flush().await;
            host.forget_priority(&key).await?;
            host.own.forget(&key);
            host.applied.forget(&key);
            host.results.forget(&key);
            host.workers.forget(&key);
            Ok(())
        })
        .await
    }
}
