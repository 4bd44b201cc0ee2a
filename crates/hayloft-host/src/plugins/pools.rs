//! See and choose how many workers plugins may have over all organizations.

use std::num::NonZeroUsize;

use hayloft_model::{Caller, PluginId};
use hayloft_workers::Pool;

use crate::access::{Denied, administrator_only};
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// Why it was not chosen.
#[derive(Debug, thiserror::Error)]
pub enum LimitPoolError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// The pools of all plugins of this host.
    ///
    /// # Errors
    /// When the caller is not the administrator.
    pub async fn pools(&self, caller: &Caller) -> Result<Vec<Pool>, Denied> {
        administrator_only(caller)?;
        let mut ids: Vec<PluginId> = self.plugins.all().keys().map(|(id, _)| id.clone()).collect();
        ids.dedup();
        Ok(self.workers.pools(ids).await)
    }

    /// Chooses how many workers a plugin may have, or leaves it to the configuration again. Workers that are too many
    /// go when somebody waits for a place, and never in the middle of a call.
    ///
    /// # Errors
    /// See [`LimitPoolError`].
    pub async fn limit_pool(
        &self,
        caller: &Caller,
        id: &PluginId,
        workers: Option<NonZeroUsize>,
    ) -> Result<Pool, LimitPoolError> {
        administrator_only(caller)?;
        let unknown = || LimitPoolError::UnknownPlugin(id.clone());
        // A choice that nobody could take back would be worse than one about a plugin that went away.
        if workers.is_some() && !self.plugins.all().keys().any(|(known, _)| known == id) {
            return Err(unknown());
        }
        let (host, chosen, caller) = (self.clone(), id.clone(), caller.clone());
        uninterrupted(async move {
            let _choosing = host.choosing_pools.lock().await;
            host.store.pool_limits().choose(&chosen, workers, &caller).await.map_err(StoreError::from)?;
            host.workers.limit_pool(&chosen, workers);
            Ok::<_, LimitPoolError>(())
        })
        .await?;
        self.workers.pools(vec![id.clone()]).await.pop().ok_or_else(unknown)
    }
}
