//! A pool as the API shows it.

use hayloft_host::Pool;
use serde::Serialize;
use utoipa::ToSchema;

/// The workers of a plugin over all organizations.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Pool)]
pub(crate) struct PoolBody {
    /// The plugin.
    plugin_id: String,
    /// How many organizations may have workers of it at once.
    workers: usize,
    /// What an administrator chose by this interface; `null` when the configuration counts.
    chosen: Option<usize>,
    /// How many organizations have workers of it now.
    in_use: usize,
    /// How many starts wait for a place.
    waiting: usize,
}

impl From<Pool> for PoolBody {
    fn from(pool: Pool) -> Self {
        Self {
            plugin_id: pool.plugin.to_string(),
            workers: pool.limit.get(),
            chosen: pool.chosen.map(std::num::NonZeroUsize::get),
            in_use: pool.in_use,
            waiting: pool.waiting,
        }
    }
}
