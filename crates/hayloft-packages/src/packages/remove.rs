//! Take versions away that nobody needs any more.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, PoisonError};

use hayloft_model::{ContentHash, PluginId};

use super::Packages;

impl Packages {
    /// Waits until nobody makes a version.
    pub async fn settled(&self, plugin: &PluginId, hash: ContentHash) {
        let running = self.running().get(&(plugin.clone(), hash)).map(|running| running.outcome.clone());
        if let Some(outcome) = running {
            drop(outcome.await);
        }
    }

    /// Takes a version away, once whatever makes it has ended. Workers that run from it must have ended before.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn remove(&self, plugin: &PluginId, hash: ContentHash) -> io::Result<()> {
        self.settled(plugin, hash).await;
        let key = (plugin.clone(), hash);
        let inner = Arc::clone(&self.0);
        let removed = tokio::task::spawn_blocking(move || {
            let _alone = inner.exchanging.write().unwrap_or_else(PoisonError::into_inner);
            inner.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            inner.shelf.remove(&key.0, key.1)
        });
        removed.await.map_err(io::Error::other)?
    }

    /// Removes versions that are neither used nor being made, but for the newest of each plugin that the operator wants
    /// to keep. Gives how many.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn tidy(&self, mut used: BTreeSet<(PluginId, ContentHash)>) -> io::Result<usize> {
        used.extend(self.running().keys().cloned());
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let _alone = inner.exchanging.write().unwrap_or_else(PoisonError::into_inner);
            let removed = inner.shelf.tidy(&used, inner.options.keep)?;
            let mut known = inner.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|(plugin, hash), _| inner.shelf.find(plugin, *hash).is_some());
            Ok(removed)
        });
        done.await.map_err(io::Error::other).flatten()
    }
}
