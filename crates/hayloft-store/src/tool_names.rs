//! Public names of tools. A name is allotted when a tool is first seen and stays with it for ever, so that adding a
//! second plugin never renames what agents already know.

use std::collections::{HashMap, HashSet};

use hayloft_model::{InstanceKey, OrganizationId, PluginId, ServerId};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use crate::column::{Place, milliseconds};
use crate::entity::{organizations, tool_names};
use crate::write::Write;
use crate::{DatabaseError, Store, UnknownOrganization, WriteError};

/// A tool's public name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolName {
    /// In which organization it means the tool.
    pub organization: OrganizationId,
    /// The tool's plugin.
    pub plugin: PluginId,
    /// The tool's server.
    pub server: ServerId,
    /// What the server calls it.
    pub tool: String,
    /// What the organization's agents call it.
    pub name: String,
}

/// A tool that needs a public name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedName {
    /// The tool's server.
    pub server: ServerId,
    /// What the server calls it.
    pub tool: String,
    /// The name that it should have, already within the rules of the protocol.
    pub name: String,
}

/// Operations on public names.
#[derive(Clone, Copy)]
pub struct ToolNames<'a> {
    pub(crate) store: &'a Store,
}

impl ToolNames<'_> {
    /// The names of a plugin's tools, in the order of `wanted`. A tool that has a name keeps it. A new one gets the
    /// wanted name or, if that is taken, the first free one of `name_2`, `name_3`, …, cut so that it is no longer
    /// than `longest` bytes.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn allot(
        self,
        key: &InstanceKey,
        wanted: &[WantedName],
        longest: usize,
    ) -> Result<Vec<String>, WriteError> {
        // Nearly always nothing is new, and then nobody has to wait for the one who writes.
        if let Some(names) = self.known(key, wanted).await? {
            return Ok(names);
        }
        let write = self.store.begin("allot the names of the tools").await?;
        lock(&write, key.organization).await?;
        let rows = of(key.organization).all(&write.transaction).await.map_err(write.failed())?;
        let mut taken: HashSet<String> = rows.iter().map(|row| row.name.clone()).collect();
        let mut known: HashMap<(String, String), String> = rows
            .into_iter()
            .filter(|row| row.plugin_id == key.plugin.as_str())
            .map(|row| ((row.server_id, row.tool), row.name))
            .collect();
        let mut names = Vec::with_capacity(wanted.len());
        let mut new_rows = Vec::new();
        for WantedName { server, tool, name } in wanted {
            let tool_key = (server.to_string(), tool.clone());
            if let Some(name) = known.get(&tool_key) {
                names.push(name.clone());
                continue;
            }
            let name = free_name(name, longest, &taken);
            taken.insert(name.clone());
            new_rows.push(tool_names::ActiveModel {
                organization_id: Set(key.organization.to_string()),
                plugin_id: Set(key.plugin.to_string()),
                server_id: Set(tool_key.0.clone()),
                tool: Set(tool.clone()),
                name: Set(name.clone()),
                allotted_at: Set(milliseconds(self.store.now())),
            });
            known.insert(tool_key, name.clone());
            names.push(name);
        }
        if new_rows.is_empty() {
            return Ok(names);
        }
        // A statement has a limited number of parameters on every backend.
        for rows in new_rows.chunks(500) {
            tool_names::Entity::insert_many(rows.iter().cloned())
                .exec_without_returning(&write.transaction)
                .await
                .map_err(write.failed_for(key.organization))?;
        }
        write.commit().await?;
        Ok(names)
    }

    /// The names of all the wanted tools, if each has one.
    async fn known(
        self,
        key: &InstanceKey,
        wanted: &[WantedName],
    ) -> Result<Option<Vec<String>>, DatabaseError> {
        let rows = of(key.organization).filter(tool_names::Column::PluginId.eq(key.plugin.to_string()));
        let known: HashMap<(String, String), String> = rows
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the names of the tools"))?
            .into_iter()
            .map(|row| ((row.server_id, row.tool), row.name))
            .collect();
        Ok(wanted
            .iter()
            .map(|tool| known.get(&(tool.server.to_string(), tool.tool.clone())).cloned())
            .collect())
    }

    /// An organization's names, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(self, organization: OrganizationId) -> Result<Vec<ToolName>, DatabaseError> {
        self.read(of(organization)).await
    }

    /// All names of all organizations, to fill a cache at the start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<ToolName>, DatabaseError> {
        self.read(tool_names::Entity::find()).await
    }

    async fn read(self, query: Select<tool_names::Entity>) -> Result<Vec<ToolName>, DatabaseError> {
        query
            .order_by_asc(tool_names::Column::OrganizationId)
            .order_by_asc(tool_names::Column::Name)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the names of the tools"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }
}

/// Two plugins that want the same name at the same moment take turns.
async fn lock(write: &Write<'_>, organization: OrganizationId) -> Result<(), WriteError> {
    organizations::Entity::find_by_id(organization.to_string())
        .lock_exclusive()
        .one(&write.transaction)
        .await
        .map_err(write.failed())?
        .map(|_| ())
        .ok_or_else(|| UnknownOrganization(organization).into())
}

fn of(organization: OrganizationId) -> Select<tool_names::Entity> {
    tool_names::Entity::find().filter(tool_names::Column::OrganizationId.eq(organization.to_string()))
}

fn free_name(wanted: &str, longest: usize, taken: &HashSet<String>) -> String {
    let whole = cut(wanted, longest);
    if !taken.contains(whole) {
        return whole.to_owned();
    }
    let mut number = 2_u64;
    loop {
        let suffix = format!("_{number}");
        let name = format!("{}{suffix}", cut(wanted, longest.saturating_sub(suffix.len())));
        if !taken.contains(&name) {
            return name;
        }
        number += 1;
    }
}

/// The beginning of a text, no longer than so many bytes and of whole characters.
fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

impl TryFrom<tool_names::Model> for ToolName {
    type Error = DatabaseError;

    fn try_from(row: tool_names::Model) -> Result<Self, DatabaseError> {
        Ok(Self {
            organization: Place("tool_names", "organization_id").parse(&row.organization_id)?,
            plugin: Place("tool_names", "plugin_id").parse(&row.plugin_id)?,
            server: Place("tool_names", "server_id").parse(&row.server_id)?,
            tool: row.tool,
            name: row.name,
        })
    }
}
