//! How many workers plugins may have over all organizations. Without a row the operator's configuration counts.

use std::num::NonZeroUsize;

use hayloft_model::{Caller, PluginId};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::json;

use crate::audit::NewAuditEntry;
use crate::column::{Place, milliseconds};
use crate::entity::pool_limits;
use crate::{DatabaseError, Store};

/// Operations on the limits.
#[derive(Clone, Copy)]
pub struct PoolLimits<'a> {
    pub(crate) store: &'a Store,
}

impl PoolLimits<'_> {
    /// Notes how many workers a plugin may have, or that nobody says so any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn choose(
        self,
        plugin: &PluginId,
        workers: Option<NonZeroUsize>,
        author: &Caller,
    ) -> Result<(), DatabaseError> {
        let write = self.store.begin("choose how many workers a plugin may have").await?;
        match workers {
            Some(workers) => {
                let row = pool_limits::ActiveModel {
                    plugin_id: Set(plugin.to_string()),
                    workers: Set(i64::try_from(workers.get()).unwrap_or(i64::MAX)),
                    chosen_at: Set(milliseconds(self.store.now())),
                };
                let replace = OnConflict::column(pool_limits::Column::PluginId)
                    .update_columns([pool_limits::Column::Workers, pool_limits::Column::ChosenAt])
                    .to_owned();
                pool_limits::Entity::insert(row)
                    .on_conflict(replace)
                    .exec_without_returning(&write.transaction)
                    .await
                    .map_err(write.failed())?;
            }
            None => {
                pool_limits::Entity::delete_by_id(plugin.to_string())
                    .exec(&write.transaction)
                    .await
                    .map_err(write.failed())?;
            }
        }
        write
            .record_for_host(NewAuditEntry {
                actor: author.to_string(),
                action: String::from("pool.limited"),
                subject: Some(plugin.to_string()),
                detail: json!({ "workers": workers }),
            })
            .await?;
        write.commit().await
    }

    /// All that were chosen, to fill a cache at the start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<(PluginId, NonZeroUsize)>, DatabaseError> {
        let place = |column| Place("pool_limits", column);
        let rows = pool_limits::Entity::find()
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read how many workers plugins may have"))?;
        rows.into_iter()
            .map(|row| {
                let workers = place("workers").convert::<usize, _>(row.workers)?;
                Ok((place("plugin_id").parse(&row.plugin_id)?, place("workers").convert(workers)?))
            })
            .collect()
    }
}
