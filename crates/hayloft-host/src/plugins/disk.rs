//! What an organization has on the host's disk, and how much it may have: the packages that it uploaded, and what was
//! made of its plugins' versions.
//!
//! An organization takes room only when it is its turn, so that what is free is free until it is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Weak};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hayloft_model::{ContentHash, InstanceKey, OrganizationId, PluginId, Problem};
use hayloft_packages::{Allowance, Allowed};

use crate::turns::Turn;
use crate::{Host, HostInner, StoreError};

/// How many plugins are named to somebody who is to remove some.
const NAMED: usize = 3;

/// There is not so much room left for an organization.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} more would be needed, and the organization has {} of the {} that it may have on the disk", Size(*needed), Size(*taken), Size(*allowed))]
pub struct OverQuota {
    /// What was to come.
    pub needed: u64,
    /// What the organization has, without what would have gone.
    pub taken: u64,
    /// What it may have.
    pub allowed: u64,
    /// The plugins that take the most, the largest first.
    pub largest: Vec<(PluginId, u64)>,
}

impl OverQuota {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let named = |(plugin, bytes): &(PluginId, u64)| format!("`{plugin}` ({})", Size(*bytes));
        let largest: Vec<_> = self.largest.iter().map(named).collect();
        let ask = "ask the operator for more: `packages.organization_disk`";
        match largest.is_empty() {
            true => format!("make the package smaller, or {ask}"),
            false => format!("remove a plugin that is not used ({}), or {ask}", largest.join(", ")),
        }
    }
}

/// A number of bytes as people read it.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes < 1 << 20 => write!(f, "{} KiB", bytes.div_ceil(1 << 10)),
            bytes => write!(f, "{} MiB", bytes.div_ceil(1 << 20)),
        }
    }
}

/// The host as those ask it who make packages ready. Weak, since the host owns them.
pub(crate) struct Quota(pub(crate) Weak<HostInner>);

impl Allowance for Quota {
    fn allow<'a>(
        &'a self,
        owner: OrganizationId,
        plugin: &'a PluginId,
        bytes: u64,
    ) -> BoxFuture<'a, Result<Allowed, Problem>> {
        async move {
            let broken = || Problem::error("package", "there is no saying how much room it may take, for a reason of the host");
            let Some(inner) = self.0.upgrade() else { return Err(broken()) };
            let host = Host(inner);
            let turn: Turn = host.filling.take(&owner).await;
            match host.room_for(owner, bytes, 0).await {
                Ok(Ok(())) => Ok(Box::new(turn) as Allowed),
                Ok(Err(over)) => Err(Problem::error("package", over.to_string()).hint(over.hint())),
                Err(error) => {
                    tracing::error!(%owner, %plugin, %error, "failed to find out what an organization has on the disk");
                    Err(broken())
                }
            }
        }
        .boxed()
    }
}

impl Host {
    /// Whether an organization may take so much more of the disk, once something of a size is gone. Asked when it is the
    /// organization's turn. Versions that nobody needs make room first.
    pub(crate) async fn room_for(
        &self,
        owner: OrganizationId,
        needed: u64,
        goes: u64,
    ) -> Result<Result<(), OverQuota>, StoreError> {
        let first = self.room_left_for(owner, needed, goes).await?;
        if first.is_ok() {
            return Ok(first);
        }
        let needed_versions = self.needed_versions().await;
        let kept: BTreeSet<_> = self
            .versions_of(owner)
            .await?
            .into_iter()
            .filter(|version| !needed_versions.contains(version))
            .collect();
        for (plugin, hash) in kept {
            if let Err(error) = self.packages.remove(&plugin, hash).await {
                tracing::error!(%plugin, %hash, %error, "failed to remove a version of a plugin");
            }
        }
        self.room_left_for(owner, needed, goes).await
    }

    async fn room_left_for(
        &self,
        owner: OrganizationId,
        needed: u64,
        goes: u64,
    ) -> Result<Result<(), OverQuota>, StoreError> {
        let by_plugin = self.disk_use(owner).await?;
        let taken =
            by_plugin.values().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes)).saturating_sub(goes);
        if taken.saturating_add(needed) <= self.disk_quota {
            return Ok(Ok(()));
        }
        let mut largest: Vec<_> = by_plugin.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        largest.truncate(NAMED);
        Ok(Err(OverQuota { needed, taken, allowed: self.disk_quota, largest }))
    }

    /// What each plugin of an organization's own takes on the disk, with all that was made of it.
    pub(crate) async fn disk_use(
        &self,
        owner: OrganizationId,
    ) -> Result<BTreeMap<PluginId, u64>, StoreError> {
        let mut by_plugin: BTreeMap<PluginId, BTreeSet<(PluginId, ContentHash)>> = BTreeMap::new();
        for (plugin, hash) in self.versions_of(owner).await? {
            by_plugin.entry(plugin.clone()).or_default().insert((plugin, hash));
        }
        let mut bytes = BTreeMap::new();
        for (plugin, versions) in by_plugin {
            bytes.insert(plugin, self.packages.bytes_of(versions).await);
        }
        for (plugin, folder) in self.plugins.bytes_below(self.uploads.folder(), owner) {
            let sum = bytes.entry(plugin).or_default();
            *sum = folder.saturating_add(*sum);
        }
        Ok(bytes)
    }

    /// What the folder of an uploaded plugin takes on the disk.
    pub(crate) fn uploaded_bytes(&self, key: &InstanceKey) -> u64 {
        let all = self.plugins.bytes_below(self.uploads.folder(), key.organization);
        all.into_iter().filter(|(plugin, _)| *plugin == key.plugin).map(|(_, bytes)| bytes).sum()
    }

    /// The versions of an organization's own plugins of which something may be on the disk.
    async fn versions_of(
        &self,
        owner: OrganizationId,
    ) -> Result<BTreeSet<(PluginId, ContentHash)>, StoreError> {
        let all = self.plugins.all();
        let own: BTreeSet<_> =
            all.keys().filter(|(_, of)| *of == Some(owner)).map(|(plugin, _)| plugin.clone()).collect();
        let mut versions = self.plugins.versions();
        versions.extend(self.trials.versions());
        versions.retain(|(plugin, _)| own.contains(plugin));
        for plugin in own {
            let key = InstanceKey { organization: owner, plugin };
            let uploaded = self.store.uploaded_versions().of(&key).await?;
            versions.extend(uploaded.into_iter().map(|version| (key.plugin.clone(), version.content_hash)));
        }
        Ok(versions)
    }

    /// Whoever makes packages ready asks this host what an organization may have.
    pub(crate) fn watch_over_the_disk(&self) {
        self.packages.heed(Arc::new(Quota(Arc::downgrade(&self.0))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_too_much_reads_how_much_and_what_to_remove() {
        let plugin = |id: &str| id.parse::<PluginId>().unwrap();
        let over = OverQuota {
            needed: 300 << 20,
            taken: 900 << 20,
            allowed: 1 << 30,
            largest: vec![(plugin("a"), 700 << 20), (plugin("b"), 4096)],
        };
        assert_eq!(
            over.to_string(),
            "300 MiB more would be needed, and the organization has 900 MiB of the 1024 MiB that it may have on the disk"
        );
        assert_eq!(
            over.hint(),
            "remove a plugin that is not used (`a` (700 MiB), `b` (4 KiB)), or ask the operator for more: `packages.organization_disk`"
        );
        let first = OverQuota { largest: Vec::new(), ..over };
        assert!(first.hint().starts_with("make the package smaller"), "{}", first.hint());
    }
}
