//! Deletes what an organization gave to a plugin.

use hayloft_model::{Caller, InstanceKey};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;

use super::Configurations;
use crate::column::milliseconds;
use crate::entity::{configurations, instance_registrations, tools};
use crate::write::{Act, Write};
use crate::{DatabaseError, WriteError, instances, plugin_values, remote_servers};

/// Why a purge did not happen.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// What is switched on needs its configuration.
    #[error("`{}` is switched on in this organization", .0.plugin)]
    StillEnabled(InstanceKey),
    /// The organization has no such instance.
    #[error("there is no instance of `{}` in this organization", .0.plugin)]
    NotFound(InstanceKey),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Configurations<'_> {
    /// Deletes everything that the organization gave to a plugin that is switched off, what its servers listed, what it
    /// registered and what it kept.
    ///
    /// # Errors
    /// When there is no such instance, it is switched on, or the database fails.
    pub async fn purge(self, key: &InstanceKey, author: &Caller) -> Result<(), PurgeError> {
        let mut write = self.store.begin("purge the configuration").await?;
        let mut row = instances::lock(&write, key).await?.ok_or_else(|| PurgeError::NotFound(key.clone()))?;
        if row.enabled {
            return Err(PurgeError::StillEnabled(key.clone()));
        }
        configurations::Entity::delete_many()
            .filter(configurations::Column::OrganizationId.eq(key.organization.to_string()))
            .filter(configurations::Column::PluginId.eq(key.plugin.to_string()))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        tools::Entity::delete_many()
            .filter(tools::Column::OrganizationId.eq(key.organization.to_string()))
            .filter(tools::Column::PluginId.eq(key.plugin.to_string()))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        instance_registrations::Entity::delete_by_id((key.organization.to_string(), key.plugin.to_string()))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        plugin_values::purge(&write, key).await?;
        remote_servers::purge(&write, key).await?;
        row.desired_revision = None;
        row.active_revision = None;
        row.auth_valid = None;
        row.auth_message = None;
        row.auth_at = None;
        row.last_error = None;
        row.rejected_revision = None;
        row.rejection = None;
        row.updated_at = milliseconds(self.store.now());
        instances::store_row(&write, row).await?;
        tell_purged(&mut write, key, author).await.map_err(|error| match error {
            WriteError::UnknownOrganization(_) => PurgeError::NotFound(key.clone()),
            WriteError::Database(error) => PurgeError::Database(error),
        })?;
        Ok(write.commit().await?)
    }
}

async fn tell_purged(write: &mut Write<'_>, key: &InstanceKey, author: &Caller) -> Result<(), WriteError> {
    write.tell(key.organization, "configuration.purged", &json!({ "pluginId": key.plugin })).await?;
    write
        .record(Act {
            organization: key.organization,
            author: Some(author),
            action: "configuration.purged",
            subject: key.plugin.to_string(),
            detail: json!({}),
        })
        .await
}
