//! Remove versions of plugins that nothing runs from and nobody goes back to.

use std::collections::BTreeSet;

use hayloft_model::{ContentHash, PluginId};

use crate::Host;

impl Host {
    /// Removes old versions. What a folder holds now, what an organization has switched on and what runs is kept, and
    /// as many others as the operator wants.
    pub(crate) async fn tidy_versions(&self) {
        // A newer version that is only being tried is nobody's yet.
        let Ok(_turn) = self.changing_versions.acquire().await else { return };
        let mut used: BTreeSet<(PluginId, ContentHash)> = BTreeSet::new();
        for plugin in self.plugins.all().values() {
            used.extend(plugin.package.iter().map(|package| (plugin.id.clone(), package.content_hash)));
        }
        for instance in self.instances.all().into_iter().filter(|instance| instance.enabled) {
            used.extend(instance.content_hash.map(|hash| (instance.key.plugin.clone(), hash)));
        }
        for worker in self.workers.statuses().await {
            used.insert((worker.key.plugin, worker.content_hash));
        }
        match self.packages.tidy(used).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed old versions of plugins"),
            Err(error) => tracing::error!(%error, "failed to remove old versions of plugins"),
        }
    }
}
