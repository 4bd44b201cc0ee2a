//! List an organization's plugins.

use hayloft_model::{Caller, OrganizationId, Scope};

use super::view::PluginSummary;
use crate::Host;
use crate::access::Denied;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ListPluginsError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
}

impl Host {
    /// Every plugin that the organization can have, by id, with what it is there now.
    ///
    /// # Errors
    /// See [`ListPluginsError`].
    pub async fn list_plugins(
        &self,
        caller: &Caller,
        organization: OrganizationId,
    ) -> Result<Vec<PluginSummary>, ListPluginsError> {
        self.authorize(caller, organization, Scope::PluginsRead)?;
        let plugins = self.plugins.all();
        Ok(plugins
            .values()
            .filter(|plugin| plugin.is_seen_by(organization))
            .map(|plugin| (plugin, self.instances.of(organization, &plugin.id)))
            .filter(|(plugin, instance)| {
                let invisible = plugin.descriptor().is_some_and(|descriptor| descriptor.invisible);
                !invisible || instance.as_ref().is_some_and(|instance| instance.enabled)
            })
            .map(|(plugin, instance)| self.plugin_summary(organization, plugin, instance.as_deref()))
            .collect())
    }
}
