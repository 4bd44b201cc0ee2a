//! What a plugin's code registered, as it is for every organization.

use hayloft_model::{Caller, OrganizationId, PluginId, Problems, Registration, Scope};

use super::registry::Preparing;
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
    /// What the plugin registered when it was loaded.
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
        let plugin = self
            .plugins
            .get(organization, id)
            .ok_or_else(|| PluginMetadataError::UnknownPlugin(id.clone()))?;
        match plugin.register(self.asked(), Preparing::AsItIs).await {
            Ok(registered) => Ok(registered.registration.clone()),
            Err(problems) => Err(PluginMetadataError::NotRegistered { problems }),
        }
    }
}
