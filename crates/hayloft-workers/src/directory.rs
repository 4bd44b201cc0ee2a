//! The workers that serve now, where a call finds its own without asking the dispatcher.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use hayloft_model::{InstanceKey, WorkerId};

use crate::Worker;

/// Written by the dispatcher alone.
#[derive(Default)]
pub(crate) struct Directory {
    serving: RwLock<HashMap<InstanceKey, Worker>>,
}

impl Directory {
    /// The serving worker, noted as used, so that it is not found idle before its user gets to it.
    pub(crate) fn engage(&self, key: &InstanceKey) -> Option<Worker> {
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        let worker = serving.get(key).filter(|worker| worker.is_alive())?;
        worker.inner.activity.found();
        Some(worker.clone())
    }

    /// The serving worker, for somebody who only looks: that keeps no worker from being idle.
    pub(crate) fn serving(&self, key: &InstanceKey) -> Option<Worker> {
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        serving.get(key).filter(|worker| worker.is_alive()).cloned()
    }

    pub(crate) fn publish(&self, worker: Worker) {
        self.serving.write().unwrap_or_else(PoisonError::into_inner).insert(worker.key().clone(), worker);
    }

    /// Takes a worker out, if it is the one that serves.
    pub(crate) fn withdraw(&self, key: &InstanceKey, worker: WorkerId) {
        let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        if serving.get(key).is_some_and(|serving| serving.id() == worker) {
            serving.remove(key);
        }
    }

    /// Takes a worker out, if nobody has used it for so long. Nobody can find it in between.
    pub(crate) fn withdraw_idle(&self, key: &InstanceKey, worker: WorkerId, idle: Duration) -> bool {
        let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        let idle = serving
            .get(key)
            .is_some_and(|serving| serving.id() == worker && serving.inner.activity.is_idle(idle));
        if idle {
            serving.remove(key);
        }
        idle
    }
}
