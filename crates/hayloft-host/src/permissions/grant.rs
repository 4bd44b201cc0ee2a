//! Grant a plugin what its newer version asks for.
//!
//! What is granted is named one by one, so that nobody grants what a still newer version asks for without having seen it.

use hayloft_model::plugin::{Permission, Permissions};
use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Problem, Problems, Scope};

use crate::access::Denied;
use crate::plugins::view::PluginDetail;
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// Why nothing was granted.
#[derive(Debug, thiserror::Error)]
pub enum GrantPermissionsError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// It is off: switching it on grants what it asks for.
    #[error("the plugin `{0}` is switched off")]
    NotEnabled(PluginId),
    /// The plugin does not ask for all of these.
    #[error("the plugin does not ask for that")]
    NotAsked(Problems),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Grants a plugin permissions that it asks for. Its worker is replaced by one that has them.
    ///
    /// # Errors
    /// See [`GrantPermissionsError`]. When it is an error, nothing was granted.
    pub async fn grant_permissions(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
        permissions: Vec<Permission>,
    ) -> Result<PluginDetail, GrantPermissionsError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let (_, key) = self.plugins.named_or(organization, id, GrantPermissionsError::UnknownPlugin)?;
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move { host.grant_in_turn(&caller, &key, permissions).await }).await
    }

    async fn grant_in_turn(
        &self,
        caller: &Caller,
        key: &InstanceKey,
        permissions: Vec<Permission>,
    ) -> Result<PluginDetail, GrantPermissionsError> {
        let writing = self.writing.take(key).await;
        // Asked anew: what counts is what the plugin asks for now.
        let plugin = self.plugins.get(key.organization, &key.plugin);
        let plugin = plugin.ok_or_else(|| GrantPermissionsError::UnknownPlugin(key.plugin.clone()))?;
        let instance = self.instances.get(key).filter(|instance| instance.enabled);
        let (Some(instance), Some(descriptor)) = (instance, plugin.descriptor()) else {
            return Err(GrantPermissionsError::NotEnabled(key.plugin.clone()));
        };
        let asked = Permissions::asked_by(descriptor);
        let strangers: Problems = permissions
            .iter()
            .enumerate()
            .filter(|(_, permission)| !asked.contains(permission))
            .map(|(number, permission)| {
                Problem::error(
                    format!("permissions.{number}"),
                    format!("`{permission}` is nothing that the plugin asks for"),
                )
                .hint("`pendingPermissions` of the plugin lists what it asks for and does not have")
            })
            .collect();
        if !strangers.is_empty() {
            return Err(GrantPermissionsError::NotAsked(strangers));
        }
        let granted = self.grants.get(key).unwrap_or_default();
        let new = permissions.into_iter().collect::<Permissions>().missing_from(&granted);
        if !new.is_empty() {
            self.note_granted(key, granted.with(&new), &new, Some(caller)).await?;
            self.applied.outdate(&instance);
            drop(writing);
            self.reconcile(key).await;
        }
        let instance = self.instances.get(key);
        Ok(self.plugin_detail(key.organization, &plugin, instance.as_deref()).await?)
    }
}
