//! What each MCP server listed last, kept as it came, so that tools can be listed while no worker runs.

use chrono::{DateTime, Utc};
use hayloft_model::{InstanceKey, OrganizationId, PluginId, Revision, ServerId};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, Select};
use serde_json::value::RawValue;

use crate::column::{Place, milliseconds};
use crate::entity::tools;
use crate::{DatabaseError, Store, WriteError};

/// The list of one server.
#[derive(Clone, Debug)]
pub struct ToolListing {
    /// Whose.
    pub organization: OrganizationId,
    /// Which plugin's server.
    pub plugin: PluginId,
    /// Which server.
    pub server: ServerId,
    /// The revision of the configuration that it ran with.
    pub revision: Revision,
    /// A JSON array of definitions, byte for byte as the server gave them.
    pub definitions: Box<RawValue>,
    /// When it listed them.
    pub listed_at: DateTime<Utc>,
}

/// Operations on tool lists.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    pub(crate) store: &'a Store,
}

impl Tools<'_> {
    /// Remembers a server's list in place of its last one, unless that one came from a newer revision: a worker that
    /// is on its way out does not overwrite what its successor said.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn replace(
        self,
        key: &InstanceKey,
        server: &ServerId,
        revision: Revision,
        definitions: &RawValue,
    ) -> Result<(), WriteError> {
        let row = tools::ActiveModel {
            organization_id: Set(key.organization.to_string()),
            plugin_id: Set(key.plugin.to_string()),
            server_id: Set(server.to_string()),
            revision: Set(i64::from(revision.0)),
            definitions: Set(definitions.get().to_owned()),
            listed_at: Set(milliseconds(self.store.now())),
        };
        let unless_newer = OnConflict::columns([
            tools::Column::OrganizationId,
            tools::Column::PluginId,
            tools::Column::ServerId,
        ])
        .update_columns([tools::Column::Revision, tools::Column::Definitions, tools::Column::ListedAt])
        .action_and_where(Expr::col((tools::Entity, tools::Column::Revision)).lte(i64::from(revision.0)))
        .to_owned();
        let write = self.store.begin("remember the tools").await?;
        tools::Entity::insert(row)
            .on_conflict(unless_newer)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(key.organization))?;
        Ok(write.commit().await?)
    }

    /// Forgets the list of a server that is no more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget(self, key: &InstanceKey, server: &ServerId) -> Result<(), DatabaseError> {
        let write = self.store.begin("forget the tools").await?;
        tools::Entity::delete_by_id((
            key.organization.to_string(),
            key.plugin.to_string(),
            server.to_string(),
        ))
        .exec(&write.transaction)
        .await
        .map_err(write.failed())?;
        write.commit().await
    }

    /// An organization's lists, by plugin and server.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(self, organization: OrganizationId) -> Result<Vec<ToolListing>, DatabaseError> {
        self.read(tools::Entity::find().filter(tools::Column::OrganizationId.eq(organization.to_string())))
            .await
    }

    /// An instance's lists, by server.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(self, key: &InstanceKey) -> Result<Vec<ToolListing>, DatabaseError> {
        self.read(
            tools::Entity::find()
                .filter(tools::Column::OrganizationId.eq(key.organization.to_string()))
                .filter(tools::Column::PluginId.eq(key.plugin.to_string())),
        )
        .await
    }

    /// All lists of all organizations, to fill a cache at the start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<ToolListing>, DatabaseError> {
        self.read(tools::Entity::find()).await
    }

    async fn read(self, query: Select<tools::Entity>) -> Result<Vec<ToolListing>, DatabaseError> {
        query
            .order_by_asc(tools::Column::OrganizationId)
            .order_by_asc(tools::Column::PluginId)
            .order_by_asc(tools::Column::ServerId)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the tools"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }
}

impl TryFrom<tools::Model> for ToolListing {
    type Error = DatabaseError;

    fn try_from(row: tools::Model) -> Result<Self, DatabaseError> {
        Ok(Self {
            organization: Place("tools", "organization_id").parse(&row.organization_id)?,
            plugin: Place("tools", "plugin_id").parse(&row.plugin_id)?,
            server: Place("tools", "server_id").parse(&row.server_id)?,
            revision: Place("tools", "revision").revision(row.revision)?,
            definitions: Place("tools", "definitions").json(&row.definitions)?,
            listed_at: Place("tools", "listed_at").time(row.listed_at)?,
        })
    }
}
