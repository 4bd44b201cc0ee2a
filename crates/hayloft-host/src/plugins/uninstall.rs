//! Remove a plugin that an organization brought along.
//!
//! It is switched off like any other, so its `onDisable` runs; then nothing leads to it any more, and its files go.
//! What the organization saved for it stays, sealed, unless that is to go too.

use std::collections::BTreeSet;

use hayloft_model::{Caller, ContentHash, InstanceKey, OrganizationId, PluginId, Scope};

use super::purge::PurgeConfigurationError;
use crate::access::Denied;
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// What becomes of what the organization saved for the plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SavedData {
    /// It is there when the plugin comes back.
    #[default]
    Kept,
    /// It is deleted, with what the plugin kept for the organization.
    Purged,
}

/// Why a plugin was not removed.
#[derive(Debug, thiserror::Error)]
pub enum UninstallPluginError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The organization has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// The organization did not bring it along, so it is not its to remove.
    #[error("the plugin `{0}` is not one that the organization uploaded")]
    NotUploaded(PluginId),
    /// We broke.
    #[error("failed to remove the plugin's files")]
    Files(#[source] std::io::Error),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Removes a plugin of the organization's own: nothing calls or starts it any more, its workers end, its files and
    /// what was granted to it go.
    ///
    /// # Errors
    /// See [`UninstallPluginError`].
    pub async fn uninstall_plugin(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
        data: SavedData,
    ) -> Result<(), UninstallPluginError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let (_, key) = self.plugins.named_or(organization, id, UninstallPluginError::UnknownPlugin)?;
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move { host.remove_own(&caller, &key, data).await }).await
    }

    /// The same for a plugin that is known, without asking who may.
    pub(crate) async fn remove_own(
        &self,
        caller: &Caller,
        key: &InstanceKey,
        data: SavedData,
    ) -> Result<(), UninstallPluginError> {
        let organization = key.organization;
        let _placing = self.placing.take(key).await;
        // Who waited for somebody else's removal has nothing left to remove.
        let plugin = self.plugins.get(organization, &key.plugin);
        let plugin = plugin.ok_or_else(|| UninstallPluginError::UnknownPlugin(key.plugin.clone()))?;
        let place = self.uploads.place_of(organization, &key.plugin);
        if plugin.owner != Some(organization) || !place.exists() {
            return Err(UninstallPluginError::NotUploaded(key.plugin.clone()));
        }
        // Nothing that was wished comes true any more, and whoever tries what was saved gives up.
        self.drop_wish(key).await;
        let was_enabled = self.write_off(key, caller).await?;
        {
            let _turn = self.turns.take(key).await;
            let _writing = self.writing.take(key).await;
            // Somebody may have switched it on again in between, or somebody else's trial has switched it off already.
            if self.write_off_in_turn(key, caller).await? || was_enabled {
                self.switch_off(key, !self.applied.is_off(key)).await?;
            }
            self.workers.stop(key, "the plugin was removed").await;
            let (uploads, plugin) = (self.uploads.clone(), key.plugin.clone());
            let removed = tokio::task::spawn_blocking(move || uploads.remove(organization, &plugin)).await;
            removed.map_err(std::io::Error::other).flatten().map_err(UninstallPluginError::Files)?;
            // From here on its name leads nowhere, so that whoever waits for the turn finds nothing to switch on.
            drop(self.read_uploaded(key).await);
        }
        self.drop_wish(key).await;
        self.trials.end(key);
        // Nobody can ask for any of this any more, and what comes back under the name begins anew.
        self.applied.forget(key);
        self.results.forget(key);
        self.workers.forget(key);
        self.withdraw_grants(key).await?;
        self.store.uploaded_versions().removed(key, caller).await.map_err(StoreError::from)?;
        self.remove_versions(key, plugin.content_hash()).await?;
        if data == SavedData::Kept {
            return Ok(());
        }
        // It can be chosen where nothing else was saved.
        self.forget_priority(key).await?;
        match self.purge_configuration(caller, organization, &key.plugin).await {
            Ok(()) | Err(PurgeConfigurationError::NothingSaved(_)) => Ok(()),
            Err(PurgeConfigurationError::Denied(denied)) => Err(denied.into()),
            Err(PurgeConfigurationError::Store(error)) => Err(error.into()),
            Err(PurgeConfigurationError::StillEnabled(plugin)) => {
                Err(UninstallPluginError::UnknownPlugin(plugin))
            }
        }
    }

    /// Removes what was made of the plugin's versions, but for what somebody has still or has again. An installation that
    /// goes on is let come to its end, which nobody waits for.
    async fn remove_versions(
        &self,
        key: &InstanceKey,
        current: Option<ContentHash>,
    ) -> Result<(), StoreError> {
        let uploaded = self.store.uploaded_versions().of(key).await?;
        let mut hashes: BTreeSet<ContentHash> = uploaded.iter().map(|version| version.content_hash).collect();
        hashes.extend(current);
        let (host, plugin) = (self.clone(), key.plugin.clone());
        tokio::spawn(async move {
            for hash in hashes {
                loop {
                    host.packages.settled(&plugin, hash).await;
                    // While nothing is taken over of what was read nobody can come to use it.
                    let _taking_over = host.plugins.taking_over.acquire().await;
                    if host.plugins.versions().contains(&(plugin.clone(), hash)) {
                        break;
                    }
                    match host.packages.remove(&plugin, hash).await {
                        Ok(true) => break,
                        // Somebody began to make it again.
                        Ok(false) => {}
                        Err(error) => {
                            tracing::error!(%plugin, %hash, %error, "failed to remove a version of a plugin");
                            break;
                        }
                    }
                }
            }
        });
        Ok(())
    }
}
