//! How workers end: idle, told to, or by themselves.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Activity, CandidateError, Cause, Dispatcher, Ending, InstanceKey, InstanceState, Instant, LaunchRefused,
    Moment, ProbeError, Purpose, Retired, StartFailure, Starting, StateChange, Stop, Unavailable, WorkerId,
    answer_all, oneshot,
};
use crate::StartStage;

impl Dispatcher {
    pub(super) fn on_idle(&mut self, worker: WorkerId) {
        let Some(key) = self.key_of(worker) else { return };
        if self.pools.is_kept_alive(&key.plugin) {
            return;
        }
        let idle = self.shared.settings.deadlines.idle;
        if self.shared.directory.withdraw_idle(&key, worker, idle) {
            self.note_use(worker);
            let calls = self.shared.settings.deadlines.drain;
            self.end_current(&key, worker, calls, "nobody has used it for a while");
        }
    }

    /// Only a worker that serves is replaced; any other is on its way out, or not yet in.
    pub(super) fn on_outgrown(&mut self, worker: WorkerId, reason: String) {
        let Some(key) = self.key_of(worker) else { return };
        if self.instances.get(&key).is_some_and(|instance| instance.serving == Some(worker)) {
            tracing::warn!(instance = %key, %worker, reason, "a worker is to be recycled");
            self.instance(&key).notices.outgrown(worker, reason);
        }
    }

    /// Takes the serving worker, or the one that is to serve, out of service; it ends when its calls have. From now on
    /// its end concerns nobody but those who wait for exactly that.
    pub(super) fn end_current(&mut self, key: &InstanceKey, worker: WorkerId, calls: Duration, reason: &str) {
        self.shared.directory.withdraw(key, worker);
        self.drain(worker, calls, reason);
        self.enter(key, worker, InstanceState::Draining, StateChange::Draining);
        let instance = self.instance(key);
        instance.serving.take_if(|serving| *serving == worker);
        instance.starting.take_if(|starting| matches!(starting, Starting::Unit(unit) if *unit == worker));
    }

    pub(super) fn retire(
        &mut self,
        key: &InstanceKey,
        worker: WorkerId,
        moment: Moment,
        reason: &str,
    ) -> Retired {
        let directory = &self.shared.directory;
        // One that is switched off or has just crashed is on its way out already.
        if directory.serving(key).is_none_or(|serving| serving.id() != worker) {
            return Retired::NotServing;
        }
        if moment == Moment::Unused && !directory.withdraw_idle(key, worker, Activity::SETTLED) {
            return Retired::InUse;
        }
        self.end_current(key, worker, self.shared.settings.deadlines.drain, reason);
        Retired::Yes
    }

    pub(super) fn forget(&mut self, key: &InstanceKey) {
        if let Some(instance) = self.instances.get_mut(key) {
            instance.forgive();
            self.drop_if_unused(key);
        }
    }

    pub(super) fn stop(&mut self, key: &InstanceKey, reason: &str, reply: oneshot::Sender<()>) {
        let calls = self.shared.settings.deadlines.drain;
        let instance = self.instance(key);
        instance.forgive();
        instance.crashed = false;
        instance.last_error = None;
        instance.disabling = None;
        let waiting = std::mem::take(&mut instance.waiting);
        let starting = match instance.starting.take() {
            Some(Starting::Unit(worker)) => Some(worker),
            Some(Starting::Asking(..) | Starting::Waiting(_)) | None => None,
        };
        if let Some(worker) = instance.serving.or(starting) {
            self.end_current(key, worker, calls, reason);
        }
        let left = self.workers_of(key);
        for worker in &left {
            // Calls are in flight only in workers that serve or did.
            self.drain(*worker, calls, reason);
        }
        self.instance(key).stopping.push(Stop { left, reply });
        answer_all(waiting, &Err(Unavailable::Stopped { reason: reason.to_owned() }));
        self.call_off_candidates(key, reason);
        self.settle(key);
        self.drop_if_unused(key);
    }

