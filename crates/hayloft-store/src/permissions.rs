//! What organizations let plugins do.

use hayloft_model::plugin::Permissions;
use hayloft_model::{Caller, InstanceKey};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait, QueryOrder};
use serde_json::json;

use crate::column::{Place, milliseconds};
use crate::entity::permissions;
use crate::write::Act;
use crate::{DatabaseError, Store, WriteError};

/// Operations on what is granted to plugins.
#[derive(Clone, Copy)]
pub struct GrantedPermissions<'a> {
    pub(crate) store: &'a Store,
}

impl GrantedPermissions<'_> {
    /// Notes all that a plugin may do in an organization, in place of what was noted before. The audit trail tells what
    /// is new; `None` as the author is the host itself.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn replace(
        self,
        key: &InstanceKey,
        granted: &Permissions,
        new: &Permissions,
        author: Option<&Caller>,
    ) -> Result<(), WriteError> {
        let row = permissions::ActiveModel {
            organization_id: Set(key.organization.to_string()),
            plugin_id: Set(key.plugin.to_string()),
            granted: Set(Place("permissions", "granted").write_json(granted)?),
            author: Set(author.map_or_else(|| String::from("host"), ToString::to_string)),
            granted_at: Set(milliseconds(self.store.now())),
        };
        let replace =
            OnConflict::columns([permissions::Column::OrganizationId, permissions::Column::PluginId])
                .update_columns([
                    permissions::Column::Granted,
                    permissions::Column::Author,
                    permissions::Column::GrantedAt,
                ])
                .to_owned();
        let write = self.store.begin("note what a plugin may do").await?;
        permissions::Entity::insert(row)
            .on_conflict(replace)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(key.organization))?;
        let act = Act {
            organization: key.organization,
            author,
            action: "permissions.granted",
            subject: key.plugin.to_string(),
            detail: json!({ "permissions": new }),
        };
        write.record(act).await?;
        Ok(write.commit().await?)
    }

    /// Forgets what a plugin may do in an organization.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget(self, key: &InstanceKey) -> Result<(), DatabaseError> {
        let write = self.store.begin("forget what a plugin may do").await?;
        permissions::Entity::delete_by_id((key.organization.to_string(), key.plugin.to_string()))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        write.commit().await
    }

    /// Everything that is granted, to fill a cache at the start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<(InstanceKey, Permissions)>, DatabaseError> {
        let place = |column| Place("permissions", column);
        permissions::Entity::find()
            .order_by_asc(permissions::Column::OrganizationId)
            .order_by_asc(permissions::Column::PluginId)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read what plugins may do"))?
            .into_iter()
            .map(|row| {
                let key = InstanceKey {
                    organization: place("organization_id").parse(&row.organization_id)?,
                    plugin: place("plugin_id").parse(&row.plugin_id)?,
                };
                Ok((key, place("granted").json(&row.granted)?))
            })
            .collect()
    }
}
