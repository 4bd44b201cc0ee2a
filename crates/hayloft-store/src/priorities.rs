//! Which of an organization's plugins starts first. Without a row it is as urgent as others.

use hayloft_model::{Caller, InstanceKey, Priority};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::json;

use crate::column::{Place, milliseconds};
use crate::entity::priorities;
use crate::write::Act;
use crate::{DatabaseError, Store, WriteError};

/// Operations on priorities.
#[derive(Clone, Copy)]
pub struct Priorities<'a> {
    pub(crate) store: &'a Store,
}

impl Priorities<'_> {
    /// Notes how urgent the starts of a plugin are in an organization.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn choose(
        self,
        key: &InstanceKey,
        priority: Priority,
        author: &Caller,
    ) -> Result<(), WriteError> {
        let row = priorities::ActiveModel {
            organization_id: Set(key.organization.to_string()),
            plugin_id: Set(key.plugin.to_string()),
            priority: Set(priority.get().into()),
            chosen_at: Set(milliseconds(self.store.now())),
        };
        let replace = OnConflict::columns([priorities::Column::OrganizationId, priorities::Column::PluginId])
            .update_columns([priorities::Column::Priority, priorities::Column::ChosenAt])
            .to_owned();
        let write = self.store.begin("choose how urgent a plugin is").await?;
        priorities::Entity::insert(row)
            .on_conflict(replace)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(key.organization))?;
        let act = Act {
            organization: key.organization,
            author: Some(author),
            action: "plugin.priority_chosen",
            subject: key.plugin.to_string(),
            detail: json!({ "priority": priority }),
        };
        write.record(act).await?;
        Ok(write.commit().await?)
    }

    /// Forgets how urgent a plugin is in an organization.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget(self, key: &InstanceKey) -> Result<(), DatabaseError> {
        let write = self.store.begin("forget how urgent a plugin is").await?;
        priorities::Entity::delete_by_id((key.organization.to_string(), key.plugin.to_string()))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        write.commit().await
    }

    /// All that were chosen, to fill a cache at the start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<(InstanceKey, Priority)>, DatabaseError> {
        let place = |column| Place("priorities", column);
        let rows = priorities::Entity::find()
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read how urgent plugins are"))?;
        rows.into_iter()
            .map(|row| {
                let key = InstanceKey {
                    organization: place("organization_id").parse(&row.organization_id)?,
                    plugin: place("plugin_id").parse(&row.plugin_id)?,
                };
                Ok((key, place("priority").convert(row.priority)?))
            })
            .collect()
    }
}
