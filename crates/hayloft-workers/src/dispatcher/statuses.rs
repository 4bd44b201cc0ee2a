//! What the dispatcher knows of all workers, for people.

use hayloft_model::{InstanceState, WorkerId, WorkerState};

use super::{Dispatcher, Starting, Unit};
use crate::{WorkerCode, WorkerStatus};

impl Dispatcher {
    pub(super) fn statuses(&self) -> Vec<WorkerStatus> {
        let mut statuses: Vec<_> =
            self.units.iter().filter_map(|(worker, unit)| self.status(*worker, unit)).collect();
        statuses.sort_by_key(|status| status.worker_id);
        statuses
    }

    pub(super) fn code_of(&self, worker: WorkerId) -> Option<WorkerCode> {
        let package = &self.units.get(&worker)?.package;
        Some(WorkerCode { content_hash: package.content_hash, root: package.root.clone() })
    }

    pub(super) fn status(&self, worker_id: WorkerId, unit: &Unit) -> Option<WorkerStatus> {
        let worker = unit.worker.as_ref()?;
        let instance = self.instances.get(worker.key())?;
        let facts = unit.facts.borrow().clone();
        let sample = facts.sample.as_ref().map(|sample| *sample.borrow()).unwrap_or_default();
        let now = self.shared.settings.clock.now();
        let quiet = chrono::Duration::from_std(unit.activity.last().elapsed()).unwrap_or_default();
        let current = instance.serving == Some(worker_id)
            || matches!(instance.starting, Some(Starting::Unit(starting)) if starting == worker_id);
        let instance_state = match facts.state {
            _ if current => instance.state,
            WorkerState::Draining => InstanceState::Draining,
            WorkerState::Gone => instance.state,
            _ => InstanceState::Starting,
        };
        Some(WorkerStatus {
            key: worker.key().clone(),
            worker_id,
            content_hash: unit.package.content_hash,
            revision: worker.revision(),
            instance_state,
            state: facts.state,
            pid: facts.pid,
            started_at: unit.started_at,
            last_activity_at: (now - quiet).max(unit.started_at),
            in_flight: unit.activity.in_flight(),
            restarts: instance.restarts,
            rss_bytes: sample.memory,
            processor_time: sample.processor,
            throttled: sample.throttled,
            recycle_reason: unit.recycle_reason.clone(),
            isolation: self.shared.settings.sandbox.isolation().tier,
            mcp_servers: facts.servers,
            secrets_in_environment: facts.secrets_in_environment,
            stalled_since: facts.stalled_since,
            event_loop_delay: facts.event_loop_delay,
            event_loop_stalls: facts.event_loop_stalls,
            last_error: instance.last_error.clone(),
        })
    }
}
