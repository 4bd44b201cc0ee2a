//! List the tokens of an organization.

use hayloft_model::{Caller, OrganizationId, Scope};
use hayloft_store::tokens::Token;

use super::Denied;
use crate::{Host, StoreError};

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ListTokensError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// The organization's tokens, oldest first, revoked ones included, none with its secret.
    ///
    /// # Errors
    /// See [`ListTokensError`].
    pub async fn list_tokens(
        &self,
        caller: &Caller,
        organization: OrganizationId,
    ) -> Result<Vec<Token>, ListTokensError> {
        self.authorize(caller, organization, Scope::Access)?;
        Ok(self.store.tokens().list(organization).await.map_err(StoreError::from)?)
    }
}
