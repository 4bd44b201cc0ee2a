//! Read the folders of plugins anew, and bring what changed into service.
//!
//! What runs goes on while its newer version is made ready. It is replaced only by one that can be installed and says
//! what it registers; until then a newer version is a warning beside the older one.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use hayloft_model::{InstanceKey, InstanceState, Problems, WorkerId};
use hayloft_packages::Watch;
use hayloft_workers::Level;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::known::{KnownPlugin, Preparing, Unusable};
use super::registry::{KnownPlugins, PluginKey, PluginRegistry};
use super::retry::Next;
use crate::Host;

/// A plugin that is in use, and what its folder holds now.
pub(crate) type Newer = (Arc<KnownPlugin>, Arc<KnownPlugin>);

/// So long a plugin that is in use is looked for before it counts as gone: who saves a file anew empties it first, and a
/// checkout takes away what it writes again.
const LOOKED_FOR: Duration = Duration::from_secs(2);

/// How many organizations get a newer version at once.
const SWAPPED_AT_ONCE: usize = 4;

impl Host {
    /// Reads the folders anew, at once and whenever something in them changes, until it is dropped.
    pub async fn watch_plugins(&self) {
        let mut watch = match Watch::begin(self.plugins.folders().to_vec()) {
            Ok(watch) => watch,
            Err(error) => {
                return tracing::error!(%error, "failed to watch the folders of plugins; changes are seen at the next start");
            }
        };
        // They end with whoever waits here.
        let mut upgrades = JoinSet::new();
        // What they got while the host was down, or before anybody watched, is a change like any other.
        let mut latest = Some(Instant::now());
        while let Some(changed) = latest {
            while upgrades.try_join_next().is_some() {}
            let newer = self.read_plugins(&mut watch).await;
            let host = self.clone();
            // What takes its time to be built keeps nobody from seeing the next change.
            upgrades.spawn(async move {
                host.bring_into_service(newer, changed).await;
                if let Err(error) = host.remember_packages().await {
                    tracing::error!(%error, "failed to remember the plugins of this host");
                }
            });
            latest = watch.changed().await;
        }
    }

    /// Reads all folders anew. What nobody uses is replaced at once; for what is in use its newer version is given,
    /// which is still to be made ready.
    async fn read_plugins(&self, watch: &mut Watch) -> Vec<Newer> {
        // The semaphore is never closed, so there always is a permit to wait for.
        let _reading = self.plugins.reading.acquire().await;
        let mut looked_for_until = None;
        let read = loop {
            let Some(read) = self.at_the_folders(PluginRegistry::read).await else { return Vec::new() };
            let until = *looked_for_until.get_or_insert_with(|| Instant::now() + LOOKED_FOR);
            let lost = self.plugins.not_among(&read);
            let Some((key, _)) = lost.into_iter().find(|(key, known)| self.is_in_use(key, known)) else {
                break read;
            };
            if Instant::now() >= until {
                break read;
            }
            tracing::info!(plugin = %key.0, "its folder holds no plugin at the moment; it is looked for");
            // Whatever comes first: the folders are read again.
            let _ = timeout_at(until, watch.changed()).await;
        };
        self.take_over(move |plugins| plugins.take_over(read)).await
    }

    /// The same for the one folder that an organization's plugin of this id is uploaded to, however much all others hold.
    pub(crate) async fn read_uploaded(&self, key: &InstanceKey) -> Vec<Newer> {
        let top = self.uploads.folder().to_owned();
        let place = self.uploads.place_of(key.organization, &key.plugin);
        let read = self.at_the_folders(move |plugins| plugins.read_place(&top, &place)).await;
        let Some(read) = read else { return Vec::new() };
        self.take_over(move |plugins| plugins.take_over_place(read)).await
    }

