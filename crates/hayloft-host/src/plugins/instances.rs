//! List what an organization has of plugins that were ever switched on there.

use hayloft_model::{Caller, InstanceState, OrganizationId, PluginId, Revision, Scope};
use serde::Serialize;

use crate::Host;
use crate::access::Denied;

/// One plugin in the organization.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceView {
    /// Which plugin.
    pub plugin_id: PluginId,
    /// Whether it is switched on.
    pub enabled: bool,
    /// What it is now.
    pub state: InstanceState,
    /// The revision of the settings that was saved last.
    pub revision: Option<Revision>,
    /// The revision that its worker runs on.
    pub active_revision: Option<Revision>,
    /// What went wrong last, for people.
    pub last_error: Option<String>,
    /// Whether a worker serves it at this moment.
    pub running: bool,
}

impl Host {
    /// The organization's instances, by plugin.
    ///
    /// # Errors
    /// When the caller may not.
    pub fn list_instances(
        &self,
        caller: &Caller,
        organization: OrganizationId,
    ) -> Result<Vec<InstanceView>, Denied> {
        self.authorize(caller, organization, Scope::PluginsRead)?;
        let own =
            self.instances.all().into_iter().filter(|instance| instance.key.organization == organization);
        let mut views: Vec<_> = own
            .map(|instance| InstanceView {
                plugin_id: instance.key.plugin.clone(),
                enabled: instance.enabled,
                state: instance.state,
                revision: instance.desired_revision,
                active_revision: instance.active_revision,
                last_error: instance.last_error.clone(),
                running: self.workers.serving(&instance.key).is_some(),
            })
            .collect();
        views.sort_by(|one, other| one.plugin_id.cmp(&other.plugin_id));
        Ok(views)
    }
}
