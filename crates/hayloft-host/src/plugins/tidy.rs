//! Remove versions of plugins that nothing runs from and nobody goes back to.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hayloft_model::{ContentHash, PluginId, WorkerId};

use crate::Host;

/// Workers whose plugin has a newer version in service. Theirs may be of no use once they are gone.
#[derive(Default)]
pub(crate) struct Outdated(Mutex<HashSet<WorkerId>>);

impl Outdated {
    /// Notes one, while it still serves.
    pub(crate) fn note(&self, worker: WorkerId) {
        self.workers().insert(worker);
    }

    /// Forgets one that is gone. Gives whether it was noted.
    pub(crate) fn forget(&self, worker: WorkerId) -> bool {
        self.workers().remove(&worker)
    }

    fn workers(&self) -> MutexGuard<'_, HashSet<WorkerId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    /// Removes old versions. What a folder holds now, what an organization has switched on and what runs is kept, and
    /// as many others as the operator wants.
    pub(crate) async fn tidy_versions(&self) {
        // The semaphore is never closed, so there always is a turn to wait for.
        let _turn = self.tidying.acquire().await;
        // A newer version that is only being tried is nobody's yet. Whoever tries one comes here when that is over.
        let Ok(_alone) = self.changing_versions.try_write() else { return };
        match self.packages.tidy(self.needed_versions().await).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed old versions of plugins"),
            Err(error) => tracing::error!(%error, "failed to remove old versions of plugins"),
        }
    }

    /// The versions that somebody runs, has switched on or tries, and those that lie in folders.
    pub(crate) async fn needed_versions(&self) -> BTreeSet<(PluginId, ContentHash)> {
        // What is known of a version that failed is kept with it, as long as its folder holds it.
        let mut used = self.plugins.versions();
        used.extend(self.trials.versions());
        for instance in self.instances.all().into_iter().filter(|instance| instance.enabled) {
            used.extend(instance.content_hash.map(|hash| (instance.key.plugin.clone(), hash)));
        }
        for worker in self.workers.statuses().await {
            used.insert((worker.key.plugin, worker.content_hash));
        }
        for worker in self.workers.warm_workers().await {
            used.insert((worker.plugin, worker.content_hash));
        }
        used
    }
}
