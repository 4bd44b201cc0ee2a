//! Choose which of an organization's plugins starts first when several wait.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Priority, Scope};

use super::view::PluginDetail;
use crate::access::Denied;
use crate::uninterrupted::uninterrupted;
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

    pub(crate) fn forget_organization(&self, organization: OrganizationId) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|key, _| key.organization != organization);
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
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move {
            let _writing = host.writing.take(&key).await;
            host.store.priorities().choose(&key, priority, &caller).await.map_err(StoreError::from)?;
            host.priorities.choose(&key, priority);
            let instance = host.instances.get(&key);
            Ok(host.plugin_detail(organization, &plugin, instance.as_deref()).await?)
        })
        .await
    }

    /// What was chosen for a plugin goes with all else that the organization saved for it.
    pub(crate) async fn forget_priority(&self, key: &InstanceKey) -> Result<(), StoreError> {
        self.store.priorities().forget(key).await?;
        self.priorities.forget(key);
        Ok(())
    }
}
