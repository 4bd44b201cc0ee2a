//! End all that runs of an organization. Its plugins stay switched on.

use futures::future::join_all;
use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Scope};

use super::stop::StopPluginError;
use crate::Host;
use crate::uninterrupted::uninterrupted;

impl Host {
    /// Stops every plugin of the organization, all at the same time, and gives those of which anything ran.
    ///
    /// # Errors
    /// The caller may not, or we broke; then others may be stopped all the same.
    pub async fn stop_plugins(
        &self,
        caller: &Caller,
        organization: OrganizationId,
    ) -> Result<Vec<PluginId>, StopPluginError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move {
            let own = host.instances.all().into_iter();
            let own = own.filter(|instance| instance.key.organization == organization && instance.enabled);
            let keys: Vec<InstanceKey> = own.map(|instance| instance.key.clone()).collect();
            let ended = join_all(keys.iter().map(|key| host.stop_for(&caller, key))).await;
            let mut stopped = Vec::new();
            for (key, ended) in keys.into_iter().zip(ended) {
                if ended? {
                    stopped.push(key.plugin);
                }
            }
            stopped.sort();
            Ok(stopped)
        })
        .await
    }
}
