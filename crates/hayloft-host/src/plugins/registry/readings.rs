//! What the folders of plugins held when they were read last: all of them, or the one that somebody exchanged.
//!
//! Reading takes as long as there is much in the folders, whoever's it is, so nobody waits for it but who asked. What was
//! read is taken over by one after the other.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use hayloft_manifest::{Discovered, KnownHashes, Measured};
use hayloft_model::plugin::{FastStart, Package};
use hayloft_model::{Clock, OrganizationId, PluginId, Problem, Problems};
use hayloft_packages::Needs;

use super::{KnownPlugins, PluginKey, PluginRegistry};
use crate::plugins::known::KnownPlugin;

/// The folder in which each organization has plugins of its own, by its id.
const CUSTOM: &str = "custom";

/// The last readings.
pub(super) struct Readings {
    clock: Arc<dyn Clock>,
    hashes: KnownHashes,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    found: Vec<Found>,
    /// How often all folders were read.
    readings: u64,
    /// What was read by itself since the reading of all folders that goes on began, or the last one.
    by_itself: BTreeSet<PathBuf>,
}

/// What a folder says of a plugin.
#[derive(Clone)]
pub(crate) struct Found {
    /// Where it was found, which may be a link to where it is.
    place: PathBuf,
    root: PathBuf,
    id: PluginId,
    owner: Option<OrganizationId>,
    package: Option<Package>,
    problems: Problems,
    needs: Needs,
    /// What it takes on the disk.
    bytes: u64,
}

/// What one folder holds, if there is a plugin in it.
pub(crate) struct ReadPlace {
    top: PathBuf,
    place: PathBuf,
    found: Option<Found>,
    /// How often all folders had been read before.
    readings: u64,
}

impl Readings {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, hashes: KnownHashes::default(), last: Mutex::default() }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PluginRegistry {
    /// Reads all folders. One at a time does that. It blocks.
    pub(crate) fn read(&self) -> Vec<Found> {
        self.readings.last().by_itself.clear();
        self.folders.iter().flat_map(|folder| self.read_folder(folder)).collect()
    }

    /// Reads the folder of one plugin. It blocks.
    pub(crate) fn read_place(&self, top: &Path, place: &Path) -> ReadPlace {
        let readings = self.readings.last().readings;
        ReadPlace { top: top.to_owned(), place: place.to_owned(), found: self.found_at(top, place), readings }
    }

    /// The plugins of this host that are not among what was read.
    pub(crate) fn not_among(&self, read: &[Found]) -> Vec<(PluginKey, Arc<KnownPlugin>)> {
        let found: BTreeSet<_> = read.iter().map(|found| (found.id.clone(), found.owner)).collect();
        let known = self.known.load();
        let lost = known.iter().filter(|(key, _)| !found.contains(key));
        lost.map(|(key, plugin)| (key.clone(), Arc::clone(plugin))).collect()
    }

    /// Takes over what was read of all folders. What did not change keeps what is known of it.
    pub(crate) fn take_over(&self, mut read: Vec<Found>) -> KnownPlugins {
        let mut last = self.readings.last();
        // What was read by itself meanwhile is newer.
        read.retain(|found| !last.by_itself.contains(&found.place));
        let by_itself = last.found.iter().filter(|found| last.by_itself.contains(&found.place));
        read.extend(by_itself.cloned());
        last.readings += 1;
        last.found = read;
        self.readings.hashes.retain(&last.found.iter().map(|found| found.root.as_path()).collect());
        self.settle(&last.found)
    }

    /// Takes over what was read of one folder. It blocks, if the folder must be read again.
    pub(crate) fn take_over_place(&self, read: ReadPlace) -> KnownPlugins {
        let ReadPlace { top, place, mut found, readings } = read;
        if self.readings.last().readings != readings {
            // All folders were read in between, and nobody knows which of the two was later.
            found = self.found_at(&top, &place);
        }
        let mut last = self.readings.last();
        last.found.retain(|found| found.place != place);
        if let Some(found) = found {
            let comes_later = |other: &Found| other.place.starts_with(&top) && other.place > place;
            let index = last.found.iter().position(comes_later).unwrap_or(last.found.len());
            last.found.insert(index, found);
        }
        last.by_itself.insert(place);
        self.settle(&last.found)
    }

    /// Which code a folder holds, and what it takes on the disk. It blocks.
    pub(crate) fn measure(&self, folder: &Path) -> Result<Measured, hayloft_manifest::HashError> {
        self.readings.hashes.of(folder, SystemTime::from(self.readings.clock.now()))
    }

    /// What the folders of an organization's own plugins below a folder take on the disk.
    pub(crate) fn bytes_below(&self, folder: &Path, owner: OrganizationId) -> Vec<(PluginId, u64)> {
        let last = self.readings.last();
        let own =
            last.found.iter().filter(|found| found.owner == Some(owner) && found.place.starts_with(folder));
        own.map(|found| (found.id.clone(), found.bytes)).collect()
    }

