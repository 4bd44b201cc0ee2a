//! How workers come to serve: on demand, as candidates, and to be asked what they register.

use std::os::fd::OwnedFd;

use std::sync::Arc;
use std::time::Duration;

use super::{
    CandidateError, Command, Dispatcher, FailedStart, InstanceKey, InstanceState, Instant, Launch,
    LaunchRefused, Order, Outcome, Package, Pooling, ProbeError, Purpose, RawValue, Start, StartFailure,
    Starting, StateChange, Takeover, Unavailable, Unit, Worker, WorkerId, answer_all, counter, oneshot,
};
use crate::StartStage;

impl Dispatcher {
    pub(super) fn ensure(&mut self, key: &InstanceKey, reply: oneshot::Sender<Result<Worker, Unavailable>>) {
        let answer = if self.closing.is_some() {
            Err(Unavailable::ShuttingDown)
        } else if let Some(worker) = self.shared.directory.engage(key) {
            Ok(worker)
        } else if self.instance(key).disabling.is_some() {
            Err(LaunchRefused::NotEnabled.into())
        } else if self.instance(key).holding {
            self.instance(key).waiting.push(reply);
            return;
        } else if let Some(reason) = self.instance(key).quarantine.clone() {
            Err(LaunchRefused::Quarantined { reason }.into())
        } else if let Some(retry_after) = self.instance(key).backoff.left() {
            let last_error = self.instance(key).last_error.clone().unwrap_or_default();
            Err(Unavailable::Backoff { retry_after, last_error })
        } else {
            self.instance(key).waiting.push(reply);
            return self.begin(key);
        };
        let _ = reply.send(answer);
    }

    /// Begins a start, unless one has begun or the last worker is still being cleared away.
    pub(super) fn begin(&mut self, key: &InstanceKey) {
        self.attempts += 1;
        let attempt = self.attempts;
        let instance = self.instance(key);
        if instance.starting.is_some() || instance.serving.is_some() {
            return;
        }
        instance.starting = Some(Starting::Asking(attempt, Pooling::Allowed));
        let (source, outcomes, key) =
            (Arc::clone(&self.shared.source), self.outcome_sender.clone(), key.clone());
        tokio::spawn(async move {
            let result = source.launch(&key).await.map(Box::new);
            let _ = outcomes.send(Outcome::Launched { key, attempt, result });
        });
    }

    pub(super) fn start_serving(&mut self, key: &InstanceKey, launch: Box<Launch>) {
        let instance = self.instance(key);
        if std::mem::take(&mut instance.crashed) {
            instance.restarts += 1;
            counter!("hayloft_worker_restarts_total", "plugin" => key.plugin.to_string()).increment(1);
        }
        let worker = self.launch_or_claim(key, launch, Purpose::Serve);
        self.instance(key).starting = Some(Starting::Unit(worker));
        self.enter(key, worker, InstanceState::Starting, StateChange::Starting);
    }

    pub(super) fn not_started(&mut self, key: &InstanceKey, why: &Unavailable) {
        let instance = self.instance(key);
        let waiting = std::mem::take(&mut instance.waiting);
        if let Some(disabling) = &mut instance.disabling
            && let Some(reply) = disabling.take()
        {
            let _ = reply.send(None);
        }
        answer_all(waiting, &Err(why.clone()));
    }

    pub(super) fn probe(
        &mut self,
        package: &Package,
        compiled: Option<OwnedFd>,
        reply: oneshot::Sender<Result<Box<RawValue>, ProbeError>>,
    ) {
        if self.closing.is_some() {
            let _ = reply.send(Err(ProbeError::ShuttingDown));
            return;
        }
        self.join(Start::Probe(Box::new(package.clone()), compiled, reply));
    }

    pub(super) fn candidate(
        &mut self,
        key: &InstanceKey,
        launch: Box<Launch>,
        reply: oneshot::Sender<Result<Worker, CandidateError>>,
    ) {
        if self.closing.is_some() {
            let _ = reply.send(Err(CandidateError::ShuttingDown));
            return;
        }
        let until = Instant::now() + self.shared.settings.queue.deadline;
        self.join(Start::Candidate(key.clone(), launch, until, reply));
    }

