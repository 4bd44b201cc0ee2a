//! List organizations: all for the administrator, their own for everybody else.

use hayloft_model::Caller;
use hayloft_store::organizations::Organization;

use crate::{Host, StoreError};

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ListOrganizationsError {
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// The organizations that the caller can see, oldest first.
    ///
    /// # Errors
    /// See [`ListOrganizationsError`].
    pub async fn list_organizations(
        &self,
        caller: &Caller,
    ) -> Result<Vec<Organization>, ListOrganizationsError> {
        let mut organizations = self.store.organizations().list().await.map_err(StoreError::from)?;
        organizations.retain(|organization| caller.sees(organization.id));
        Ok(organizations)
    }
}
