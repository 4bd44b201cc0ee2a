//! What a plugin's code registered, for every organization or for one.

use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Problems, Registration, Scope};

use super::known::Preparing;
use crate::Host;
use crate::access::Denied;

/// Why it is not shown.
#[derive(Debug, thiserror::Error)]
pub enum PluginMetadataError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// The plugin cannot be loaded.
    #[error("the plugin cannot be loaded")]
    NotRegistered {
        /// Why not.
        problems: Problems,
    },
}

impl Host {
    /// What the plugin registered: for this organization, if it did that, else when it was loaded.
    ///
    /// # Errors
    /// See [`PluginMetadataError`].
    pub async fn plugin_metadata(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<Registration, PluginMetadataError> {
        self.authorize(caller, organization, Scope::PluginsRead)?;
        let plugin = self.plugins.named(organization, id);
        let plugin = plugin.ok_or_else(|| PluginMetadataError::UnknownPlugin(id.clone()))?;
        let registered = plugin.register(self.asked(), Preparing::AsItIs).await;
        let registered = registered.map_err(|problems| PluginMetadataError::NotRegistered { problems })?;
        let key = InstanceKey { organization, plugin: plugin.id.clone() };
        let registered = self.registered_for(&plugin, &key).unwrap_or(registered);
        Ok(registered.registration.clone())
    }
}