    pub(super) fn promote(
        &mut self,
        worker: WorkerId,
        takeover: Takeover,
        reply: oneshot::Sender<Result<Worker, CandidateError>>,
    ) {
        let Some(unit) = self.units.get_mut(&worker) else {
            let error = match self.closing {
                Some(_) => CandidateError::ShuttingDown,
                None => CandidateError::Gone { reason: String::from("it had ended before") },
            };
            let _ = reply.send(Err(error));
            return;
        };
        unit.purpose = Purpose::Promotion(takeover, reply);
        if !unit.ending {
            self.order(worker, Order::Start);
        }
    }

    pub(super) fn begin_disable(&mut self, key: &InstanceKey, reply: oneshot::Sender<Option<Worker>>) {
        let serving = self.shared.directory.serving(key).filter(|_| self.closing.is_none());
        let closing = self.closing.is_some();
        let instance = self.instance(key);
        let waiting = std::mem::take(&mut instance.waiting);
        match serving {
            Some(worker) => {
                instance.disabling = Some(None);
                self.shared.directory.withdraw(key, worker.id());
                let _ = reply.send(Some(worker));
            }
            None if closing => {
                instance.disabling = Some(None);
                let _ = reply.send(None);
            }
            None => {
                instance.disabling = Some(Some(reply));
                self.begin(key);
                // It may stand in the line already, as one for whom there is no place; now there is one.
                self.admit();
            }
        }
        answer_all(waiting, &Err(LaunchRefused::NotEnabled.into()));
    }

    pub(super) fn on_warm(&mut self, worker: WorkerId, registration: Box<RawValue>) {
        self.slots.give_back(worker);
        if self.units.get(&worker).is_some_and(Unit::is_warm) {
            self.pool.is_ready(worker);
            // Whoever waits may be given it at once, and by that it is told its organization.
            return self.admit();
        }
        self.admit();
        let Some(unit) = self.units.get_mut(&worker) else { return };
        let binding = match &mut unit.purpose {
            Purpose::Serve(launch) | Purpose::Candidate(launch, _) => launch.binding.clone(),
            Purpose::Probe(reply) => {
                if let Some(reply) = reply.take() {
                    let _ = reply.send(Ok(registration));
                }
                return self.drain(worker, Duration::ZERO, "it has said what it registers");
            }
            Purpose::Promotion(..) | Purpose::Rejected | Purpose::Serving | Purpose::Warm => return,
        };
        self.order(worker, Order::Bind(Box::new(binding)));
    }

    pub(super) fn on_bound(&mut self, worker: WorkerId) {
        let Some(unit) = self.units.get_mut(&worker) else { return };
        if std::mem::take(&mut unit.untried) {
            self.pool.served(&unit.package);
        }
        match &mut unit.purpose {
            Purpose::Serve(_) => self.order(worker, Order::Start),
            Purpose::Candidate(_, reply) => {
                let answer = unit.worker.clone().ok_or(CandidateError::ShuttingDown);
                if let Some(reply) = reply.take()
                    && reply.send(answer).is_err()
                {
                    // Nobody wants the candidate any more.
                    self.on_command(Command::Discard(worker));
                }
            }
            Purpose::Promotion(..)
            | Purpose::Rejected
            | Purpose::Serving
            | Purpose::Warm
            | Purpose::Probe(_) => {}
        }
    }

    pub(super) fn on_started(&mut self, worker: WorkerId, result: Result<(), String>) {
        let Some((key, unit)) = self.key_of(worker).zip(self.units.get_mut(&worker)) else { return };
        let Some(handle) = unit.worker.clone().filter(|_| !unit.ending) else { return };
        match std::mem::replace(&mut unit.purpose, Purpose::Serving) {
            Purpose::Serve(_) => {
                let instance = self.instance(&key);
                if !matches!(instance.starting, Some(Starting::Unit(starting)) if starting == worker) {
                    return;
                }
                instance.starting = None;
                self.serve(&key, &handle, result);
            }
            // What has grown and crashes is no better for a fresh worker: only a person or something new releases it.
            promotion @ Purpose::Promotion(Takeover::Recycled(_), _)
                if self.instances.get(&key).is_some_and(|instance| instance.quarantine.is_some()) =>
            {
                unit.purpose = promotion;
                self.drain(worker, Duration::ZERO, "the plugin is held back after too many crashes");
            }
            Purpose::Promotion(takeover, reply) => {
                if let Err(message) = &result
                    && self.has_better_than_failing(&key, &takeover)
                {
                    return self.turn_down(worker, message.clone(), reply);
                }
                let Some(unit) = self.units.get_mut(&worker) else { return };
                if let Takeover::Recycled(reason) = &takeover {
                    unit.recycle_reason = Some(reason.clone());
                }
                if matches!(takeover, Takeover::NewValues(_)) {
                    self.instance(&key).forgive();
                }
                self.replace_by(&key, worker, takeover);
                self.serve(&key, &handle, result);
                let _ = reply.send(Ok(handle));
            }
            // Nobody runs `onStart` of the others.
            other => unit.purpose = other,
        }
    }

