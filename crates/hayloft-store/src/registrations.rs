//! What plugins' code registered, by the hash of that code. The same for every organization.

use chrono::{DateTime, Utc};
use hayloft_model::{ContentHash, Problems, Registration};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait, QueryOrder};

use crate::column::{Place, milliseconds};
use crate::entity::registrations;
use crate::{DatabaseError, Store};

/// A registration as it is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRegistration {
    /// Which code registered it.
    pub content_hash: ContentHash,
    /// What it registered.
    pub registration: Registration,
    /// What was wrong with it.
    pub problems: Problems,
    /// When it was taken.
    pub registered_at: DateTime<Utc>,
}

/// Operations on registrations.
#[derive(Clone, Copy)]
pub struct Registrations<'a> {
    pub(crate) store: &'a Store,
}

impl Registrations<'_> {
    /// Remembers what code registered, in place of what it registered before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put(
        self,
        content_hash: ContentHash,
        registration: &Registration,
        problems: &Problems,
    ) -> Result<(), DatabaseError> {
        let row = registrations::ActiveModel {
            content_hash: Set(content_hash.to_string()),
            registration: Set(Place("registrations", "registration").write_json(registration)?),
            problems: Set(Place("registrations", "problems").write_json(problems)?),
            registered_at: Set(milliseconds(self.store.now())),
        };
        let replace = OnConflict::column(registrations::Column::ContentHash)
            .update_columns([
                registrations::Column::Registration,
                registrations::Column::Problems,
                registrations::Column::RegisteredAt,
            ])
            .to_owned();
        let write = self.store.begin("remember the registration").await?;
        registrations::Entity::insert(row)
            .on_conflict(replace)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed())?;
        write.commit().await
    }

    /// What code registered. One that an older version wrote in a form that this version does not read counts as
    /// unknown: probing the code again mends it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn get(self, content_hash: ContentHash) -> Result<Option<StoredRegistration>, DatabaseError> {
        let row = registrations::Entity::find_by_id(content_hash.to_string())
            .one(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the registration"))?;
        Ok(row.and_then(readable))
    }

    /// Everything that any code registered, to fill a cache at the start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<StoredRegistration>, DatabaseError> {
        let rows = registrations::Entity::find()
            .order_by_asc(registrations::Column::ContentHash)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the registrations"))?;
        Ok(rows.into_iter().filter_map(readable).collect())
    }
}

fn readable(row: registrations::Model) -> Option<StoredRegistration> {
    let content_hash = row.content_hash.clone();
    StoredRegistration::try_from(row)
        .inspect_err(|error| {
            let error: &dyn std::error::Error = error;
            tracing::warn!(content_hash, error, "a remembered registration is not readable");
        })
        .ok()
}

impl TryFrom<registrations::Model> for StoredRegistration {
    type Error = DatabaseError;

    fn try_from(row: registrations::Model) -> Result<Self, DatabaseError> {
        Ok(Self {
            content_hash: Place("registrations", "content_hash").parse(&row.content_hash)?,
            registration: Place("registrations", "registration").json(&row.registration)?,
            problems: Place("registrations", "problems").json(&row.problems)?,
            registered_at: Place("registrations", "registered_at").time(row.registered_at)?,
        })
    }
}
