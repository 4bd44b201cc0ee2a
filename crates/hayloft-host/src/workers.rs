//! The workers that run: for the administrator to see, and for use cases to have started.

use hayloft_model::{Caller, InstanceKey};
use hayloft_workers::{Unavailable, WorkerStatus};

use crate::Host;
use crate::access::{Denied, administrator_only};

impl Host {
    /// Every worker of this host.
    ///
    /// # Errors
    /// When the caller is not the administrator.
    pub async fn list_workers(&self, caller: &Caller) -> Result<Vec<WorkerStatus>, Denied> {
        administrator_only(caller)?;
        Ok(self.workers.statuses().await)
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
