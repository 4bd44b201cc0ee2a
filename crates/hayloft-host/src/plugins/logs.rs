//! What a plugin's worker wrote lately.

use hayloft_model::{Caller, OrganizationId, PluginId, Scope};
use hayloft_workers::LogLine;

use crate::Host;
use crate::access::Denied;

/// Why there are no lines.
#[derive(Debug, thiserror::Error)]
pub enum PluginLogsError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
}

impl Host {
    /// The last `tail` lines, oldest first.
    ///
    /// # Errors
    /// See [`PluginLogsError`].
    pub async fn plugin_logs(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
        tail: usize,
    ) -> Result<Vec<LogLine>, PluginLogsError> {
        self.authorize(caller, organization, Scope::PluginsRead)?;
        let (_, key) = self.plugins.named_or(organization, id, PluginLogsError::UnknownPlugin)?;
        Ok(self.workers.logs(&key, tail))
    }
}