    async fn at_the_folders<T: Send + 'static>(
        &self,
        work: impl FnOnce(&PluginRegistry) -> T + Send + 'static,
    ) -> Option<T> {
        let host = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&host.plugins)).await;
        done.inspect_err(|error| tracing::error!(%error, "failed to read the folders of plugins")).ok()
    }

    async fn take_over(
        &self,
        read: impl FnOnce(&PluginRegistry) -> KnownPlugins + Send + 'static,
    ) -> Vec<Newer> {
        // As above.
        let taking_over = self.plugins.taking_over.acquire().await;
        let Some(found) = self.at_the_folders(read).await else { return Vec::new() };
        let before = self.plugins.all();
        let mut now = KnownPlugins::new();
        let mut newer = Vec::new();
        for (key, plugin) in found {
            let runs = before
                .get(&key)
                .filter(|known| known.package != plugin.package && self.is_in_use(&key, known));
            match runs {
                Some(known) => {
                    now.insert(key, Arc::clone(known));
                    newer.push((Arc::clone(known), plugin));
                }
                None => {
                    // Its folder holds again what runs: whatever else it held is of no concern any more.
                    plugin.note_newer(Problems::new());
                    now.insert(key, plugin);
                }
            }
        }
        let gone: Vec<_> = before.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
        self.plugins.replace(now);
        drop(taking_over);
        self.call_off_pointless();
        for key in gone {
            self.workers.cool(&key.0, "its plugin is not on this host any more");
            self.stop_all(&key).await;
        }
        newer
    }

    /// Replaces what is in use by what its folder holds since a moment, and removes what nobody needs any more.
    pub(crate) async fn bring_into_service(&self, newer: Vec<Newer>, changed: Instant) {
        {
            // Until it is in service, nothing says that a newer version is of use: no version is taken away meanwhile.
            let _making = self.changing_versions.read().await;
            stream::iter(newer)
                .for_each_concurrent(None, async |(known, plugin)| {
                    self.upgrade(&known, plugin, changed).await
                })
                .await;
        }
        self.tidy_versions().await;
    }

    /// Whether an organization has it switched on, and its older content could still be started.
    pub(super) fn is_in_use(&self, key: &PluginKey, known: &KnownPlugin) -> bool {
        known.is_readable() && self.enabled_instances(key).next().is_some()
    }

    fn enabled_instances(&self, (plugin, owner): &PluginKey) -> impl Iterator<Item = InstanceKey> {
        let (plugin, owner) = (plugin.clone(), *owner);
        let instances = self.instances.all().into_iter().filter(|instance| instance.enabled);
        instances
            .map(|instance| instance.key.clone())
            .filter(move |key| key.plugin == plugin && owner.is_none_or(|owner| owner == key.organization))
    }

    async fn stop_all(&self, key: &PluginKey) {
        for instance in self.enabled_instances(key) {
            self.workers.stop(&instance, "its plugin is not on this host any more").await;
        }
    }

    /// Replaces a plugin by its newer content, if that can be used.
    async fn upgrade(&self, known: &Arc<KnownPlugin>, newer: Arc<KnownPlugin>, changed: Instant) {
        match self.plugins.retries.next(&newer) {
            Next::Now => {}
            Next::Later => return,
            Next::Never(problems) => return known.note_newer(problems),
        }
        let upgrading = self.plugins.begin_upgrade(&newer);
        if newer.is_readable() && upgrading.is_none() {
            return;
        }
        let began = Instant::now();
        let tried = self.try_newer(&newer).await;
        if !self.plugins.is_found(&newer) {
            // Somebody changed the folder meanwhile, and that is looked at by itself.
            return;
        }
        let key = (newer.id.clone(), newer.owner);
        if tried.is_err() && !self.is_in_use(&key, known) {
            // Nobody needs the older one any more, so nobody waits for the newer one.
            self.plugins.put(&newer);
            return;
        }
        if let Err(unusable) = tried {
            drop(upgrading);
            return self.could_not_upgrade(known, &newer, unusable);
        }
        if !self.plugins.put(&newer) {
            return;
        }
        self.plugins.retries.forget(&key);
        let instances: Vec<_> = self.enabled_instances(&(newer.id.clone(), newer.owner)).collect();
        self.begin_trials(&instances, known).await;
        self.workers.cool(&newer.id, "the plugin has a newer version");
        let made_in = began.elapsed();
        stream::iter(instances)
            .for_each_concurrent(SWAPPED_AT_ONCE, async |key| {
                let Some(serving) = self.serve_newer(&key, &newer).await else { return };
                let said = format!(
                    "version {version} serves, {after:.2} s after the last change to its folder, {made:.2} s of them to make it ready",
                    version = newer.descriptor().map_or("?", |descriptor| &descriptor.version),
                    after = changed.elapsed().as_secs_f64(),
                    made = made_in.as_secs_f64(),
                );
                tracing::info!(instance = %key, said, "a newer version of a plugin took over");
                self.workers.note(&key, serving, Level::Info, &said);
            })
            .await;
        drop(upgrading);
        // Nobody waits for it any more, so now there is time to learn how it starts fastest.
        self.find_missing_start(&newer).await;
    }

    /// Writes why a plugin's newer version is not used into the log of each organization in which the older one serves.
    pub(super) fn tell_authors(&self, known: &KnownPlugin) {
        for key in self.enabled_instances(&(known.id.clone(), known.owner)) {
            let Some(serving) = self.workers.serving(&key) else { continue };
            for problem in &known.newer() {
                let hint = problem.hint.iter().map(|hint| format!(" ({hint})")).collect::<String>();
                let said = format!("{}: {}{hint}", problem.at, problem.message);
                self.workers.note(&key, serving.id(), Level::Error, &said);
            }
        }
    }

    /// Has an organization's worker follow to newer code. Gives the one that serves then, if the code could take over.
    async fn serve_newer(&self, key: &InstanceKey, newer: &KnownPlugin) -> Option<WorkerId> {
        if let Some(descriptor) = newer.descriptor() {
            self.note_pending(key, descriptor).await;
        }
        if self.instances.get(key).is_some_and(|instance| instance.state == InstanceState::Quarantined) {
            let _turn = self.turns.take(key).await;
            self.release(key, "its plugin has a newer version").await;
        }
        // From now on its workers start from the newer content, and from nothing else.
        let hash = newer.content_hash();
        self.instances.change(key, |instance| instance.content_hash = hash.or(instance.content_hash));
        let older = self.workers.serving(key).map(|worker| worker.id());
        match older {
            Some(older) => self.outdated.note(older),
            None if self.is_all_elsewhere(key) => {}
            None => {
                // What does not run at the moment is started from it the next time, which is the next call also of
                // what the older code handed over. What is being started is looked at when it serves.
                if let Err(error) = self.forget_handed_by_others(key, hash).await {
                    tracing::error!(instance = %key, %error, "failed to forget servers of a plugin's older version");
                }
                return None;
            }
        }
        self.applied.outdate(&*self.instances.get(key).filter(|instance| instance.enabled)?);
        self.reconcile(key).await;
        let serving = self.workers.serving(key)?.id();
        if older != Some(serving) {
            return Some(serving);
        }
        let reason = self.instances.get(key).and_then(|instance| instance.last_error.clone());
        let said = format!(
            "its newer version did not take over, and the older one goes on: {}",
            reason.unwrap_or_default()
        );
        self.workers.note(key, serving, Level::Error, &said);
        None
    }

    async fn try_newer(&self, newer: &KnownPlugin) -> Result<(), Unusable> {
        if !newer.is_readable() {
            return Err(newer.problems.clone().into());
        }
        self.prepare(newer).await?;
        let registered = newer.registered_or_why(self.asked(), Preparing::AtOnce).await?;
        match registered.problems.has_errors() {
            true => Err(registered.problems.clone().into()),
            false => Ok(()),
        }
    }
}
