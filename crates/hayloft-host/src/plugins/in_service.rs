//! Find what was in service before the host started.
//!
//! While the host was down a folder may have got a content that still has to be made ready, or that cannot be used at
//! all. As while it runs, what organizations have switched on goes on from its older version until the newer one is
//! ready to take over. Which version that is stands in the instances' rows, and that it can run is the shelf's word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hayloft_model::plugin::Package;
use hayloft_model::{ContentHash, Problems};
use hayloft_packages::{InstallState, Needs};

use super::known::KnownPlugin;
use super::registry::{KnownPlugins, PluginKey, PluginRegistry};
use crate::instances::Instance;

impl PluginRegistry {
    /// Puts back what was in service, where folders hold something else by now. What they hold is found when they are
    /// read the next time. It blocks.
    pub(crate) fn put_back<'a>(&self, instances: impl IntoIterator<Item = &'a Instance>) {
        let mut known = KnownPlugins::clone(&self.all());
        for (key, hashes) in in_use(instances, &known) {
            let Some(found) = known.get(&key).cloned() else { continue };
            if found.content_hash().is_some_and(|hash| hashes.contains(&hash)) {
                continue;
            }
            let Some(older) = self.older(&key, &found, &hashes) else { continue };
            older.note_newer(self.wrong_with(&found));
            known.insert(key, Arc::new(older));
        }
        self.replace(known);
    }

    /// Why a content of a folder cannot be used, as far as that is known without trying.
    fn wrong_with(&self, found: &KnownPlugin) -> Problems {
        match found.package.as_ref().map(|package| self.packages().state(package)) {
            Some(InstallState::InstallError { problems } | InstallState::BuildError { problems }) => problems,
            Some(InstallState::Waiting | InstallState::Installing { .. } | InstallState::Installed) => {
                Problems::new()
            }
            None => found.problems.clone(),
        }
    }

    /// The newest version of some that can still be started.
    fn older(
        &self,
        key: &PluginKey,
        found: &KnownPlugin,
        hashes: &BTreeSet<ContentHash>,
    ) -> Option<KnownPlugin> {
        let kept = hashes.iter().filter_map(|hash| self.packages().kept(&key.0, *hash));
        let (_, package, problems) = kept.max_by_key(|(installed_at, ..)| *installed_at)?;
        self.version_of(found, package, problems)
    }

    /// A version of a plugin beside the one that is found in its folder, if it can still be started. It blocks.
    pub(super) fn kept_version(&self, found: &KnownPlugin, hash: ContentHash) -> Option<KnownPlugin> {
        let (_, package, problems) = self.packages().kept(&found.id, hash)?;
        self.version_of(found, package, problems)
    }

    fn version_of(
        &self,
        found: &KnownPlugin,
        mut package: Package,
        mut problems: Problems,
    ) -> Option<KnownPlugin> {
        if package.descriptor.id != found.id {
            return None;
        }
        if let Some(found) = &found.package {
            found.root.clone_into(&mut package.root);
        }
        problems.extend(self.limit_problems(&package.descriptor));
        (!problems.has_errors()).then(|| {
            KnownPlugin::new(found.id.clone(), found.owner, Some(package), problems, Needs::default())
        })
    }
}

/// The versions that organizations have switched on, by the plugins that they see now.
fn in_use<'a>(
    instances: impl IntoIterator<Item = &'a Instance>,
    known: &KnownPlugins,
) -> BTreeMap<PluginKey, BTreeSet<ContentHash>> {
    let mut all = BTreeMap::<PluginKey, BTreeSet<ContentHash>>::new();
    for instance in instances.into_iter().filter(|instance| instance.enabled) {
        let Some(hash) = instance.content_hash else { continue };
        let own = (instance.key.plugin.clone(), Some(instance.key.organization));
        let shared = (instance.key.plugin.clone(), None);
        let key = if known.contains_key(&shared) { shared } else { own };
        all.entry(key).or_default().insert(hash);
    }
    all
}
