//! Show one plugin of an organization.

use hayloft_model::{Caller, OrganizationId, PluginId, Scope};

use super::known::Preparing;
use super::view::PluginDetail;
use crate::access::Denied;
use crate::{Host, StoreError};

/// Why it is not shown.
#[derive(Debug, thiserror::Error)]
pub enum GetPluginError {
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
    /// A plugin with its settings (secrets masked), routes, servers and state.
    ///
    /// # Errors
    /// See [`GetPluginError`].
    pub async fn get_plugin(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<PluginDetail, GetPluginError> {
        self.authorize(caller, organization, Scope::PluginsRead)?;
        let (plugin, key) = self.plugins.named_or(organization, id, GetPluginError::UnknownPlugin)?;
        // The settings form needs the schema; if the code cannot be asked, the problems say so in its place.
        let known = plugin.register(self.asked(), Preparing::AsItIs).await;
        if let Err(problems) = known {
            tracing::debug!(plugin = %id, %problems, "the plugin's registration is not known");
        }
        let instance = self.instances.get(&key);
        Ok(self.plugin_detail(organization, &plugin, instance.as_deref()).await?)
    }
}
