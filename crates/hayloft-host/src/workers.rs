//! The workers that run: for the administrator to see, and for use cases to have started.

use std::sync::Arc;

use hayloft_model::{Caller, InstanceKey, PluginId};
use hayloft_workers::{Unavailable, WarmWorker, WorkerStatus};

use crate::Host;
use crate::access::{Denied, administrator_only};
use crate::instances::Instance;

impl Host {
    /// Every worker of this host.
    ///
    /// # Errors
    /// When the caller is not the administrator.
    pub async fn list_workers(&self, caller: &Caller) -> Result<Vec<WorkerStatus>, Denied> {
        administrator_only(caller)?;
        Ok(self.workers.statuses().await)
    }

    /// Every worker of this host that is ready, or is being made so, before it is known for whom.
    ///
    /// # Errors
    /// When the caller is not the administrator.
    pub async fn list_warm_workers(&self, caller: &Caller) -> Result<Vec<WarmWorker>, Denied> {
        administrator_only(caller)?;
        Ok(self.workers.warm_workers().await)
    }

    /// Lets the workers of a plugin go that are ready for nobody, if nobody has it switched on any more.
    pub(crate) fn cool_unused(&self, plugin: &PluginId) {
        let is_on = |instance: &Arc<Instance>| instance.enabled && instance.key.plugin == *plugin;
        if !self.instances.all().iter().any(is_on) {
            self.workers.cool(plugin, "nobody has the plugin switched on");
        }
    }

    /// What a person should read after "it did not work", if anything is known.
    pub(crate) fn last_error_suffix(&self, key: &InstanceKey) -> String {
        let error = self.instances.get(key).and_then(|instance| instance.last_error.clone());
        error.map(|error| format!(": {error}")).unwrap_or_default()
    }
}

/// Why there is no worker, as a whole sentence. What is not to run was not tried, so nothing failed.
pub(crate) fn told_to_people(unavailable: &Unavailable) -> String {
    match unavailable {
        Unavailable::Refused(refused) => refused.to_string(),
        tried => format!("failed to {tried}"),
    }
}
