//! Hand out a bearer token of an organization.

use hayloft_model::{Caller, OrganizationId, Problems, Role, Scope, Secret, TokenId};

use super::Denied;
use super::create_organization::check_name;
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// What the token is to be.
#[derive(Clone, Debug)]
pub struct CreateToken {
    /// What it may do.
    pub role: Role,
    /// A note on who uses it.
    pub name: Option<String>,
}

/// The token. This is the only time that anybody sees it.
#[derive(Debug)]
pub struct NewToken {
    /// Its public name.
    pub id: TokenId,
    /// What it may do.
    pub role: Role,
    /// The bearer token itself.
    pub token: Secret<String>,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateTokenError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The wish is not valid.
    #[error("the token is not valid")]
    Invalid(Problems),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The longest note, in characters.
const LONGEST_NAME: usize = 200;

impl Host {
    /// Makes a token. Only its hash is kept.
    ///
    /// # Errors
    /// See [`CreateTokenError`].
    pub async fn create_token(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        wish: CreateToken,
    ) -> Result<NewToken, CreateTokenError> {
        self.authorize(caller, organization, Scope::Access)?;
        if let Some(name) = &wish.name {
            let problems = check_name(name, "name", LONGEST_NAME);
            if problems.has_errors() {
                return Err(CreateTokenError::Invalid(problems));
            }
        }
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move {
            let _changing = host.access.changing.lock().await;
            let created =
                host.store.tokens().create(organization, wish.role, wish.name.as_deref(), &caller).await;
            let (record, token) = created.map_err(StoreError::from)?;
            host.access.put_token(&record);
            Ok(NewToken { id: record.id, role: record.role, token })
        })
        .await
    }
}
