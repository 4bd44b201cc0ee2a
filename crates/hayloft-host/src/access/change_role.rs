//! Give a token another role.

use hayloft_model::{Caller, OrganizationId, Role, Scope, TokenId};
use hayloft_store::tokens::TokenError;

use super::Denied;
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// Why the token kept its role.
#[derive(Debug, thiserror::Error)]
pub enum ChangeRoleError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The organization has no such token, or took it back.
    #[error("the organization has no token `{0}`")]
    UnknownToken(TokenId),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Gives a token another role: from the moment of the answer it may do what that role may, in sessions that are open
    /// as well.
    ///
    /// # Errors
    /// See [`ChangeRoleError`].
    pub async fn change_role(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        token: TokenId,
        role: Role,
    ) -> Result<(), ChangeRoleError> {
        self.authorize(caller, organization, Scope::Access)?;
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move {
            let _changing = host.access.changing.lock().await;
            match host.store.tokens().change_role(organization, token, role, &caller).await {
                Ok(changed) => {
                    host.access.put_token(&changed);
                    Ok(())
                }
                Err(TokenError::NotFound(_)) => Err(ChangeRoleError::UnknownToken(token)),
                Err(error) => Err(StoreError::from(error).into()),
            }
        })
        .await
    }
}
