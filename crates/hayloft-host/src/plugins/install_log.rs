//! What the programs wrote that made a plugin ready.

use hayloft_model::{Caller, OrganizationId, PluginId, Scope};

use crate::Host;
use crate::access::Denied;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum InstallLogError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
}

impl Host {
    /// The log of the last installation, or of the one that goes on; empty when nothing had to be run.
    ///
    /// # Errors
    /// See [`InstallLogError`].
    pub async fn install_log(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<String, InstallLogError> {
        self.authorize(caller, organization, Scope::PluginsRead)?;
        let (plugin, _) = self.plugins.named_or(organization, id, InstallLogError::UnknownPlugin)?;
        Ok(plugin.package.as_ref().and_then(|package| self.packages.log(package)).unwrap_or_default())
    }
}
