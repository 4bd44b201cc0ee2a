//! Processes are made to agree with what an organization wants: whoever changed the row asks for it, and it is done once
//! for the row as it is by then, however many asked.
//!
//! A row is written in its own turn and the processes follow in another one, so that saves which come quickly are written
//! at once and only the last of them is tried.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hayloft_model::{InstanceKey, Revision};

use crate::Host;
use crate::instances::Instance;
use crate::plugins::swap::{Reason, Swap};

/// So many trials are given up for a newer revision before one is finished all the same: whoever saves without end would
/// never see a change otherwise.
const GIVEN_UP: usize = 4;

/// What the processes of each instance were made to agree with last. What is absent agrees with its row.
#[derive(Default)]
pub(crate) struct Applied {
    instances: Mutex<HashMap<InstanceKey, Agreement>>,
}

#[derive(Clone, Copy)]
struct Agreement {
    enabled: bool,
    /// The revision that was tried last, well or not.
    tried: Option<Revision>,
}

impl Applied {
    /// A row is about to be changed: its processes agree with it as it was, unless an earlier change waits already.
    pub(crate) fn before(&self, key: &InstanceKey, enabled: bool) {
        self.lock().entry(key.clone()).or_insert(Agreement { enabled, tried: None });
    }

    fn of(&self, key: &InstanceKey) -> Option<Agreement> {
        self.lock().get(key).copied()
    }

    fn note(&self, key: &InstanceKey, tried: Revision) {
        self.lock().insert(key.clone(), Agreement { enabled: true, tried: Some(tried) });
    }

    /// Whether nothing of it runs any more, as far as anybody saw to it.
    pub(crate) fn is_off(&self, key: &InstanceKey) -> bool {
        self.of(key).is_some_and(|agreed| !agreed.enabled)
    }

    /// Nothing of it runs any more.
    fn note_off(&self, key: &InstanceKey) {
        self.lock().insert(key.clone(), Agreement { enabled: false, tried: None });
    }

    /// Whether what the row of an instance that is on says is still to be tried.
    pub(crate) fn is_behind(&self, instance: &Instance) -> bool {
        let agreed = self.of(&instance.key);
        instance.enabled
            && agreed.is_some_and(|agreed| !agreed.enabled || agreed.tried < instance.desired_revision)
    }

    /// Nobody will ask for it again before its row is made anew.
    pub(crate) fn forget(&self, key: &InstanceKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceKey, Agreement>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    /// Makes an instance's processes agree with its row, when it is its turn. What somebody else has done meanwhile is not
    /// done again.
    pub(crate) async fn reconcile(&self, key: &InstanceKey) {
        let _turn = self.turns.take(key).await;
        for round in 0.. {
            let Some(instance) = self.instances.get(key) else { break };
            let agreed = self.applied.of(key);
            let was_enabled = agreed.map_or(instance.enabled, |agreed| agreed.enabled);
            if !instance.enabled {
                if let Err(error) = self.switch_off(key, was_enabled).await {
                    tracing::error!(instance = %key, %error, "a plugin was not switched off in order");
                }
                self.applied.note_off(key);
                break;
            }
            let Some(revision) = instance.desired_revision else { break };
            let tried = agreed.and_then(|agreed| agreed.tried);
            if was_enabled && tried >= Some(revision) {
                break;
            }
            let patience = if round < GIVEN_UP { Swap::ForNewer } else { Swap::Never };
            if self.swap_in(key, revision, was_enabled, Reason::Settings, patience).await.is_break() {
                self.applied.note(key, revision);
            }
        }
        self.instances.flush().await;
    }
}