    pub(super) fn shutdown(&mut self, calls: Duration, reply: oneshot::Sender<()>) {
        self.closing.get_or_insert_default().push(reply);
        self.close_line();
        for key in self.instances.keys().cloned().collect::<Vec<_>>() {
            let instance = self.instance(&key);
            instance.starting.take_if(|starting| starting.is_only_wanted());
            if let Some(worker) = instance.serving {
                self.end_current(&key, worker, calls, "the host is shutting down");
            }
            self.not_started(&key, &Unavailable::ShuttingDown);
        }
        for worker in self.units.keys().copied().collect::<Vec<_>>() {
            self.drain(worker, calls, "the host is shutting down");
        }
        self.finish_closing();
    }

    pub(super) fn on_gone(&mut self, worker: WorkerId, ending: Ending) {
        let key = self.key_of(worker);
        self.pool.gone(worker, Instant::now());
        let anew = self.start_anew(worker, &ending);
        if let Some(key) = &key {
            if anew.is_none() {
                self.end_of_instance_worker(key, worker, &ending);
            }
            self.instance(key).notices.gone(worker);
        }
        if let Some(unit) = self.units.remove(&worker) {
            answer_purpose(unit.purpose, &ending, self.closing.is_some());
        }
        self.slots.give_back(worker);
        if let Some(start) = anew {
            // Before its place is given back, so that nobody takes it meanwhile.
            self.join(start);
        }
        if let Some(key) = &key {
            self.places.give_back(key);
        }
        if let Some(key) = &key {
            self.settle(key);
            let instance = self.instance(key);
            let wanted = !instance.waiting.is_empty() || matches!(instance.disabling, Some(Some(_)));
            if wanted && !instance.holding && self.closing.is_none() {
                self.begin_again(key);
            }
            self.drop_if_unused(key);
        }
        self.admit();
        self.finish_closing();
    }

    /// What the end of a worker means for its instance. One that was replaced or only tried means nothing.
    fn end_of_instance_worker(&mut self, key: &InstanceKey, worker: WorkerId, ending: &Ending) {
        self.shared.directory.withdraw(key, worker);
        let instance = self.instance(key);
        let served = instance.serving.take_if(|serving| *serving == worker).is_some();
        let started = instance
            .starting
            .take_if(|starting| matches!(starting, Starting::Unit(unit) if *unit == worker))
            .is_some();
        match &ending.cause {
            Cause::Asked(reason) if started => {
                self.enter(key, worker, InstanceState::Stopped, StateChange::Stopped);
                self.not_started(key, &Unavailable::Stopped { reason: reason.clone() });
            }
            Cause::Asked(_) => {
                if self.units.get(&worker).is_some_and(|unit| matches!(unit.purpose, Purpose::Serving)) {
                    self.instance(key).backoff.ended(ending.uptime);
                }
            }
            Cause::NeverServed(_) | Cause::Crashed(_) if served || started => {
                let failure = started.then(|| start_failure(ending));
                self.crashed(key, worker, ending, failure);
            }
            Cause::NeverServed(_) | Cause::Crashed(_) => {}
        }
        // The last one is gone, whichever it was, and nobody took the place of the one that drained.
        let instance = self.instance(key);
        if instance.state == InstanceState::Draining
            && instance.serving.is_none()
            && !matches!(instance.starting, Some(Starting::Unit(_)))
            && self.workers_of(key) == [worker]
        {
            self.enter(key, worker, InstanceState::Stopped, StateChange::Stopped);
        }
    }

