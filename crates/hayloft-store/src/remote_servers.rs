//! MCP servers elsewhere that plugins' code handed over for single organizations, so that they are reached although no
//! worker runs. They lie sealed: their addresses and headers hold what the organization authenticates with.

use chrono::{DateTime, Utc};
use hayloft_model::{ContentHash, InstanceKey, OrganizationId, PluginId, Secret, ServerId};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::json;
use zeroize::Zeroizing;

use crate::audit::NewAuditEntry;
use crate::column::{Place as Column, milliseconds};
use crate::data_keys::DataKeyError;
use crate::entity::remote_servers;
use crate::vault::{self, DoesNotOpen, Place};
use crate::write::Write;
use crate::{DatabaseError, Store, UnknownOrganization, WriteError};

/// A server, as it is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteServer {
    /// Whose.
    pub key: InstanceKey,
    /// Which.
    pub server: ServerId,
    /// Which code handed it over.
    pub content_hash: ContentHash,
    /// What it said. Nothing in here reads it.
    pub said: Secret<String>,
    /// When.
    pub registered_at: DateTime<Utc>,
}

/// Why a server was not remembered.
#[derive(Debug, thiserror::Error)]
pub enum RemoteServerError {
    /// It cannot be sealed.
    #[error("failed to seal an MCP server of `{}`", key.plugin)]
    Sealed {
        /// Whose.
        key: InstanceKey,
        /// Why.
        #[source]
        source: DoesNotOpen,
    },
    /// The organization's data key does not open.
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

impl From<DataKeyError> for RemoteServerError {
    fn from(error: DataKeyError) -> Self {
        match error {
            DataKeyError::Sealed { organization, source } => Self::DataKey { organization, source },
            DataKeyError::UnknownOrganization(unknown) => Self::UnknownOrganization(unknown),
            DataKeyError::Database(error) => Self::Database(error),
        }
    }
}

impl From<WriteError> for RemoteServerError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::UnknownOrganization(unknown) => Self::UnknownOrganization(unknown),
            WriteError::Database(error) => Self::Database(error),
        }
    }
}

/// Operations on servers elsewhere. They go with what the organization saved for the plugin.
#[derive(Clone, Copy)]
pub struct RemoteServers<'a> {
    pub(crate) store: &'a Store,
}

impl RemoteServers<'_> {
    /// Remembers a server in place of an earlier one of the same id.
    ///
    /// # Errors
    /// When the organization does not exist, or the vault or the database fails.
    pub async fn put(
        self,
        key: &InstanceKey,
        server: &ServerId,
        content_hash: ContentHash,
        said: &Secret<String>,
    ) -> Result<(), RemoteServerError> {
        let write = self.store.begin("remember the MCP server").await?;
        let data_key = self.store.data_key(&write.transaction, key.organization).await?;
        let plain = Zeroizing::new(said.expose().clone().into_bytes());
        let sealed = vault::seal(&data_key, place(key, server), &plain, self.store.entropy())
            .map_err(|source| RemoteServerError::Sealed { key: key.clone(), source })?;
        let row = remote_servers::ActiveModel {
            organization_id: Set(key.organization.to_string()),
            plugin_id: Set(key.plugin.to_string()),
            server_id: Set(server.to_string()),
            content_hash: Set(content_hash.to_string()),
            registered_at: Set(milliseconds(self.store.now())),
            sealed: Set(sealed),
        };
        let replace = OnConflict::columns([
            remote_servers::Column::OrganizationId,
            remote_servers::Column::PluginId,
            remote_servers::Column::ServerId,
        ])
        .update_columns([
            remote_servers::Column::ContentHash,
            remote_servers::Column::RegisteredAt,
            remote_servers::Column::Sealed,
        ])
        .to_owned();
        remote_servers::Entity::insert(row)
            .on_conflict(replace)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(key.organization))?;
        Ok(write.commit().await?)
    }

    /// Forgets a server.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget(self, key: &InstanceKey, server: &ServerId) -> Result<(), DatabaseError> {
        let write = self.store.begin("forget the MCP server").await?;
        let id = (key.organization.to_string(), key.plugin.to_string(), server.to_string());
        remote_servers::Entity::delete_by_id(id).exec(&write.transaction).await.map_err(write.failed())?;
        write.commit().await
    }

    /// Every server of any instance, to begin with at the start. One that does not open is left out, with a line in the
    /// audit trail: the next start of the plugin mends it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<RemoteServer>, DatabaseError> {
        let reader = &self.store.database().reader;
        let rows = remote_servers::Entity::find()
            .order_by_asc(remote_servers::Column::OrganizationId)
            .order_by_asc(remote_servers::Column::PluginId)
            .order_by_asc(remote_servers::Column::ServerId)
            .all(reader)
            .await
            .map_err(DatabaseError::doing("read the MCP servers elsewhere"))?;
        let mut servers = Vec::with_capacity(rows.len());
        for row in rows {
            let column = |name| Column(TABLE, name);
            let key = InstanceKey {
                organization: column("organization_id").parse(&row.organization_id)?,
                plugin: column("plugin_id").parse::<PluginId>(&row.plugin_id)?,
            };
            let server: ServerId = column("server_id").parse(&row.server_id)?;
            let opened = match self.store.data_key(reader, key.organization).await {
                Ok(data_key) => vault::open(&data_key, place(&key, &server), &row.sealed),
                Err(DataKeyError::Database(error)) => return Err(error),
                Err(DataKeyError::Sealed { .. } | DataKeyError::UnknownOrganization(_)) => Err(DoesNotOpen),
            };
            let text = opened.and_then(|plain| String::from_utf8(plain.to_vec()).map_err(|_| DoesNotOpen));
            let Ok(text) = text else {
                self.audit(&key).await;
                continue;
            };
            servers.push(RemoteServer {
                said: Secret::new(text),
                content_hash: column("content_hash").parse(&row.content_hash)?,
                registered_at: column("registered_at").time(row.registered_at)?,
                key,
                server,
            });
        }
        Ok(servers)
    }

    /// A record that does not open was tampered with, or the disk is failing: both are to be known.
    async fn audit(self, key: &InstanceKey) {
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

/// Forgets all servers of an instance.
pub(crate) async fn purge(write: &Write<'_>, key: &InstanceKey) -> Result<(), DatabaseError> {
    remote_servers::Entity::delete_many()
        .filter(remote_servers::Column::OrganizationId.eq(key.organization.to_string()))
        .filter(remote_servers::Column::PluginId.eq(key.plugin.to_string()))
        .exec(&write.transaction)
        .await
        .map_err(write.failed())?;
    Ok(())
}

const TABLE: &str = "remote_servers";

fn place<'a>(key: &'a InstanceKey, server: &'a ServerId) -> Place<'a> {
    Place {
        table: TABLE,
        organization: Some(key.organization),
        plugin: key.plugin.as_str(),
        field: server.as_str(),
        revision: 0,
    }
}
