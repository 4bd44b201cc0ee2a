//! A newer version of a plugin is on trial in an organization until a worker of it has come up there. Where none does, the
//! version before it is what workers are started from, until there is another version or new settings let it come up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hayloft_model::{ContentHash, InstanceKey, PluginId, WorkerId};
use hayloft_store::Store;
use hayloft_store::trials::KeptTrial;
use tokio::sync::{mpsc, oneshot};

use super::known::KnownPlugin;
use crate::{Host, StoreError};

/// Which version a worker is started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// What is to run: somebody tries it.
    Newest,
    /// What is known to come up, if the newest is known not to.
    Proven,
}

/// The instances in which the newest version has not come up yet. What is known of them is written in the order in which it
/// became known, and outlasts the host.
pub(crate) struct Trials {
    all: Mutex<HashMap<InstanceKey, Trial>>,
    recorder: mpsc::UnboundedSender<Record>,
}

struct Trial {
    before: Arc<KnownPlugin>,
    /// Why the newer version did not come up, once it was tried.
    failed: Option<String>,
}

/// Something for the recorder to do.
enum Record {
    Keep(KeptTrial),
    Forget(InstanceKey),
    Flush(oneshot::Sender<()>),
}

impl Trials {
    /// None yet, and the task that writes them down. The task ends with them.
    pub(crate) fn new(store: Store) -> Self {
        let (recorder, mut records) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(record) = records.recv().await {
                let written = match record {
                    Record::Keep(trial) => store.trials().keep(&trial).await.map_err(StoreError::from),
                    Record::Forget(key) => store.trials().forget(&key).await.map_err(StoreError::from),
                    Record::Flush(done) => {
                        // Whoever waited for it may have gone away.
                        let _ = done.send(());
                        continue;
                    }
                };
                if let Err(error) = written {
                    tracing::error!(%error, "failed to write down which version of a plugin is on trial");
                }
            }
        });
        Self { all: Mutex::default(), recorder }
    }

    /// A newer version takes the place of one. What was found out of an earlier newer one does not hold for it.
    fn begin(&self, key: &InstanceKey, before: &Arc<KnownPlugin>) {
        let mut trials = self.trials();
        // Where the one before did not come up either, the one before that is still what does.
        let trial =
            trials.entry(key.clone()).or_insert_with(|| Trial { before: Arc::clone(before), failed: None });
        trial.failed = None;
        self.keep(key, trial);
    }

    /// A worker of it came up, or nobody asks any more.
    pub(crate) fn end(&self, key: &InstanceKey) {
        let mut trials = self.trials();
        if trials.remove(key).is_some() {
            self.record(Record::Forget(key.clone()));
        }
    }

    /// None came up. Gives the content that goes on being started, if it was on trial until now.
    fn fail(&self, key: &InstanceKey, reason: &str) -> Option<ContentHash> {
        let mut trials = self.trials();
        let trial = trials.get_mut(key).filter(|trial| trial.failed.is_none())?;
        trial.failed = Some(reason.to_owned());
        self.keep(key, trial);
        trial.before.content_hash()
    }

    /// The version that is started in place of the newest, and why.
    fn in_place(&self, key: &InstanceKey) -> Option<(Arc<KnownPlugin>, String)> {
        let trials = self.trials();
        let trial = trials.get(key)?;
        Some((Arc::clone(&trial.before), trial.failed.clone()?))
    }

    /// The versions before.
    pub(crate) fn versions(&self) -> Vec<(PluginId, ContentHash)> {
        let trials = self.trials();
        trials
            .values()
            .filter_map(|trial| Some((trial.before.id.clone(), trial.before.content_hash()?)))
            .collect()
    }

    /// Waits until all that is known so far is written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        self.record(Record::Flush(done));
        // An error means that the recorder has ended, and then nothing is left to wait for.
        drop(written.await);
    }

    fn keep(&self, key: &InstanceKey, trial: &Trial) {
        // What has no content cannot be started, so there is nothing to go back to.
        if let Some(before) = trial.before.content_hash() {
            self.record(Record::Keep(KeptTrial { key: key.clone(), before, failed: trial.failed.clone() }));
        }
    }

    fn record(&self, record: Record) {
        if self.recorder.send(record).is_err() {
            tracing::error!(
                "failed to write down which version of a plugin is on trial: the recorder has ended"
            );
        }
    }

    fn trials(&self) -> MutexGuard<'_, HashMap<InstanceKey, Trial>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    /// A newer version takes the place of one in these organizations. That is on the disk before anything is started from
    /// it.
    pub(crate) async fn begin_trials(&self, keys: &[InstanceKey], before: &Arc<KnownPlugin>) {
        for key in keys {
            self.trials.begin(key, before);
        }
        self.trials.flush().await;
    }

    /// Goes on with the trials of an earlier run of the host: what was being tried is tried with the version before at
    /// hand, and where that had failed the version before is what runs.
    pub(crate) async fn recall_trials(&self) -> Result<(), StoreError> {
        for KeptTrial { key, before, failed } in self.store.trials().all().await? {
            let enabled = self.instances.get(&key).is_some_and(|instance| instance.enabled);
            let newest = self.plugins.get(key.organization, &key.plugin);
            let newest = newest.filter(|newest| enabled && newest.content_hash() != Some(before));
            let Some(version) = newest.and_then(|newest| self.plugins.kept_version(&newest, before)) else {
                self.store.trials().forget(&key).await?;
                continue;
            };
            if failed.is_some() {
                self.instances.change(&key, |instance| instance.content_hash = Some(before));
            }
            self.trials.trials().insert(key, Trial { before: Arc::new(version), failed });
        }
        Ok(())
    }

    /// The plugin as workers of an instance are started from it.
    pub(crate) fn version(&self, key: &InstanceKey, version: Version) -> Option<Arc<KnownPlugin>> {
        let newest = self.plugins.get(key.organization, &key.plugin)?;
        let in_place = match version {
            Version::Newest => None,
            Version::Proven => self.trials.in_place(key),
        };
        match in_place {
            Some((before, _)) if before.owner == newest.owner => Some(before),
            _ => Some(newest),
        }
    }

    /// A worker began to serve. Gives what is wrong although it does.
    pub(crate) fn came_up(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        content: ContentHash,
    ) -> Option<String> {
        let is =
            |version| self.version(key, version).is_some_and(|plugin| plugin.content_hash() == Some(content));
        if is(Version::Newest) {
            self.trials.end(key);
            return None;
        }
        if !is(Version::Proven) {
            self.follow_version(key, worker);
            return None;
        }
        let (_, reason) = self.trials.in_place(key)?;
        Some(format!("a newer version of the plugin did not come up: {reason}"))
    }

    /// The newest version did not come up, if it was that one.
    pub(crate) fn did_not_come_up(&self, key: &InstanceKey, content: ContentHash, reason: &str) {
        let newest = self.version(key, Version::Newest);
        if newest.is_some_and(|plugin| plugin.content_hash() == Some(content)) {
            self.fail_trial(key, reason);
        }
    }

    pub(crate) fn fail_trial(&self, key: &InstanceKey, reason: &str) {
        if let Some(before) = self.trials.fail(key, reason) {
            tracing::warn!(instance = %key, reason, "a newer version of a plugin did not come up; the one before it goes on");
            self.instances.change(key, |instance| instance.content_hash = Some(before));
        }
    }

    /// It was started from what was the newest version then; by now there is another one.
    fn follow_version(&self, key: &InstanceKey, worker: WorkerId) {
        let (host, key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            let Some(instance) = host.instances.get(&key).filter(|instance| instance.enabled) else { return };
            // Whoever took its place meanwhile looked at that by itself.
            if host.workers.serving(&key).is_none_or(|serving| serving.id() != worker) {
                return;
            }
            host.outdated.note(worker);
            host.applied.outdate(&instance);
            host.reconcile(&key).await;
        });
    }
}
