//! Texts that a plugin keeps for an organization, by name. They lie sealed, since they may be secrets; their names are
//! readable, as those of settings are.
//!
//! A value has an end if it was given one; from then on it is not there, although its row may lie around until it is
//! swept. Like a setting, a value that is put back where it once was opens again.

use chrono::TimeDelta;
use hayloft_model::{InstanceKey, OrganizationId, Secret};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::audit::NewAuditEntry;
use crate::column::{Place as Column, milliseconds};
use crate::data_keys::DataKeyError;
use crate::entity::plugin_values;
use crate::instances;
use crate::vault::{self, DoesNotOpen, Place};
use crate::write::Write;
use crate::{DatabaseError, Store, UnknownOrganization, WriteError};

/// How much one plugin may keep for one organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// So many values.
    pub values: u64,
    /// All names and values together, in bytes.
    pub bytes: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { values: 10_000, bytes: 64 << 20 }
    }
}

/// Why a value was not read or not kept.
#[derive(Debug, thiserror::Error)]
pub enum PluginValueError {
    /// So many values are kept already.
    #[error("keeps {limit} values, and no more are allowed")]
    TooMany {
        /// How many are allowed.
        limit: u64,
    },
    /// With this value it would be too much.
    #[error("would keep {bytes} bytes with this value, and {limit} are allowed")]
    TooMuch {
        /// How much it would be.
        bytes: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// The organization has no such instance.
    #[error("there is no instance of `{}` in this organization", .0.plugin)]
    NotFound(InstanceKey),
    /// Its record does not open. The audit trail has a line about it.
    #[error("failed to open a value that `{}` keeps", key.plugin)]
    Sealed {
        /// Whose.
        key: InstanceKey,
        /// That it does not open.
        #[source]
        source: DoesNotOpen,
    },
    /// The organization's data key does not open. The audit trail has a line about it.
    #[error("failed to open the data key of the organization")]
    DataKey {
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

impl From<DataKeyError> for PluginValueError {
    fn from(error: DataKeyError) -> Self {
        match error {
            DataKeyError::Sealed { organization, source } => Self::DataKey { organization, source },
            DataKeyError::UnknownOrganization(unknown) => Self::UnknownOrganization(unknown),
            DataKeyError::Database(error) => Self::Database(error),
        }
    }
}

impl From<WriteError> for PluginValueError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::UnknownOrganization(unknown) => Self::UnknownOrganization(unknown),
            WriteError::Database(error) => Self::Database(error),
        }
    }
}

/// Operations on the values that plugins keep.
#[derive(Clone, Copy)]
pub struct PluginValues<'a> {
    pub(crate) store: &'a Store,
}

impl PluginValues<'_> {
    /// The value of a name, if there is one whose time is not over.
    ///
    /// # Errors
    /// When it does not open or the database fails.
    pub async fn get(
        self,
        key: &InstanceKey,
        name: &str,
    ) -> Result<Option<Secret<String>>, PluginValueError> {
        let result = self.try_get(key, name).await;
        if let Err(error) = &result {
            self.audit(key, error).await;
        }
        result
    }

    async fn try_get(
        self,
        key: &InstanceKey,
        name: &str,
    ) -> Result<Option<Secret<String>>, PluginValueError> {
        let reader = &self.store.database().reader;
        let row = plugin_values::Entity::find_by_id(id(key, name))
            .one(reader)
            .await
            .map_err(DatabaseError::doing("read a plugin's value"))?;
        let now = milliseconds(self.store.now());
        let Some(row) = row.filter(|row| row.expires_at.is_none_or(|end| end > now)) else { return Ok(None) };
        let data_key = self.store.data_key(reader, key.organization).await?;
        let sealed = |source| PluginValueError::Sealed { key: key.clone(), source };
        let plain = vault::open(&data_key, place(key, name), &row.sealed).map_err(sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|_| sealed(DoesNotOpen))?;
        Ok(Some(Secret::new(text.to_owned())))
    }

    /// Keeps a value under a name, in place of what was there. It ends after the given time, if one is given.
    ///
    /// # Errors
    /// When the quota does not allow it, there is no such instance, or the database or the vault fails. What was there
    /// stays then.
    pub async fn set(
        self,
        key: &InstanceKey,
        name: &str,
        value: &Secret<String>,
        lives: Option<TimeDelta>,
        quota: Quota,
    ) -> Result<(), PluginValueError> {
        let result = self.try_set(key, name, value, lives, quota).await;
        if let Err(error) = &result {
            self.audit(key, error).await;
        }
        result
    }

    async fn try_set(
        self,
        key: &InstanceKey,
        name: &str,
        value: &Secret<String>,
        lives: Option<TimeDelta>,
        quota: Quota,
    ) -> Result<(), PluginValueError> {
        let write = self.store.begin("keep a plugin's value").await?;
        // Sets of one instance come one after the other, so that together they keep to the quota; and none of them
        // comes after the purge that deleted the rest.
        instances::lock(&write, key).await?.ok_or_else(|| PluginValueError::NotFound(key.clone()))?;
        let now = self.store.now();
        let length = (name.len() + value.expose().len()) as u64;
        check_quota(&write, key, name, length, milliseconds(now), quota).await?;
        let data_key = self.store.data_key(&write.transaction, key.organization).await?;
        let sealed = vault::seal(
            &data_key,
            place(key, name),
            &Zeroizing::new(value.expose().clone().into_bytes()),
            self.store.entropy(),
        )
        .map_err(|source| PluginValueError::Sealed { key: key.clone(), source })?;
        // What lives longer than time can be written lives for ever.
        let end = lives.and_then(|lives| now.checked_add_signed(lives));
        let row = plugin_values::ActiveModel {
            organization_id: Set(key.organization.to_string()),
            plugin_id: Set(key.plugin.to_string()),
            name: Set(name.to_owned()),
            length: Set(i64::try_from(length).unwrap_or(i64::MAX)),
            expires_at: Set(end.map(milliseconds)),
            updated_at: Set(milliseconds(now)),
            sealed: Set(sealed),
        };
        let replace = OnConflict::columns([
            plugin_values::Column::OrganizationId,
            plugin_values::Column::PluginId,
            plugin_values::Column::Name,
        ])
        .update_columns([
            plugin_values::Column::Length,
            plugin_values::Column::ExpiresAt,
            plugin_values::Column::UpdatedAt,
            plugin_values::Column::Sealed,
        ])
        .to_owned();
        plugin_values::Entity::insert(row)
            .on_conflict(replace)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(key.organization))?;
        Ok(write.commit().await?)
    }

    /// Deletes the value of a name, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete(self, key: &InstanceKey, name: &str) -> Result<(), DatabaseError> {
        let write = self.store.begin("delete a plugin's value").await?;
        plugin_values::Entity::delete_by_id(id(key, name))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        write.commit().await
    }

    /// Deletes, of all organizations, what has come to its end. Gives how many values that were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(self) -> Result<u64, DatabaseError> {
        let write = self.store.begin("sweep the values of plugins").await?;
        let swept = plugin_values::Entity::delete_many()
            .filter(plugin_values::Column::ExpiresAt.lte(milliseconds(self.store.now())))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        write.commit().await?;
        Ok(swept.rows_affected)
    }

    /// A record that does not open was tampered with, or the disk is failing: both are to be known.
    async fn audit(self, key: &InstanceKey, error: &PluginValueError) {
        if !matches!(error, PluginValueError::Sealed { .. } | PluginValueError::DataKey { .. }) {
            return;
        }
        let entry = NewAuditEntry {
            actor: String::from("host"),
            action: String::from("vault.refused"),
            subject: Some(key.plugin.to_string()),
            detail: json!({ "table": TABLE }),
        };
        if let Err(error) = self.store.audit().append(key.organization, entry).await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(instance = %key, error, "a record that does not open could not be audited");
        }
    }
}

