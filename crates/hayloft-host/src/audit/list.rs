//! List the audit trail of an organization, or of the host.

use hayloft_model::{Caller, OrganizationId, Scope};
use hayloft_store::audit::{AuditEntry, HostAuditEntry, Page};

use crate::access::{Denied, administrator_only};
use crate::{Host, StoreError};

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ListAuditError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// One page of what was done in the organization, newest first.
    ///
    /// # Errors
    /// See [`ListAuditError`].
    pub async fn list_audit(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        page: Page,
    ) -> Result<Vec<AuditEntry>, ListAuditError> {
        self.authorize(caller, organization, Scope::Access)?;
        Ok(self.store.audit().list(organization, page).await.map_err(StoreError::from)?)
    }

    /// One page of what happened to the host itself, newest first.
    ///
    /// # Errors
    /// See [`ListAuditError`].
    pub async fn list_host_audit(
        &self,
        caller: &Caller,
        page: Page,
    ) -> Result<Vec<HostAuditEntry>, ListAuditError> {
        administrator_only(caller)?;
        Ok(self.store.audit().list_for_host(page).await.map_err(StoreError::from)?)
    }
}