    /// Whether something works, or would, that a candidate whose `onStart` failed is to take the place of.
    fn has_better_than_failing(&mut self, key: &InstanceKey, takeover: &Takeover) -> bool {
        match takeover {
            Takeover::NewValues(failed) => *failed == FailedStart::IsRejected,
            Takeover::Recycled(_) => self.instance(key).state == InstanceState::Ready,
        }
    }

    /// Ends a candidate whose `onStart` failed.
    fn turn_down(
        &mut self,
        worker: WorkerId,
        message: String,
        reply: oneshot::Sender<Result<Worker, CandidateError>>,
    ) {
        if let Some(unit) = self.units.get_mut(&worker) {
            unit.purpose = Purpose::Rejected;
        }
        self.drain(worker, Duration::ZERO, "its `onStart` failed, and what it was to replace works");
        let failure = StartFailure { stage: StartStage::Start, message, problems: Vec::new(), hint: None };
        // Whoever went away needs no word.
        let _ = reply.send(Err(CandidateError::StartFailed(failure)));
    }

    /// What the serving worker serves got worse or better.
    pub(super) fn on_health(&mut self, worker: WorkerId, health: Result<(), String>) {
        let Some(key) = self.key_of(worker) else { return };
        if self.instance(&key).serving == Some(worker) {
            self.enter_serving(&key, worker, health);
        }
    }

    fn enter_serving(&mut self, key: &InstanceKey, worker: WorkerId, health: Result<(), String>) {
        self.instance(key).last_error = health.clone().err();
        let (state, change) = match health {
            Ok(()) => (InstanceState::Ready, StateChange::Ready),
            Err(error) => (InstanceState::Degraded, StateChange::Degraded { error }),
        };
        self.enter(key, worker, state, change);
    }

    /// Makes a worker the serving one and answers those who waited for it.
    fn serve(&mut self, key: &InstanceKey, worker: &Worker, started: Result<(), String>) {
        let instance = self.instance(key);
        instance.serving = Some(worker.id());
        let waiting = std::mem::take(&mut instance.waiting);
        match &mut instance.disabling {
            Some(disabling) => {
                if let Some(reply) = disabling.take() {
                    let _ = reply.send(Some(worker.clone()));
                }
            }
            None => {
                // Those who waited have found it only now, however long it has had its organization.
                worker.inner.activity.found();
                self.shared.directory.publish(worker.clone());
            }
        }
        self.enter_serving(key, worker.id(), started);
        answer_all(waiting, &Ok(worker.clone()));
        // Whoever waits for a place may get this one, once nobody uses it.
        self.admit();
    }

    /// Clears the place for a promoted candidate.
    fn replace_by(&mut self, key: &InstanceKey, candidate: WorkerId, takeover: Takeover) {
        let (drain, reason) = match takeover {
            Takeover::NewValues(_) => {
                let reason = String::from("a worker with newer settings took its place");
                (self.shared.settings.deadlines.drain, reason)
            }
            Takeover::Recycled(reason) => {
                // One after the other, or an instance would have any number of them, with all the memory that each holds.
                for earlier in self.workers_of(key) {
                    if self.units.get(&earlier).is_some_and(|unit| unit.ending) {
                        self.drain(earlier, self.shared.settings.deadlines.drain, &reason);
                    }
                }
                (self.shared.settings.deadlines.recycle_drain, reason)
            }
        };
        let instance = self.instance(key);
        let (serving, starting) = (instance.serving.take(), instance.starting.take());
        if let Some(old) = serving {
            self.shared.directory.withdraw(key, old);
            self.drain(old, drain, &reason);
        } else if !matches!(starting, Some(Starting::Unit(_))) {
            self.enter(key, candidate, InstanceState::Starting, StateChange::Starting);
        }
        if let Some(Starting::Unit(old)) = starting {
            self.drain(old, Duration::ZERO, &reason);
        }
    }
}