    fn crashed(
        &mut self,
        key: &InstanceKey,
        worker: WorkerId,
        ending: &Ending,
        failure: Option<StartFailure>,
    ) {
        let error = ending.message();
        let (entropy, limits) = (Arc::clone(&self.shared.settings.entropy), self.shared.settings.crashes);
        let instance = self.instance(key);
        let backoff = instance.backoff.crashed(ending.uptime, &*entropy);
        instance.crashed = true;
        instance.last_error = Some(error.clone());
        let quarantine = instance.backoff.is_too_often(ending.starting, &limits).then(|| {
            let (count, minutes) = (limits.count, limits.within.as_secs_f64() / 60.0);
            format!("it failed {count} times within {minutes:.0} minutes, the last time so: {error}")
        });
        instance.quarantine.clone_from(&quarantine);
        let held = quarantine.is_some();
        tracing::warn!(instance = %key, %worker, error, pause = ?backoff, quarantined = held, "a worker failed");
        let change = StateChange::Crashed {
            error: error.clone(),
            out_of_memory: ending.out_of_memory,
            failure: failure.clone(),
            backoff,
            quarantine: quarantine.clone(),
        };
        if let Some(reason) = quarantine {
            return self.hold_back(key, worker, change, reason);
        }
        self.enter(key, worker, InstanceState::Backoff, change);
        if let Some(failure) = failure {
            self.not_started(key, &Unavailable::StartFailed(failure));
        } else if let Some(retry_after) = self.instance(key).backoff.left() {
            self.not_started(key, &Unavailable::Backoff { retry_after, last_error: error });
        }
    }

    /// Those who came while the last worker was being cleared away.
    pub(super) fn begin_again(&mut self, key: &InstanceKey) {
        // Somebody who is to run `onDisable` waits for a worker as well as anybody.
        if matches!(self.instance(key).disabling, Some(None)) {
            return self.not_started(key, &LaunchRefused::NotEnabled.into());
        }
        self.begin(key);
    }

    /// Answers those who wait for the end of workers that are gone now.
    pub(super) fn settle(&mut self, key: &InstanceKey) {
        let alive = self.workers_of(key);
        // Whoever released it is answered when nothing makes it held back any more.
        let holding = self.instance(key).holding;
        let ended = |stop: &mut Stop| {
            stop.left.retain(|worker| alive.contains(worker));
            stop.left.is_empty() && !holding
        };
        for Stop { reply, .. } in self.instance(key).stopping.extract_if(.., ended) {
            let _ = reply.send(());
        }
    }

    pub(super) fn finish_closing(&mut self) {
        if self.units.is_empty()
            && !self.instances.values().any(|instance| instance.holding)
            && let Some(closing) = &mut self.closing
        {
            for reply in std::mem::take(closing) {
                let _ = reply.send(());
            }
        }
    }

    pub(super) fn workers_of(&self, key: &InstanceKey) -> Vec<WorkerId> {
        let of_key = |worker: &WorkerId| self.key_of(*worker).as_ref() == Some(key);
        self.units.keys().copied().filter(of_key).collect()
    }
}

/// What kept a worker from serving at all.
fn start_failure(ending: &Ending) -> StartFailure {
    match &ending.cause {
        Cause::NeverServed(failure) => failure.clone(),
        Cause::Asked(message) | Cause::Crashed(message) => StartFailure {
            stage: StartStage::Start,
            message: message.clone(),
            problems: Vec::new(),
            hint: None,
        },
    }
}

/// Tells those who waited for what the unit was for.
fn answer_purpose(purpose: Purpose, ending: &Ending, closing: bool) {
    match purpose {
        Purpose::Serve(_)
        | Purpose::Serving
        | Purpose::Rejected
        | Purpose::Candidate(_, None)
        | Purpose::Warm
        | Purpose::Probe(None) => {}
        Purpose::Candidate(_, Some(reply)) | Purpose::Promotion(_, reply) => {
            let error = match &ending.cause {
                Cause::NeverServed(failure) => CandidateError::StartFailed(failure.clone()),
                // Its end says nothing of it.
                Cause::Asked(_) if closing => CandidateError::ShuttingDown,
                Cause::Asked(reason) | Cause::Crashed(reason) => {
                    CandidateError::Gone { reason: reason.clone() }
                }
            };
            let _ = reply.send(Err(error));
        }
        Purpose::Probe(Some(reply)) => {
            let _ = reply.send(Err(ProbeError::StartFailed(start_failure(ending))));
        }
    }
}
