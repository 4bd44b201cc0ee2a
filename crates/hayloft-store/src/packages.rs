//! Plugin folders that were read, and which content of each plugin is the one to run. The same for every organization.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use hayloft_model::plugin::{FastStart, Package};
use hayloft_model::{PluginId, Problems};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::column::{Place, milliseconds};
use crate::entity::{current_packages, packages};
use crate::{DatabaseError, Store};

/// A package as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPackage {
    /// Where it is, which code it is, what it says.
    pub package: Package,
    /// What its reader found wrong with it.
    pub problems: Problems,
    /// When this content was read for the first time.
    pub first_seen_at: DateTime<Utc>,
    /// When it was read last.
    pub seen_at: DateTime<Utc>,
}

/// Why a package was not remembered.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A path that is no text cannot be stored in every database.
    #[error("failed to remember the package in `{}`: the path is not valid UTF-8", root.display())]
    Root {
        /// The folder.
        root: PathBuf,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Operations on packages.
#[derive(Clone, Copy)]
pub struct Packages<'a> {
    pub(crate) store: &'a Store,
}

impl Packages<'_> {
    /// Remembers what was read and makes it the current content of its plugin.
    ///
    /// # Errors
    /// When the path is no text or the database fails.
    pub async fn upsert(self, package: &Package, problems: &Problems) -> Result<StoredPackage, PackageError> {
        let root = package.root.to_str().ok_or_else(|| PackageError::Root { root: package.root.clone() })?;
        let plugin_id = package.descriptor.id.to_string();
        let content_hash = package.content_hash.to_string();
        let now = milliseconds(self.store.now());
        let row = packages::ActiveModel {
            plugin_id: Set(plugin_id.clone()),
            content_hash: Set(content_hash.clone()),
            version: Set(package.descriptor.version.clone()),
            root: Set(root.to_owned()),
            descriptor: Set(Place("packages", "descriptor").write_json(&package.descriptor)?),
            problems: Set(Place("packages", "problems").write_json(problems)?),
            first_seen_at: Set(now),
            seen_at: Set(now),
        };
        let write = self.store.begin("remember the package").await?;
        let again = OnConflict::columns([packages::Column::PluginId, packages::Column::ContentHash])
            .update_columns([
                packages::Column::Version,
                packages::Column::Root,
                packages::Column::Descriptor,
                packages::Column::Problems,
                packages::Column::SeenAt,
            ])
            .to_owned();
        packages::Entity::insert(row)
            .on_conflict(again)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed())?;
        let current = current_packages::ActiveModel {
            plugin_id: Set(plugin_id.clone()),
            content_hash: Set(content_hash.clone()),
        };
        let replace = OnConflict::column(current_packages::Column::PluginId)
            .update_column(current_packages::Column::ContentHash)
            .to_owned();
        current_packages::Entity::insert(current)
            .on_conflict(replace)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed())?;
        let first_seen_at = packages::Entity::find_by_id((plugin_id, content_hash))
            .one(&write.transaction)
            .await
            .map_err(write.failed())?
            .map_or(now, |row| row.first_seen_at);
        write.commit().await?;
        Ok(StoredPackage {
            package: package.clone(),
            problems: problems.clone(),
            first_seen_at: Place("packages", "first_seen_at").time(first_seen_at)?,
            seen_at: Place("packages", "seen_at").time(now)?,
        })
    }

    /// Takes a plugin out of the registry, as when its folder is gone. What its contents were stays known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn withdraw(self, plugin: &PluginId) -> Result<(), DatabaseError> {
        let write = self.store.begin("withdraw the package").await?;
        current_packages::Entity::delete_by_id(plugin.to_string())
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        write.commit().await
    }

    /// The current package of each plugin, by id. One that an older version wrote in a form that this version does
    /// not read is left out: reading its folder again mends it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(self) -> Result<Vec<StoredPackage>, DatabaseError> {
        Ok(self.read(None).await?.into_iter().filter_map(readable).collect())
    }

    /// The current package of a plugin.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn get(self, plugin: &PluginId) -> Result<Option<StoredPackage>, DatabaseError> {
        Ok(self.read(Some(plugin)).await?.into_iter().find_map(readable))
    }

    async fn read(self, plugin: Option<&PluginId>) -> Result<Vec<packages::Model>, DatabaseError> {
        let failed = DatabaseError::doing("read the packages");
        let reader = &self.store.database().reader;
        let mut current = current_packages::Entity::find();
        if let Some(plugin) = plugin {
            current = current.filter(current_packages::Column::PluginId.eq(plugin.to_string()));
        }
        let current = current.order_by_asc(current_packages::Column::PluginId);
        let current = current.all(reader).await.map_err(failed)?;
        let hashes = current.iter().map(|current| current.content_hash.clone());
        let mut rows = packages::Entity::find()
            .filter(packages::Column::ContentHash.is_in(hashes))
            .order_by_asc(packages::Column::PluginId)
            .all(reader)
            .await
            .map_err(failed)?;
        // Equal content under two names is possible; only the pair is current.
        rows.retain(|row| {
            current
                .iter()
                .any(|current| current.plugin_id == row.plugin_id && current.content_hash == row.content_hash)
        });
        Ok(rows)
    }
}

fn readable(row: packages::Model) -> Option<StoredPackage> {
    let plugin = row.plugin_id.clone();
    StoredPackage::try_from(row)
        .inspect_err(|error| {
            tracing::warn!(
                plugin,
                error = error as &dyn std::error::Error,
                "a remembered package is not readable"
            );
        })
        .ok()
}

impl TryFrom<packages::Model> for StoredPackage {
    type Error = DatabaseError;

    fn try_from(row: packages::Model) -> Result<Self, DatabaseError> {
        Ok(Self {
            package: Package {
                root: PathBuf::from(row.root),
                content_hash: Place("packages", "content_hash").parse(&row.content_hash)?,
                descriptor: Place("packages", "descriptor").json(&row.descriptor)?,
                start: FastStart::default(),
            },
            problems: Place("packages", "problems").json(&row.problems)?,
            first_seen_at: Place("packages", "first_seen_at").time(row.first_seen_at)?,
            seen_at: Place("packages", "seen_at").time(row.seen_at)?,
        })
    }
}
