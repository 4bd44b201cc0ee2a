//! Tenants. An id is never used twice: no row is ever deleted, and a row is only ever inserted.

use chrono::{DateTime, Utc};
use hayloft_model::{Caller, OrganizationId};
use sea_orm::{ActiveValue::Set, EntityTrait, QueryOrder};
use serde_json::json;

use crate::column::{Place, milliseconds};
use crate::entity::{organization_keys, organizations};
use crate::write::Act;
use crate::{DatabaseError, Store, WriteError};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id, for ever.
    pub id: OrganizationId,
    /// The name that people gave it; not unique.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Operations on organizations.
#[derive(Clone, Copy)]
pub struct Organizations<'a> {
    pub(crate) store: &'a Store,
}

impl Organizations<'_> {
    /// Makes an organization with a data key of its own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create(self, name: &str, author: &Caller) -> Result<Organization, WriteError> {
        const DOING: &str = "create the organization";
        let organization = Organization {
            id: OrganizationId::from_uuid(self.store.new_id()),
            name: name.to_owned(),
            created_at: self.store.now(),
        };
        let data_key = self
            .store
            .vault()
            .make_data_key(organization.id, self.store.entropy())
            .map_err(|error| DatabaseError::Failed { doing: DOING, source: Box::new(error) })?;
        let write = self.store.begin(DOING).await?;
        let row = organizations::ActiveModel {
            id: Set(organization.id.to_string()),
            name: Set(organization.name.clone()),
            created_at: Set(milliseconds(organization.created_at)),
        };
        organizations::Entity::insert(row)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed())?;
        let key_row = organization_keys::ActiveModel {
            organization_id: Set(organization.id.to_string()),
            sealed: Set(data_key),
            created_at: Set(milliseconds(organization.created_at)),
        };
        organization_keys::Entity::insert(key_row)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed())?;
        write
            .record(Act {
                organization: organization.id,
                author: Some(author),
                action: "organization.created",
                subject: organization.id.to_string(),
                detail: json!({ "name": organization.name }),
            })
            .await?;
        write.commit().await?;
        Ok(organization)
    }

    /// All organizations that are not removed, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(self) -> Result<Vec<Organization>, DatabaseError> {
        let rows = organizations::Entity::find()
            .order_by_asc(organizations::Column::Id)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("list the organizations"))?;
        let removed = self.store.removed_organizations().all().await?;
        let all = rows.into_iter().map(Organization::try_from);
        all.filter(|read| read.as_ref().map_or(true, |organization| !removed.contains(&organization.id)))
            .collect()
    }

    /// One organization, removed or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn get(self, id: OrganizationId) -> Result<Option<Organization>, DatabaseError> {
        organizations::Entity::find_by_id(id.to_string())
            .one(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the organization"))?
            .map(TryInto::try_into)
            .transpose()
    }
}

impl TryFrom<organizations::Model> for Organization {
    type Error = DatabaseError;

    fn try_from(row: organizations::Model) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: Place("organizations", "id").parse(&row.id)?,
            name: row.name,
            created_at: Place("organizations", "created_at").time(row.created_at)?,
        })
    }
}
