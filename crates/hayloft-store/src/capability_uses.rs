//! What plugins used of the host's services, until it is told in the audit trail: counts that a sudden end would
//! otherwise take along.

use chrono::{DateTime, Utc};
use hayloft_model::InstanceKey;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::Value;

use crate::audit::NewAuditEntry;
use crate::column::{Place, milliseconds, stored_time};
use crate::entity::capability_uses::{self, Column};
use crate::{DatabaseError, Store, WriteError};

/// What an instance used since a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptUses {
    /// Which instance.
    pub key: InstanceKey,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How much of what. Its meaning is the caller's.
    pub counts: Value,
}

impl KeptUses {
    /// What is read later, with a time as precise as it is stored.
    #[must_use]
    pub fn new(key: InstanceKey, since: DateTime<Utc>, counts: Value) -> Self {
        Self { key, since: stored_time(since), counts }
    }
}

/// Operations on what was used and not told yet.
#[derive(Clone, Copy)]
pub struct CapabilityUses<'a> {
    pub(crate) store: &'a Store,
}

impl CapabilityUses<'_> {
    /// Keeps all of these in one transaction, each in the place of what was kept for its instance.
    ///
    /// # Errors
    /// When an organization does not exist or the database fails; then none is kept.
    pub async fn keep(self, uses: &[KeptUses]) -> Result<(), WriteError> {
        let write = self.store.begin("keep what plugins used").await?;
        for KeptUses { key, since, counts } in uses {
            let row = capability_uses::ActiveModel {
                organization_id: Set(key.organization.to_string()),
                plugin_id: Set(key.plugin.to_string()),
                since: Set(milliseconds(*since)),
                counts: Set(counts.to_string()),
            };
            let again = OnConflict::columns([Column::OrganizationId, Column::PluginId])
                .update_columns([Column::Since, Column::Counts])
                .to_owned();
            capability_uses::Entity::insert(row)
                .on_conflict(again)
                .exec_without_returning(&write.transaction)
                .await
                .map_err(write.failed_for(key.organization))?;
        }
        Ok(write.commit().await?)
    }

    /// Adds the line that tells of them to the audit trail and forgets them, both or neither: nothing is told twice.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn tell(self, key: &InstanceKey, line: NewAuditEntry) -> Result<(), WriteError> {
        let NewAuditEntry { actor, action, subject, detail } = line;
        let write = self.store.begin("tell what a plugin used").await?;
        write.record_line(key.organization, actor, action, subject, &detail).await?;
        capability_uses::Entity::delete_by_id((key.organization.to_string(), key.plugin.to_string()))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        Ok(write.commit().await?)
    }

    /// All that is kept.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<KeptUses>, DatabaseError> {
        let rows = capability_uses::Entity::find()
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read what plugins used"))?;
        let place = |column| Place("capability_uses", column);
        let read = |row: capability_uses::Model| {
            Ok(KeptUses {
                key: InstanceKey {
                    organization: place("organization_id").parse(&row.organization_id)?,
                    plugin: place("plugin_id").parse(&row.plugin_id)?,
                },
                since: place("since").time(row.since)?,
                counts: place("counts").json(&row.counts)?,
            })
        };
        rows.into_iter().map(read).collect()
    }
}
