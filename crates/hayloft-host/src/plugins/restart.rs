//! Start the worker of an instance anew because somebody wants it so.

use hayloft_model::{Caller, InstanceKey, InstanceState, OrganizationId, PluginId, Scope};
use hayloft_workers::Unavailable;

use super::view::PluginDetail;
use crate::access::Denied;
use crate::workers::told_to_people;
use crate::{Host, StoreError};

/// Why nothing was started anew.
#[derive(Debug, thiserror::Error)]
pub enum RestartPluginError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// The organization has it switched off.
    #[error("the plugin `{0}` is not enabled")]
    NotEnabled(PluginId),
    /// It ended, and does not start.
    #[error("{}", told_to_people(.0))]
    Unavailable(Unavailable),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Ends the plugin's worker, and a pause after crashes with it, and starts another one on the same settings.
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
        let plugin = self.plugins.named(organization, id);
        let plugin = plugin.ok_or_else(|| RestartPluginError::UnknownPlugin(id.clone()))?;
        let key = InstanceKey { organization, plugin: plugin.id.clone() };
        {
            // No save comes between the end of the old worker and the start of the new one.
            let _turn = self.turns.take(&key).await;
            let enabled = self.instances.get(&key).filter(|instance| instance.enabled);
            let instance = enabled.ok_or_else(|| RestartPluginError::NotEnabled(plugin.id.clone()))?;
            self.workers.stop(&key, "somebody restarted it").await;
            if instance.state == InstanceState::Failed {
                self.instances.step(&key, InstanceState::Stopped, |instance| instance.last_error = None);
            }
        }
        self.workers.ensure(&key).await.map_err(RestartPluginError::Unavailable)?;
        let instance = self.instances.get(&key);
        Ok(self.plugin_detail(organization, &plugin, instance.as_deref()).await?)
    }
}
