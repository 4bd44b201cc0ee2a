//! Bearer tokens. The token itself is shown once and stored nowhere; what is stored is its SHA-256.
//!
//! A plain hash is right here, unlike for passwords: the token is 256 random bits, so there is nothing to guess, and
//! a lookup by hash tells nothing about the token through its timing.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use hayloft_model::{Caller, OrganizationId, Role, Secret, TokenId};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::column::{Place, milliseconds};
use crate::database::DatabaseError;
use crate::entity::tokens;
use crate::write::Act;
use crate::{Store, UnknownOrganization, WriteError};

const PREFIX: &str = "hlt_";

/// What is known of a token without knowing the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its public name.
    pub id: TokenId,
    /// The only organization that it opens.
    pub organization: OrganizationId,
    /// What it may do there.
    pub role: Role,
    /// What people call it.
    pub name: Option<String>,
    /// The hash under which a bearer is found.
    pub hash: TokenHash,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Since when it opens nothing.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Token {
    /// The principal that a bearer of this token is.
    #[must_use]
    pub const fn caller(&self) -> Caller {
        Caller::Organization { organization: self.organization, role: self.role, token: self.id }
    }
}

/// The SHA-256 of a bearer token, for lookups in memory and in the database.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of what a bearer sent.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        Self(bytes)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// Why a token was not made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is no such organization.
    #[error(transparent)]
    UnknownOrganization(#[from] UnknownOrganization),
    /// The organization has no such token.
    #[error("there is no token `{0}` in this organization")]
    NotFound(TokenId),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<WriteError> for TokenError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::UnknownOrganization(unknown) => Self::UnknownOrganization(unknown),
            WriteError::Database(error) => Self::Database(error),
        }
    }
}

/// Operations on tokens.
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    pub(crate) store: &'a Store,
}

