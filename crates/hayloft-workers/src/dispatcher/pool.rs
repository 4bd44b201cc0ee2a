//! Workers that are ready before it is known for whom: started when nobody waits for a start, given away once, ended when
//! nobody wants them.

use std::time::Duration;

use hayloft_model::{InstanceKey, PluginId, WorkerId};
use tokio::time::Instant;

use super::{Cause, Claim, Dispatcher, Ending, Launch, Order, Purpose, Start, Starting, Unit, WarmWorker};
use crate::warm::Pooling;

/// How often it is looked at what the warm ones hold.
const LOOK: Duration = Duration::from_secs(1);

impl Dispatcher {
    /// Whether a warm worker may be given to an instance.
    pub(super) fn has_warm(&self, key: &InstanceKey, launch: &Launch, now: Instant) -> bool {
        self.may_pool(key, launch) && self.pool.has(key, &launch.package, now)
    }

    fn may_pool(&self, key: &InstanceKey, launch: &Launch) -> bool {
        // What crashes starts from nothing, so that its crashes cost nobody else a worker.
        let calm = || self.instances.get(key).is_none_or(|instance| instance.backoff.is_clear());
        launch.pooling == Pooling::Allowed && calm()
    }

    /// Starts a worker for an instance, or gives it one that is ready.
    pub(super) fn launch_or_claim(
        &mut self,
        key: &InstanceKey,
        launch: Box<Launch>,
        purpose: impl FnOnce(Box<Launch>) -> Purpose,
    ) -> WorkerId {
        let now = Instant::now();
        let pools = self.may_pool(key, &launch);
        let ready = if pools { self.pool.take(key, &launch.package, now) } else { None };
        if pools {
            self.pool.note(&launch.package, now);
        }
        match ready {
            Some(worker) => {
                self.claim(worker, key, launch, purpose);
                worker
            }
            None => {
                let package = launch.package.clone();
                self.launch(&package, Some(key), purpose(launch))
            }
        }
    }

    fn claim(
        &mut self,
        worker: WorkerId,
        key: &InstanceKey,
        launch: Box<Launch>,
        purpose: impl FnOnce(Box<Launch>) -> Purpose,
    ) {
        let inlet = self.instance(key).notices.inlet();
        let log = self.shared.logs.of(key, self.shared.settings.logs);
        let claim = Claim { key: key.clone(), inlet, log, binding: launch.binding.clone() };
        if let Some(unit) = self.units.get_mut(&worker)
            && let Some(handles) = unit.unclaimed.take()
        {
            unit.worker = Some(handles.given_to(key.clone(), worker, launch.binding.revision));
            unit.untried = true;
            unit.pooling = launch.pooling;
            unit.purpose = purpose(launch);
        }
        let now = Instant::now();
        self.slots.charge(key.organization, now);
        self.pool.note_start(now);
        self.places.take(key);
        self.order(worker, Order::Claim(Box::new(claim)));
    }

    /// What a worker that was ready was given to do, if it ended before it took its organization: another one is started
    /// from nothing, and nobody who waits notices more than that it takes longer.
    pub(super) fn start_anew(&mut self, worker: WorkerId, ending: &Ending) -> Option<Start> {
        let unit = self.units.get_mut(&worker)?;
        if !unit.untried || unit.ending || matches!(ending.cause, Cause::Asked(_)) || self.closing.is_some() {
            return None;
        }
        let key = unit.worker.as_ref()?.key().clone();
        self.pool.failed(&unit.package, Instant::now());
        match std::mem::replace(&mut unit.purpose, Purpose::Serving) {
            Purpose::Serve(mut launch) => {
                launch.pooling = Pooling::Never;
                self.attempts += 1;
                let attempt = self.attempts;
                let instance = self.instance(&key);
                instance.starting.take_if(
                    |starting| matches!(starting, Starting::Unit(starting) if *starting == worker),
                )?;
                instance.starting = Some(Starting::Waiting(attempt));
                Some(Start::Serve(key, attempt, launch))
            }
            Purpose::Candidate(mut launch, Some(reply)) => {
                launch.pooling = Pooling::Never;
                let until = Instant::now() + self.shared.settings.queue.deadline;
                Some(Start::Candidate(key, launch, until, reply))
            }
            other => {
                unit.purpose = other;
                None
            }
        }
    }

