//! Take a token back.

use hayloft_model::{Caller, OrganizationId, Scope, TokenId};

use hayloft_store::tokens::TokenError;

use super::Denied;
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// Why the token was not taken back.
#[derive(Debug, thiserror::Error)]
pub enum RevokeTokenError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The organization has no such token.
    #[error("the organization has no token `{0}`")]
    UnknownToken(TokenId),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Takes a token back: from the moment of the answer it is nobody's.
    ///
    /// # Errors
    /// See [`RevokeTokenError`].
    pub async fn revoke_token(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        token: TokenId,
    ) -> Result<(), RevokeTokenError> {
        self.authorize(caller, organization, Scope::Access)?;
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move {
            let _changing = host.access.changing.lock().await;
            match host.store.tokens().revoke(organization, token, &caller).await {
                Ok(_) => {
                    host.access.remove_token(token);
                    Ok(())
                }
                Err(TokenError::NotFound(_)) => Err(RevokeTokenError::UnknownToken(token)),
                Err(error) => Err(StoreError::from(error).into()),
            }
        })
        .await
    }
}