    fn settle(&self, read: &[Found]) -> KnownPlugins {
        let settled = settle(read.iter().map(Found::plugin).collect(), &self.known.load());
        let found = settled.iter().map(|(key, plugin)| (key.clone(), plugin.content_hash())).collect();
        self.retries.retain(&found);
        self.found.store(Arc::new(found));
        settled
    }

    fn read_folder(&self, folder: &Path) -> Vec<Found> {
        let discovered = hayloft_manifest::discover(folder).into_iter();
        discovered.filter_map(|discovered| self.found_in(folder, discovered)).collect()
    }

    fn found_at(&self, top: &Path, place: &Path) -> Option<Found> {
        if !place.exists() {
            return None;
        }
        let mut discovered = hayloft_manifest::discover(place).into_iter();
        let discovered = discovered.find(|discovered| discovered.place == place)?;
        self.found_in(top, discovered)
    }

    fn found_in(&self, top: &Path, discovered: Discovered) -> Option<Found> {
        let Discovered { root, place, result: (descriptor, mut problems) } = discovered;
        let owner = match owner_folder(top, &place).map(str::parse) {
            None => None,
            Some(Ok(owner)) => Some(owner),
            Some(Err(_)) => {
                tracing::warn!(
                    folder = %root.display(),
                    "the folder above is not named like an organization's id, so nobody sees the plugin in it"
                );
                return None;
            }
        };
        let mut bytes = 0;
        let descriptor = descriptor.filter(|_| !problems.has_errors());
        let package = descriptor.and_then(|descriptor| match self.measure(&root) {
            Ok(measured) => {
                bytes = measured.bytes;
                let (root, content_hash) = (root.clone(), measured.hash);
                Some(Package { root, content_hash, descriptor, start: FastStart::default() })
            }
            Err(error) => {
                problems.push(Problem::error("plugin", error.to_string()));
                None
            }
        });
        if let Some(package) = &package {
            problems.extend(self.limits.problems(&package.descriptor));
        }
        for problem in &problems {
            tracing::warn!(folder = %root.display(), at = problem.at, "{}", problem.message);
        }
        let id = match &package {
            Some(package) => package.descriptor.id.clone(),
            // A person must be able to see what is wrong with a broken plugin, so it is listed by the name that it had
            // before it was broken, or by its folder.
            None => match self.known_at(&root) {
                Some(known) => known,
                None => root.file_name()?.to_str()?.parse().ok()?,
            },
        };
        // What asks for too much is known by its name, but it cannot be used.
        let package = package.filter(|_| !problems.has_errors());
        let needs = package.as_ref().map(|package| self.packages.needs(package)).unwrap_or_default();
        Some(Found { place, root, id, owner, package, problems, needs, bytes })
    }

    /// The id of the plugin that is known to lie in a folder.
    fn known_at(&self, root: &Path) -> Option<PluginId> {
        let known = self.known.load();
        let lies_there =
            |plugin: &&Arc<KnownPlugin>| plugin.package.as_ref().is_some_and(|package| package.root == root);
        known.values().find(lies_there).map(|plugin| plugin.id.clone())
    }
}

impl Found {
    fn plugin(&self) -> KnownPlugin {
        let Self { id, owner, package, problems, needs, .. } = self.clone();
        KnownPlugin::new(id, owner, package, problems, needs)
    }
}

/// Decides who has which name, and takes over what is known of plugins that did not change.
pub(super) fn settle(mut read: Vec<KnownPlugin>, before: &KnownPlugins) -> KnownPlugins {
    // What everybody sees comes first: no organization can take its names.
    read.sort_by_key(|plugin| plugin.owner.is_some());
    // Ids before other names, whichever folder is read first.
    let ids: BTreeSet<PluginKey> = read.iter().map(|plugin| (plugin.id.clone(), plugin.owner)).collect();
    read.iter_mut().for_each(|plugin| plugin.leave_ids_alone(&ids));
    let mut found = KnownPlugins::new();
    for mut plugin in read {
        plugin.give_way(&found);
        let key = (plugin.id.clone(), plugin.owner);
        let shared = (plugin.id.clone(), None);
        if let Some(first) = found.get(&key).or_else(|| found.get(&shared)) {
            tracing::warn!(
                plugin = %plugin.id,
                first = ?first.package.as_ref().map(|package| &package.root),
                "a second folder has a plugin of the same id; the first one counts"
            );
            continue;
        }
        let unchanged = before.get(&key).filter(|known| known.package == plugin.package);
        let plugin = unchanged.map_or_else(|| Arc::new(plugin), Arc::clone);
        found.insert(key, plugin);
    }
    found
}

/// The name of the organization's folder that a plugin lies in, if it lies in one.
fn owner_folder<'a>(top: &Path, place: &'a Path) -> Option<&'a str> {
    let below: Vec<Component<'a>> = place.strip_prefix(top).ok()?.components().collect();
    match below.as_slice() {
        [custom, owner, _] if custom.as_os_str() == CUSTOM => {
            Some(owner.as_os_str().to_str().unwrap_or_default())
        }
        _ => None,
    }
}
