//! Versions of plugins that have still to come up in an organization, or did not, by the version that was in service before.

use hayloft_model::{ContentHash, InstanceKey};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait};

use crate::column::{Place, milliseconds};
use crate::entity::trials;
use crate::{DatabaseError, Store, WriteError};

/// A trial that goes on, or that failed and was followed by no other one yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTrial {
    /// Where.
    pub key: InstanceKey,
    /// What was in service before.
    pub before: ContentHash,
    /// Why the newer version did not come up, once it was tried.
    pub failed: Option<String>,
}

/// Operations on trials.
#[derive(Clone, Copy)]
pub struct Trials<'a> {
    pub(crate) store: &'a Store,
}

impl Trials<'_> {
    /// Keeps a trial, in the place of an earlier one of the same instance.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn keep(self, trial: &KeptTrial) -> Result<(), WriteError> {
        let row = trials::ActiveModel {
            organization_id: Set(trial.key.organization.to_string()),
            plugin_id: Set(trial.key.plugin.to_string()),
            before: Set(trial.before.to_string()),
            failed: Set(trial.failed.clone()),
            began_at: Set(milliseconds(self.store.now())),
        };
        let replace = OnConflict::columns([trials::Column::OrganizationId, trials::Column::PluginId])
            .update_columns([trials::Column::Before, trials::Column::Failed, trials::Column::BeganAt])
            .to_owned();
        let write = self.store.begin("keep which version is on trial").await?;
        trials::Entity::insert(row)
            .on_conflict(replace)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(trial.key.organization))?;
        Ok(write.commit().await?)
    }

    /// Forgets the trial of an instance. One that is not kept is no error.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget(self, key: &InstanceKey) -> Result<(), DatabaseError> {
        let write = self.store.begin("forget which version was on trial").await?;
        trials::Entity::delete_by_id((key.organization.to_string(), key.plugin.to_string()))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        write.commit().await
    }

    /// All trials, to go on with them when the host starts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<KeptTrial>, DatabaseError> {
        let place = |column| Place("trials", column);
        let rows = trials::Entity::find()
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read which versions are on trial"))?;
        rows.into_iter()
            .map(|row| {
                let key = InstanceKey {
                    organization: place("organization_id").parse(&row.organization_id)?,
                    plugin: place("plugin_id").parse(&row.plugin_id)?,
                };
                Ok(KeptTrial { key, before: place("before").parse(&row.before)?, failed: row.failed })
            })
            .collect()
    }
}
