//! What a plugin's code registered, for every organization or for one.

use hayloft_model::{Caller, OrganizationId, PluginId, Problems, Registration, Scope};

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
        let (plugin, key) = self.plugins.named_or(organization, id, PluginMetadataError::UnknownPlugin)?;
        let registered = plugin.register(self.asked(), Preparing::AsItIs).await;
        let registered = registered.map_err(|problems| PluginMetadataError::NotRegistered { problems })?;
        let registered = self.registered_for(&plugin, &key).unwrap_or(registered);
        Ok(registered.registration.clone())
    }
}
