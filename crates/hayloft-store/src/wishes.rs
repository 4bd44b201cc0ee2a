//! What was wished for plugins that are still being made ready, so that it comes true after the host ended meanwhile.
//!
//! A wish lies sealed, since it may hold credentials. It is forgotten as soon as it came true or could not.

use hayloft_model::config::{ConfigValues, Credentials};
use hayloft_model::{Caller, InstanceKey};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait, QueryOrder};
use serde_json::json;
use zeroize::Zeroizing;

use crate::audit::NewAuditEntry;
use crate::column::{Place as Column, milliseconds};
use crate::configurations::ConfigurationError;
use crate::entity::wishes;
use crate::vault::{self, DoesNotOpen, Place};
use crate::{DatabaseError, Store};

/// What somebody wishes for a plugin in an organization. What is absent is to stay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// Whether it is on.
    pub enabled: Option<bool>,
    /// Settings that change.
    pub config: Option<ConfigValues>,
    /// The chosen method of authentication and what it needs.
    pub auth: Option<Credentials>,
}

/// A wish that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptWish {
    /// For what.
    pub key: InstanceKey,
    /// Who wished it, as a `Caller` prints itself.
    pub author: String,
    /// What.
    pub wish: Wish,
}

/// Operations on wishes.
#[derive(Clone, Copy)]
pub struct Wishes<'a> {
    pub(crate) store: &'a Store,
}

impl Wishes<'_> {
    /// Keeps a wish, in the place of an earlier one for the same.
    ///
    /// # Errors
    /// When there is no such organization, or the database or the vault fails.
    pub async fn keep(
        self,
        key: &InstanceKey,
        author: &Caller,
        wish: &Wish,
    ) -> Result<(), ConfigurationError> {
        let store = self.store;
        let write = store.begin("keep the wish").await?;
        let data_key = store.data_key(&write.transaction, key.organization).await?;
        let sealed = written(wish)
            .and_then(|plain| vault::seal(&data_key, place(key), &plain, store.entropy()))
            .map_err(|source| sealed(key, source))?;
        let row = wishes::ActiveModel {
            organization_id: Set(key.organization.to_string()),
            plugin_id: Set(key.plugin.to_string()),
            author: Set(author.to_string()),
            wished_at: Set(milliseconds(store.now())),
            sealed: Set(sealed),
        };
        let again = OnConflict::columns([wishes::Column::OrganizationId, wishes::Column::PluginId])
            .update_columns([wishes::Column::Author, wishes::Column::WishedAt, wishes::Column::Sealed])
            .to_owned();
        wishes::Entity::insert(row)
            .on_conflict(again)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(key.organization))?;
        Ok(write.commit().await?)
    }

    /// Forgets a wish. One that is not kept is no error.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget(self, key: &InstanceKey) -> Result<(), DatabaseError> {
        let write = self.store.begin("forget the wish").await?;
        wishes::Entity::delete_by_id((key.organization.to_string(), key.plugin.to_string()))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        write.commit().await
    }

    /// All wishes, the oldest first. One that does not open is noted in the audit trail and left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<KeptWish>, DatabaseError> {
        let reader = &self.store.database().reader;
        let rows = wishes::Entity::find().order_by_asc(wishes::Column::WishedAt).all(reader).await;
        let mut kept = Vec::new();
        for row in rows.map_err(DatabaseError::doing("read the wishes"))? {
            let key = InstanceKey {
                organization: Column("wishes", "organization_id").parse(&row.organization_id)?,
                plugin: Column("wishes", "plugin_id").parse(&row.plugin_id)?,
            };
            let opened = match self.store.data_key(reader, key.organization).await {
                Ok(data_key) => vault::open(&data_key, place(&key), &row.sealed)
                    .and_then(|plain| read(&plain))
                    .map_err(|source| sealed(&key, source)),
                Err(error) => Err(error.into()),
            };
            match opened {
                Ok(wish) => kept.push(KeptWish { key, author: row.author, wish }),
                Err(error) => self.audit(&key, &error).await,
            }
        }
        Ok(kept)
    }

    async fn audit(self, key: &InstanceKey, error: &ConfigurationError) {
        tracing::error!(organization = %key.organization, plugin = %key.plugin, error = error as &dyn std::error::Error, "a wish that was kept cannot be read");
        let entry = NewAuditEntry {
            actor: String::from("host"),
            action: String::from("vault.refused"),
            subject: Some(key.plugin.to_string()),
            detail: json!({ "record": TABLE }),
        };
        if let Err(error) = self.store.audit().append(key.organization, entry).await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(organization = %key.organization, plugin = %key.plugin, error, "a record that does not open could not be audited");
        }
    }
}

const TABLE: &str = "wishes";

fn place(key: &InstanceKey) -> Place<'_> {
    Place {
        table: TABLE,
        organization: Some(key.organization),
        plugin: key.plugin.as_str(),
        field: "sealed",
        revision: 0,
    }
}

fn sealed(key: &InstanceKey, source: DoesNotOpen) -> ConfigurationError {
    ConfigurationError::Sealed { key: key.clone(), revision: hayloft_model::Revision(0), source }
}

/// A byte for what is to be on and whether there are settings, then the settings behind their length, then the
/// credentials.
fn written(wish: &Wish) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let enabled = match wish.enabled {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    };
    let config = wish.config.as_ref().map(vault::write_values).transpose()?;
    let auth = vault::write_credentials(wish.auth.as_ref())?;
    let length = config.as_ref().map_or(0, |config| config.len());
    let mut bytes = Zeroizing::new(Vec::with_capacity(10 + length + auth.len()));
    bytes.push(enabled);
    bytes.push(u8::from(config.is_some()));
    bytes.extend_from_slice(&(length as u64).to_be_bytes());
    bytes.extend_from_slice(config.as_ref().map_or(&[][..], |config| config));
    bytes.extend_from_slice(&auth);
    Ok(bytes)
}

fn read(plain: &[u8]) -> Result<Wish, DoesNotOpen> {
    let ([enabled, has_config], rest) = plain.split_first_chunk::<2>().ok_or(DoesNotOpen)?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or(DoesNotOpen)?;
    let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| DoesNotOpen)?;
    let (config, auth) = rest.split_at_checked(length).ok_or(DoesNotOpen)?;
    Ok(Wish {
        enabled: match enabled {
            0 => None,
            1 => Some(false),
            2 => Some(true),
            _ => return Err(DoesNotOpen),
        },
        config: (*has_config == 1).then(|| vault::read_values(config)).transpose()?,
        auth: vault::read_credentials(auth)?,
    })
}
