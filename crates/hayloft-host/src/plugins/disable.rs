//! Switch a plugin off in an organization. Its sealed settings stay for the day when it is switched on again.

use hayloft_model::plugin::Runtime;
use hayloft_model::{Caller, InstanceKey, InstanceState, OrganizationId, PluginId, Scope};

use hayloft_store::instances::InstanceChange;

use super::view::PluginDetail;
use crate::access::Denied;
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// Why it was not switched off.
#[derive(Debug, thiserror::Error)]
pub enum DisablePluginError {
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
    /// Switches the plugin off: nothing starts it any more, its `onDisable` runs, its worker ends. What the hook does
    /// cannot keep it on. Switching off what is off is no error.
    ///
    /// # Errors
    /// See [`DisablePluginError`].
    pub async fn disable_plugin(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<PluginDetail, DisablePluginError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let (plugin, key) = self.plugins.named_or(organization, id, DisablePluginError::UnknownPlugin)?;
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move {
            host.switch_off_for(&caller, &key).await?;
            let instance = host.instances.get(&key);
            Ok(host.plugin_detail(organization, &plugin, instance.as_deref()).await?)
        })
        .await
    }

    /// Writes down that an instance is off, and makes its processes agree.
    pub(crate) async fn switch_off_for(&self, caller: &Caller, key: &InstanceKey) -> Result<(), StoreError> {
        // What was wished before does not come true any more.
        self.drop_wish(key).await;
        self.write_off(key, caller).await?;
        self.reconcile(key).await;
        Ok(())
    }

    /// Has the row say that it is off. Gives whether it said something else.
    pub(super) async fn write_off(&self, key: &InstanceKey, caller: &Caller) -> Result<bool, StoreError> {
        let _writing = self.writing.take(key).await;
        self.write_off_in_turn(key, caller).await
    }

    pub(super) async fn write_off_in_turn(
        &self,
        key: &InstanceKey,
        caller: &Caller,
    ) -> Result<bool, StoreError> {
        if self.instances.get(key).is_none_or(|instance| !instance.enabled) {
            return Ok(false);
        }
        let off = InstanceChange::new().enabled(false);
        let changed = self.store.instances().change(key, off, Some(caller)).await;
        self.applied.before(key, true);
        self.instances.saved(changed.map_err(StoreError::from)?);
        Ok(true)
    }

    /// What follows once the row says that an instance is off.
    pub(crate) async fn switch_off(&self, key: &InstanceKey, was_enabled: bool) -> Result<(), StoreError> {
        // A newer version may be being made for it.
        self.call_off_pointless();
        self.load_tools(key).await?;
        self.forget_all_items(key);
        self.forget_remotes(key).await?;
        let plugin = self.plugins.get(key.organization, &key.plugin);
        let descriptor = plugin.as_ref().and_then(|plugin| plugin.descriptor());
        if descriptor.is_some_and(|descriptor| descriptor.runtime == Runtime::Servers) {
            // Nothing of it could do anything about it, so nothing is started for it.
            self.workers.stop(key, "the plugin was switched off").await;
        } else if was_enabled {
            let disabling = self.turns.disabling(key);
            self.workers.disable(key).await;
            drop(disabling);
        }
        self.cool_unused(&key.plugin);
        self.instances.step(key, InstanceState::Disabled, |instance| instance.last_error = None);
        self.instances.flush().await;
        Ok(())
    }
}