impl Tokens<'_> {
    /// Makes a token. Its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn create(
        self,
        organization: OrganizationId,
        role: Role,
        name: Option<&str>,
        author: &Caller,
    ) -> Result<(Token, Secret<String>), TokenError> {
        let secret = self.draw();
        let token = Token {
            id: TokenId::from_uuid(self.store.new_id()),
            organization,
            role,
            name: name.map(str::to_owned),
            hash: TokenHash::of(secret.expose()),
            created_at: self.store.now(),
            revoked_at: None,
        };
        let write = self.store.begin("create the token").await?;
        let row = tokens::ActiveModel {
            id: Set(token.id.to_string()),
            organization_id: Set(organization.to_string()),
            role: Set(role.to_string()),
            name: Set(token.name.clone()),
            secret_hash: Set(token.hash.0.to_vec()),
            created_at: Set(milliseconds(token.created_at)),
            revoked_at: Set(None),
        };
        tokens::Entity::insert(row)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(organization))?;
        write
            .record(Act {
                organization,
                author: Some(author),
                action: "token.created",
                subject: token.id.to_string(),
                detail: json!({ "role": role, "name": token.name }),
            })
            .await?;
        write.commit().await?;
        Ok((token, secret))
    }

    /// The token that a bearer sent, unless it is unknown or revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_by_secret(self, secret: &str) -> Result<Option<Token>, DatabaseError> {
        tokens::Entity::find()
            .filter(tokens::Column::SecretHash.eq(TokenHash::of(secret).0.to_vec()))
            .filter(tokens::Column::RevokedAt.is_null())
            .one(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("look up the token"))?
            .map(TryInto::try_into)
            .transpose()
    }

    /// Every token of every organization that is not revoked, to fill a cache at the start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all_active(self) -> Result<Vec<Token>, DatabaseError> {
        let query = tokens::Entity::find().filter(tokens::Column::RevokedAt.is_null());
        self.read(query).await
    }

    /// An organization's tokens, oldest first, revoked ones included.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(self, organization: OrganizationId) -> Result<Vec<Token>, DatabaseError> {
        let query =
            tokens::Entity::find().filter(tokens::Column::OrganizationId.eq(organization.to_string()));
        self.read(query).await
    }

    /// Makes a token worthless for ever. Revoking twice changes nothing.
    ///
    /// # Errors
    /// When the organization has no such token or the database fails.
    pub async fn revoke(
        self,
        organization: OrganizationId,
        id: TokenId,
        author: &Caller,
    ) -> Result<Token, TokenError> {
        let write = self.store.begin("revoke the token").await?;
        let row = tokens::Entity::find_by_id(id.to_string())
            .filter(tokens::Column::OrganizationId.eq(organization.to_string()))
            .lock_exclusive()
            .one(&write.transaction)
            .await
            .map_err(write.failed())?
            .ok_or(TokenError::NotFound(id))?;
        if row.revoked_at.is_some() {
            return Ok(row.try_into()?);
        }
        let row = tokens::Model { revoked_at: Some(milliseconds(self.store.now())), ..row };
        tokens::Entity::update(row.clone().into_active_model().reset_all())
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed())?;
        write
            .record(Act {
                organization,
                author: Some(author),
                action: "token.revoked",
                subject: id.to_string(),
                detail: json!({}),
            })
            .await?;
        write.commit().await?;
        Ok(row.try_into()?)
    }

    /// Gives a token another role. One that was revoked has none.
    ///
    /// # Errors
    /// When the organization has no such token or the database fails.
    pub async fn change_role(
        self,
        organization: OrganizationId,
        id: TokenId,
        role: Role,
        author: &Caller,
    ) -> Result<Token, TokenError> {
        let write = self.store.begin("change the role of the token").await?;
        let row = tokens::Entity::find_by_id(id.to_string())
            .filter(tokens::Column::OrganizationId.eq(organization.to_string()))
            .filter(tokens::Column::RevokedAt.is_null())
            .lock_exclusive()
            .one(&write.transaction)
            .await
            .map_err(write.failed())?
            .ok_or(TokenError::NotFound(id))?;
        let before = Token::try_from(row.clone())?;
        if before.role == role {
            return Ok(before);
        }
        let row = tokens::Model { role: role.to_string(), ..row };
        tokens::Entity::update(row.clone().into_active_model().reset_all())
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed())?;
        write
            .record(Act {
                organization,
                author: Some(author),
                action: "token.role_changed",
                subject: id.to_string(),
                detail: json!({ "from": before.role, "to": role }),
            })
            .await?;
        write.commit().await?;
        Ok(row.try_into()?)
    }

    async fn read(self, query: sea_orm::Select<tokens::Entity>) -> Result<Vec<Token>, DatabaseError> {
        query
            .order_by_asc(tokens::Column::Id)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("list the tokens"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    fn draw(self) -> Secret<String> {
        let mut random = Zeroizing::new([0; 32]);
        self.store.entropy().fill(&mut *random);
        let mut digits = Zeroizing::new([0; 64]);
        // The buffer is exactly as long as the digits, which is the only way this can fail.
        let _ = hex::encode_to_slice(*random, &mut *digits);
        let mut secret = String::with_capacity(PREFIX.len() + digits.len());
        secret.push_str(PREFIX);
        secret.extend(digits.iter().map(|digit| char::from(*digit)));
        Secret::new(secret)
    }
}

impl TryFrom<tokens::Model> for Token {
    type Error = DatabaseError;

    fn try_from(row: tokens::Model) -> Result<Self, DatabaseError> {
        let time = |column, at: i64| Place("tokens", column).time(at);
        Ok(Self {
            id: Place("tokens", "id").parse(&row.id)?,
            organization: Place("tokens", "organization_id").parse(&row.organization_id)?,
            role: Place("tokens", "role").parse(&row.role)?,
            name: row.name,
            hash: TokenHash(Place("tokens", "secret_hash").digest(row.secret_hash)?),
            created_at: time("created_at", row.created_at)?,
            revoked_at: row.revoked_at.map(|at| time("revoked_at", at)).transpose()?,
        })
    }
}
