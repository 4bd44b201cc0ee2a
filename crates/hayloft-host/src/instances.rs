//! What should be and what is, by instance, in memory; every change is written behind in the order in which it happened.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};

use hayloft_model::{InstanceKey, InstanceState, OrganizationId, PluginId};
use hayloft_store::Store;
pub(crate) use hayloft_store::instances::Instance;
use hayloft_store::instances::InstanceChange;
use tokio::sync::{Notify, mpsc, oneshot};

/// Something for the recorder to do.
enum Record {
    Change(InstanceKey, Box<InstanceChange>),
    Flush(oneshot::Sender<()>),
}

/// All instances that were ever switched on.
pub(crate) struct InstanceTable {
    rows: RwLock<HashMap<InstanceKey, Arc<Instance>>>,
    recorder: mpsc::UnboundedSender<Record>,
    /// Somebody saved something.
    saved: Notify,
}

impl InstanceTable {
    /// The table, and the task that writes changes behind. The task ends when the table is dropped.
    pub(crate) fn new(instances: Vec<Instance>, store: Store) -> Self {
        let (recorder, mut records) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(record) = records.recv().await {
                match record {
                    Record::Change(key, change) => {
                        if let Err(error) = store.instances().change(&key, *change, None).await {
                            tracing::error!(instance = %key, %error, "failed to record an instance's state");
                        }
                    }
                    Record::Flush(done) => drop(done.send(())),
                }
            }
        });
        let rows = instances.into_iter().map(|instance| (instance.key.clone(), Arc::new(instance))).collect();
        Self { rows: RwLock::new(rows), recorder, saved: Notify::new() }
    }

    /// An organization is no more, and its rows are not either.
    pub(crate) fn forget(&self, organization: OrganizationId) {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|key, _| key.organization != organization);
    }

    pub(crate) fn get(&self, key: &InstanceKey) -> Option<Arc<Instance>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn of(&self, organization: OrganizationId, plugin: &PluginId) -> Option<Arc<Instance>> {
        self.get(&InstanceKey { organization, plugin: plugin.clone() })
    }

    pub(crate) fn all(&self) -> Vec<Arc<Instance>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Takes over a row that the store has just written. What happened to the instance's worker meanwhile stays.
    pub(crate) fn saved(&self, saved: Instance) {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let saved = match rows.get(&saved.key) {
            Some(known) => Instance {
                enabled: saved.enabled,
                desired_revision: saved.desired_revision,
                content_hash: saved.content_hash,
                updated_at: saved.updated_at,
                ..Instance::clone(known)
            },
            None => saved,
        };
        rows.insert(saved.key.clone(), Arc::new(saved));
        drop(rows);
        self.saved.notify_waiters();
    }

    /// Waits until an instance is off.
    pub(crate) async fn switched_off(&self, key: &InstanceKey) {
        loop {
            let mut saved = pin!(self.saved.notified());
            // Whoever saves after this look is heard.
            saved.as_mut().enable();
            if self.get(key).is_none_or(|instance| !instance.enabled) {
                return;
            }
            saved.await;
        }
    }

    /// Changes what is known of an instance. The write is queued under the lock, so that the store sees changes in
    /// the order in which they happened here.
    pub(crate) fn change(&self, key: &InstanceKey, change: impl FnOnce(&mut Instance)) {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let Some(row) = rows.get_mut(key) else { return };
        let before = Arc::clone(row);
        change(Arc::make_mut(row));
        if self.recorder.send(Record::Change(key.clone(), Box::new(difference(&before, row)))).is_err() {
            tracing::error!(instance = %key, "failed to record an instance's state: the recorder has ended");
        }
    }

    /// Moves an instance to another state, if that is a legal step.
    pub(crate) fn step(&self, key: &InstanceKey, to: InstanceState, also: impl FnOnce(&mut Instance)) {
        self.change(key, |instance| match instance.state.step(to) {
            Ok(state) => {
                instance.state = state;
                also(instance);
            }
            Err(error) => tracing::error!(instance = %key, %error, "an instance was told an illegal step"),
        });
    }

    /// Nothing may run until somebody gives these settings a value.
    pub(crate) fn step_to_unconfigured(&self, key: &InstanceKey, missing: &[String]) {
        let reason = format!("no value for {}", missing.join(", "));
        self.step(key, InstanceState::Unconfigured, |instance| instance.last_error = Some(reason));
    }

    /// Writes what an instance is about to become, and waits until that is on the disk. Here it is so only when it is
    /// changed.
    pub(crate) async fn write_ahead(&self, key: &InstanceKey, change: InstanceChange) {
        if self.recorder.send(Record::Change(key.clone(), Box::new(change))).is_ok() {
            self.flush().await;
        }
    }

    /// Waits until every change so far is written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.recorder.send(Record::Flush(done)).is_ok() {
            // An error means that the recorder has ended, and then nothing is left to wait for.
            drop(written.await);
        }
    }
}

/// What the store has to be told so that its row is like this one. Whether the instance is on, and which revision is
/// wanted, is written by those who decide it, before they answer.
fn difference(before: &Instance, after: &Instance) -> InstanceChange {
    let mut change = InstanceChange::new();
    if before.state != after.state {
        change = change.state(after.state);
    }
    if before.hold_reason != after.hold_reason {
        change = change.hold_reason(after.hold_reason.clone());
    }
    if before.last_error != after.last_error {
        change = change.last_error(after.last_error.clone());
    }
    if before.auth_verdict != after.auth_verdict {
        change = change.auth_verdict(after.auth_verdict.clone());
    }
    if before.rejected != after.rejected {
        change = change.rejected(after.rejected.clone());
    }
    if let Some(hash) = after.content_hash
        && before.content_hash != after.content_hash
    {
        change = change.content_hash(hash);
    }
    match after.active_revision {
        Some(revision) if before.active_revision != after.active_revision => change.active_revision(revision),
        _ => change,
    }
}
