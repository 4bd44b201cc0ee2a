//! What plugins' code registered for single organizations: of code that knows only then what it registers.

use chrono::{DateTime, Utc};
use hayloft_model::{ContentHash, InstanceKey, Problems, Registration};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait, QueryOrder};

use crate::column::{Place, milliseconds};
use crate::entity::instance_registrations;
use crate::{DatabaseError, Store, WriteError};

/// A registration of an instance, as it is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceRegistration {
    /// Whose.
    pub key: InstanceKey,
    /// Which code registered it.
    pub content_hash: ContentHash,
    /// What it registered.
    pub registration: Registration,
    /// What was wrong with it.
    pub problems: Problems,
    /// When it was taken.
    pub registered_at: DateTime<Utc>,
}

/// Operations on registrations of instances. They go with what the organization saved for the plugin.
#[derive(Clone, Copy)]
pub struct InstanceRegistrations<'a> {
    pub(crate) store: &'a Store,
}

impl InstanceRegistrations<'_> {
    /// Remembers what code registered for an instance, in place of what it registered there before.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn put(
        self,
        key: &InstanceKey,
        content_hash: ContentHash,
        registration: &Registration,
        problems: &Problems,
    ) -> Result<(), WriteError> {
        let place = |column| Place("instance_registrations", column);
        let row = instance_registrations::ActiveModel {
            organization_id: Set(key.organization.to_string()),
            plugin_id: Set(key.plugin.to_string()),
            content_hash: Set(content_hash.to_string()),
            registration: Set(place("registration").write_json(registration)?),
            problems: Set(place("problems").write_json(problems)?),
            registered_at: Set(milliseconds(self.store.now())),
        };
        let replace = OnConflict::columns([
            instance_registrations::Column::OrganizationId,
            instance_registrations::Column::PluginId,
        ])
        .update_columns([
            instance_registrations::Column::ContentHash,
            instance_registrations::Column::Registration,
            instance_registrations::Column::Problems,
            instance_registrations::Column::RegisteredAt,
        ])
        .to_owned();
        let write = self.store.begin("remember the registration of the instance").await?;
        instance_registrations::Entity::insert(row)
            .on_conflict(replace)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(key.organization))?;
        Ok(write.commit().await?)
    }

    /// Everything that code registered for any instance, to fill a cache at the start. What an older version wrote in a
    /// form that this version does not read is left out: the next start of the plugin mends it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<InstanceRegistration>, DatabaseError> {
        let rows = instance_registrations::Entity::find()
            .order_by_asc(instance_registrations::Column::OrganizationId)
            .order_by_asc(instance_registrations::Column::PluginId)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the registrations of the instances"))?;
        Ok(rows.into_iter().filter_map(readable).collect())
    }
}

fn readable(row: instance_registrations::Model) -> Option<InstanceRegistration> {
    let (organization, plugin) = (row.organization_id.clone(), row.plugin_id.clone());
    InstanceRegistration::try_from(row)
        .inspect_err(|error| {
            let error: &dyn std::error::Error = error;
            tracing::warn!(organization, plugin, error, "a remembered registration is not readable");
        })
        .ok()
}

impl TryFrom<instance_registrations::Model> for InstanceRegistration {
    type Error = DatabaseError;

    fn try_from(row: instance_registrations::Model) -> Result<Self, DatabaseError> {
        let place = |column| Place("instance_registrations", column);
        Ok(Self {
            key: InstanceKey {
                organization: place("organization_id").parse(&row.organization_id)?,
                plugin: place("plugin_id").parse(&row.plugin_id)?,
            },
            content_hash: place("content_hash").parse(&row.content_hash)?,
            registration: place("registration").json(&row.registration)?,
            problems: place("problems").json(&row.problems)?,
            registered_at: place("registered_at").time(row.registered_at)?,
        })
    }
}
