//! Organizations that are removed: nobody is let in from one moment on, and what they gave is erased once nothing of them
//! runs any more. Their names, their trails and the sums of their calls stay, for those who have to answer for them.

use std::collections::BTreeSet;

use hayloft_model::{Caller, OrganizationId};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;

use crate::column::{Place, milliseconds};
use crate::entity::{
    capability_uses, configurations, instance_registrations, instances, organization_keys, permissions,
    plugin_values, priorities, remote_servers, removed_organizations, result_caching, tokens, tool_names,
    tools, trials, uploaded_versions, wishes,
};
use crate::write::Act;
use crate::{DatabaseError, Store, WriteError};

/// Operations on organizations that are removed.
#[derive(Clone, Copy)]
pub struct RemovedOrganizations<'a> {
    pub(crate) store: &'a Store,
}

impl RemovedOrganizations<'_> {
    /// Marks an organization as removed and makes all of its tokens worthless. Doing it twice changes nothing.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn add(self, organization: OrganizationId, author: &Caller) -> Result<(), WriteError> {
        let now = milliseconds(self.store.now());
        let write = self.store.begin("remove the organization").await?;
        let row = removed_organizations::ActiveModel {
            organization_id: Set(organization.to_string()),
            removed_at: Set(now),
        };
        let once = OnConflict::column(removed_organizations::Column::OrganizationId).do_nothing().to_owned();
        let added = removed_organizations::Entity::insert(row)
            .on_conflict(once)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(organization))?;
        if added == 0 {
            return Ok(());
        }
        tokens::Entity::update_many()
            .col_expr(tokens::Column::RevokedAt, Expr::value(now))
            .filter(tokens::Column::OrganizationId.eq(organization.to_string()))
            .filter(tokens::Column::RevokedAt.is_null())
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        write
            .record(Act {
                organization,
                author: Some(author),
                action: "organization.removed",
                subject: organization.to_string(),
                detail: json!({}),
            })
            .await?;
        Ok(write.commit().await?)
    }

    /// All of them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<BTreeSet<OrganizationId>, DatabaseError> {
        let rows = removed_organizations::Entity::find()
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("list the removed organizations"))?;
        let place = Place("removed_organizations", "organization_id");
        rows.iter().map(|row| place.parse(&row.organization_id)).collect()
    }

    /// Those that are not erased yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unerased(self) -> Result<BTreeSet<OrganizationId>, DatabaseError> {
        let keys = organization_keys::Entity::find()
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("list the keys of organizations"))?;
        let mut removed = self.all().await?;
        removed.retain(|organization| {
            let organization = organization.to_string();
            keys.iter().any(|key| key.organization_id == organization)
        });
        Ok(removed)
    }

    /// Deletes what a removed organization gave, what was made for it, and the key without which nothing sealed of it
    /// can be opened by anybody, in a copy of the database neither.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase(self, organization: OrganizationId) -> Result<(), DatabaseError> {
        macro_rules! delete {
            ($write:ident: $($table:ident),+) => {
                $($table::Entity::delete_many()
                    .filter($table::Column::OrganizationId.eq(organization.to_string()))
                    .exec(&$write.transaction)
                    .await
                    .map_err($write.failed())?;)+
            };
        }
        let write = self.store.begin("erase the organization").await?;
        delete!(write: configurations, instances, tools, tool_names, instance_registrations, permissions);
        delete!(write: plugin_values, remote_servers, result_caching, trials, uploaded_versions, wishes);
        delete!(write: capability_uses, priorities, organization_keys);
        write.commit().await?;
        self.store.vault().forget(organization);
        Ok(())
    }
}
