//! What an organization lets its plugins do, beside what the operator lets all of them do.
//!
//! Who switches a plugin on grants what it asks for at that moment. What a newer version asks for beyond that is not
//! there for it until somebody grants it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use hayloft_model::plugin::{Capability, Permissions};
use hayloft_model::{Caller, InstanceKey, PluginDescriptor};
use serde_json::json;

use crate::{Host, StoreError};

pub mod grant;

/// What is granted to each instance.
#[derive(Default)]
pub(crate) struct GrantTable {
    granted: RwLock<HashMap<InstanceKey, Arc<Permissions>>>,
}

impl GrantTable {
    pub(crate) fn new(granted: impl IntoIterator<Item = (InstanceKey, Permissions)>) -> Self {
        let granted = granted.into_iter().map(|(key, granted)| (key, Arc::new(granted)));
        Self { granted: RwLock::new(granted.collect()) }
    }

    /// What is granted; nothing is noted for a plugin that was never switched on.
    pub(crate) fn get(&self, key: &InstanceKey) -> Option<Arc<Permissions>> {
        self.granted.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: &InstanceKey, granted: Permissions) {
        let mut all = self.granted.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(key.clone(), Arc::new(granted));
    }

    pub(crate) fn remove(&self, key: &InstanceKey) {
        self.granted.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Why a plugin may not use a capability for an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityDenied {
    /// Its folder does not ask for it.
    #[error("the plugin does not declare it")]
    NotDeclared,
    /// A newer version asks for it, and nobody has granted that.
    #[error("the organization has not granted it to this version of the plugin")]
    NotGranted,
}

impl Host {
    /// Whether a plugin may use a capability for the organization of an instance.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_use(&self, key: &InstanceKey, capability: Capability) -> Result<(), CapabilityDenied> {
        let plugin = self.plugins.get(key.organization, &key.plugin);
        let declares = |descriptor: &PluginDescriptor| descriptor.declares(capability);
        match plugin.as_ref().and_then(|plugin| plugin.descriptor()) {
            Some(descriptor) if declares(&self.permitted(key, descriptor)) => Ok(()),
            Some(descriptor) if declares(descriptor) => Err(CapabilityDenied::NotGranted),
            Some(_) | None => Err(CapabilityDenied::NotDeclared),
        }
    }

    /// What a plugin says of itself, without what it is not granted in an organization. One that was never switched on
    /// has all that it asks for, since that is what it will get.
    pub(crate) fn permitted(&self, key: &InstanceKey, descriptor: &PluginDescriptor) -> PluginDescriptor {
        let mut permitted = descriptor.clone();
        if let Some(granted) = self.grants.get(key) {
            granted.restrict(&mut permitted);
        }
        permitted
    }

    /// The same for the plugin of an instance.
    pub(crate) fn permitted_of(&self, key: &InstanceKey) -> Option<PluginDescriptor> {
        let plugin = self.plugins.get(key.organization, &key.plugin)?;
        Some(self.permitted(key, plugin.descriptor()?))
    }

    /// What a plugin asks for in an organization and is not granted.
    pub(crate) fn pending_permissions(
        &self,
        key: &InstanceKey,
        descriptor: &PluginDescriptor,
    ) -> Permissions {
        let asked = Permissions::asked_by(descriptor);
        match self.grants.get(key) {
            Some(granted) => asked.missing_from(&granted),
            None => asked,
        }
    }

    /// Grants a plugin all that it asks for, and nothing that an older version had beside that.
    pub(crate) async fn grant_all(
        &self,
        key: &InstanceKey,
        descriptor: &PluginDescriptor,
        author: Option<&Caller>,
    ) -> Result<(), StoreError> {
        let asked = Permissions::asked_by(descriptor);
        if self.grants.get(key).as_deref() == Some(&asked) {
            return Ok(());
        }
        self.note_granted(key, asked.clone(), &asked, author).await
    }

    async fn note_granted(
        &self,
        key: &InstanceKey,
        granted: Permissions,
        new: &Permissions,
        author: Option<&Caller>,
    ) -> Result<(), StoreError> {
        self.store.permissions().replace(key, &granted, new, author).await?;
        let had = self.grants.get(key).is_some();
        self.grants.put(key, granted);
        if had {
            // Who switches it on as others have it wants the same that is ready for them.
            self.workers.cool(&key.plugin, "what the plugin is granted changed");
        }
        Ok(())
    }

    /// Nothing is granted any more.
    pub(crate) async fn withdraw_grants(&self, key: &InstanceKey) -> Result<(), StoreError> {
        self.store.permissions().forget(key).await?;
        self.grants.remove(key);
        Ok(())
    }

    /// What ran before anything of permissions was noted goes on with what it has.
    pub(crate) async fn settle_grants(&self) -> Result<(), StoreError> {
        for instance in self.instances.all().into_iter().filter(|instance| instance.enabled) {
            let key = &instance.key;
            let plugin = self.plugins.get(key.organization, &key.plugin);
            if let Some(descriptor) = plugin.as_ref().and_then(|plugin| plugin.descriptor())
                && self.grants.get(key).is_none()
            {
                self.grant_all(key, descriptor, None).await?;
            }
        }
        Ok(())
    }

    /// Tells an organization's administrators that a newer version asks for more than it has.
    pub(crate) async fn note_pending(&self, key: &InstanceKey, descriptor: &PluginDescriptor) {
        let pending = self.pending_permissions(key, descriptor);
        if pending.is_empty() {
            return;
        }
        tracing::warn!(instance = %key, "the newer version of the plugin asks for more than it was granted");
        let detail = json!({ "version": descriptor.version, "permissions": pending });
        self.note(key, "permissions.asked", detail).await;
    }
}
