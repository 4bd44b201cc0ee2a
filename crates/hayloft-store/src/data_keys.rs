//! The data key of an organization, from memory or from its row.

use std::sync::Arc;

use hayloft_model::OrganizationId;
use sea_orm::{ConnectionTrait, EntityTrait};

use crate::entity::organization_keys;
use crate::vault::{DoesNotOpen, Key};
use crate::{DatabaseError, Store, UnknownOrganization};

/// Why a data key is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum DataKeyError {
    /// Its record does not open.
    #[error("failed to open the data key of the organization")]
    Sealed {
        /// Whose key.
        organization: OrganizationId,
        /// That it does not open.
        #[source]
        source: DoesNotOpen,
    },
    /// There is no such organization.
    #[error(transparent)]
    UnknownOrganization(#[from] UnknownOrganization),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Store {
    /// The organization's data key, opened once for the life of this store.
    pub(crate) async fn data_key(
        &self,
        connection: &impl ConnectionTrait,
        organization: OrganizationId,
    ) -> Result<Arc<Key>, DataKeyError> {
        if let Some(key) = self.vault().opened(organization) {
            return Ok(key);
        }
        let row = organization_keys::Entity::find_by_id(organization.to_string())
            .one(connection)
            .await
            .map_err(DatabaseError::doing("read the organization's data key"))?
            .ok_or(UnknownOrganization(organization))?;
        self.vault()
            .open_data_key(organization, &row.sealed)
            .map_err(|source| DataKeyError::Sealed { organization, source })
    }
}
