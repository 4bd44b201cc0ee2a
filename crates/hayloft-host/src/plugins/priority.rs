//! Choose which of an organization's plugins starts first when several wait.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Priority, Scope};

use super::view::PluginDetail;
use crate::access::Denied;
use crate::{Host, StoreError};

/// How urgent plugins are, where organizations said so.
#[derive(Default)]
pub(crate) struct Priorities(RwLock<HashMap<InstanceKey, Priority>>);

impl Priorities {
    pub(crate) fn new(chosen: Vec<(InstanceKey, Priority)>) -> Self {
        Self(RwLock::new(chosen.into_iter().collect()))
    }

    pub(crate) fn of(&self, key: &InstanceKey) -> Priority {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).copied().unwrap_or_default()
    }

    fn choose(&self, key: &InstanceKey, priority: Priority) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), priority);
    }

    fn forget(&self, key: &InstanceKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Why it was not chosen.
#[derive(Debug, thiserror::Error)]
pub enum ChoosePriorityError {
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
    /// Chooses how urgent the starts of a plugin are among those of the organization.
    ///
    /// # Errors
    /// See [`ChoosePriorityError`].
    pub async fn choose_priority(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
        priority: Priority,
    ) -> Result<PluginDetail, ChoosePriorityError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let (plugin, key) = self.plugins.named_or(organization, id, ChoosePriorityError::UnknownPlugin)?;
        self.store.priorities().choose(&key, priority, caller).await.map_err(StoreError::from)?;
        self.priorities.choose(&key, priority);
        let instance = self.instances.get(&key);
        Ok(self.plugin_detail(organization, &plugin, instance.as_deref()).await?)
    }

    /// What was chosen for a plugin goes with all else that the organization saved for it.
    pub(crate) async fn forget_priority(&self, key: &InstanceKey) -> Result<(), StoreError> {
        self.store.priorities().forget(key).await?;
        self.priorities.forget(key);
        Ok(())
    }
}