    /// Somebody used this worker until it has to go: the next use may come soon.
    pub(super) fn note_use(&mut self, worker: WorkerId) {
        if let Some(unit) = self.units.get(&worker).filter(|unit| unit.pooling == Pooling::Allowed) {
            self.pool.note(&unit.package, Instant::now());
        }
    }

    /// Keeps the right workers ready, as far as nobody who waits for a start is held up by it.
    pub(super) fn tend_pool(&mut self) {
        self.pool_due = None;
        if self.closing.is_some() {
            return;
        }
        let now = Instant::now();
        self.end_overdue_slots(now);
        for (worker, unit) in self.units.iter().filter(|(_, unit)| unit.is_warm()) {
            let memory = unit.facts.borrow().sample.as_ref().and_then(|sample| sample.borrow().memory);
            if let Some(memory) = memory {
                self.pool.measured(*worker, memory);
            }
        }
        let turn = self.pool.turn(now);
        for worker in turn.stop {
            self.drain(worker, Duration::ZERO, "nobody needs it");
        }
        // Whoever waits while no slot is in use waits for a place, of which this takes none.
        let wait = self.pool.wait(self.slots.are_unused(), now);
        if let Some(package) = &turn.start
            && wait.is_none()
        {
            let worker = self.launch(package, None, Purpose::Warm);
            self.pool.joins(package, worker, now);
        }
        let waits = wait.filter(|_| turn.start.is_some());
        let look = (!self.pool.is_empty()).then(|| now + LOOK);
        self.pool_due = [waits, look, self.pool.due(now)].into_iter().flatten().min();
    }

    /// Lets all warm workers of a plugin go. What runs, waits or is looked up now may be of before, so that none is made
    /// ready because of it later on: neither when it starts, nor when it goes for want of use.
    pub(super) fn cool(&mut self, plugin: &PluginId, reason: &str) {
        for worker in self.pool.forget(plugin) {
            self.drain(worker, Duration::ZERO, reason);
        }
        let units = self.units.values_mut().filter(|unit| unit.package.descriptor.id == *plugin);
        units.for_each(|unit| unit.pooling = Pooling::Never);
        for start in self.line.iter_mut() {
            if let Start::Serve(key, _, launch) | Start::Candidate(key, launch, ..) = start
                && key.plugin == *plugin
            {
                launch.pooling = Pooling::Never;
            }
        }
        for (_, instance) in self.instances.iter_mut().filter(|(key, _)| key.plugin == *plugin) {
            if let Some(Starting::Asking(_, pooling)) = &mut instance.starting {
                *pooling = Pooling::Never;
            }
        }
    }

    pub(super) fn warm_workers(&self) -> Vec<WarmWorker> {
        let warm = self.units.iter().filter(|(_, unit)| unit.is_warm());
        let mut warm: Vec<_> = warm.map(|(worker, unit)| self.warm_worker(*worker, unit)).collect();
        warm.sort_by_key(|worker| worker.worker_id);
        warm
    }

    fn warm_worker(&self, worker_id: WorkerId, unit: &Unit) -> WarmWorker {
        let facts = unit.facts.borrow().clone();
        let sample = facts.sample.as_ref().map(|sample| *sample.borrow()).unwrap_or_default();
        WarmWorker {
            plugin: unit.package.descriptor.id.clone(),
            worker_id,
            content_hash: unit.package.content_hash,
            state: facts.state,
            pid: facts.pid,
            started_at: unit.started_at,
            rss_bytes: sample.memory,
            processor_time: sample.processor,
            throttled: sample.throttled,
            isolation: self.shared.settings.sandbox.isolation().tier,
        }
    }
}

impl Unit {
    /// Whether it is in the pool, or on its way out of there.
    pub(super) const fn is_warm(&self) -> bool {
        matches!(self.purpose, Purpose::Warm)
    }

    /// Whether it needs no processor now, as far as that was looked at.
    pub(super) fn rests(&self) -> bool {
        self.facts.borrow().sample.as_ref().is_some_and(|sample| sample.borrow().rests)
    }
}