/// Deletes everything that a plugin keeps for an organization.
pub(crate) async fn purge(write: &Write<'_>, key: &InstanceKey) -> Result<(), DatabaseError> {
    plugin_values::Entity::delete_many()
        .filter(of_instance(key))
        .exec(&write.transaction)
        .await
        .map_err(write.failed())?;
    Ok(())
}

/// Whether one more value fits beside the others that are kept at this moment.
async fn check_quota(
    write: &Write<'_>,
    key: &InstanceKey,
    name: &str,
    length: u64,
    now: i64,
    quota: Quota,
) -> Result<(), PluginValueError> {
    let others = Condition::all()
        .add(of_instance(key))
        .add(plugin_values::Column::Name.ne(name))
        .add(plugin_values::Column::ExpiresAt.is_null().or(plugin_values::Column::ExpiresAt.gt(now)));
    let (kept, bytes) = totals(&write.transaction, others).await.map_err(write.failed())?;
    let count = |number: i64| Column(TABLE, "length").count(number);
    let (kept, bytes) = (count(kept)?, count(bytes)?.saturating_add(length));
    if kept >= quota.values {
        return Err(PluginValueError::TooMany { limit: quota.values });
    }
    if bytes > quota.bytes {
        return Err(PluginValueError::TooMuch { bytes, limit: quota.bytes });
    }
    Ok(())
}

async fn totals(connection: &impl ConnectionTrait, which: Condition) -> Result<(i64, i64), sea_orm::DbErr> {
    let length = || Expr::col(plugin_values::Column::Length);
    let totals: Option<(i64, Option<i64>)> = plugin_values::Entity::find()
        .select_only()
        .column_as(length().count(), "kept")
        // A sum of `bigint` is a `numeric` in PostgreSQL.
        .column_as(length().sum().cast_as("bigint"), "bytes")
        .filter(which)
        .into_tuple()
        .one(connection)
        .await?;
    Ok(totals.map_or((0, 0), |(kept, bytes)| (kept, bytes.unwrap_or_default())))
}

fn of_instance(key: &InstanceKey) -> Condition {
    Condition::all()
        .add(plugin_values::Column::OrganizationId.eq(key.organization.to_string()))
        .add(plugin_values::Column::PluginId.eq(key.plugin.to_string()))
}

fn id(key: &InstanceKey, name: &str) -> (String, String, String) {
    (key.organization.to_string(), key.plugin.to_string(), name.to_owned())
}

const TABLE: &str = "plugin_values";

fn place<'a>(key: &'a InstanceKey, name: &'a str) -> Place<'a> {
    Place {
        table: TABLE,
        organization: Some(key.organization),
        plugin: key.plugin.as_str(),
        field: name,
        revision: 0,
    }
}
