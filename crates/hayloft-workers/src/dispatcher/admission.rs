//! Who may start now: a worker needs a place in its plugin's pool and a slot among all starts. Who has to wait stands in a
//! line, and the line moves when something ends, never because somebody looks.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;

use hayloft_model::plugin::UpdateStrategy;
use hayloft_model::{PluginId, Priority};

use super::{
    Activity, CandidateError, Dispatcher, InstanceKey, Instant, Launch, Order, Package, Pool, ProbeError,
    Purpose, RawValue, Starting, Unit, Worker, WorkerId, oneshot,
};

/// Somebody who waits for a start.
pub(super) enum Start {
    /// An instance that somebody needs; the number is that of its attempt.
    Serve(InstanceKey, u64, Box<Launch>),
    /// New values that are to be tried, if there is room for that by then.
    Candidate(InstanceKey, Box<Launch>, Instant, oneshot::Sender<Result<Worker, CandidateError>>),
    /// A plugin that is to say what it registers.
    Probe(Box<Package>, Option<OwnedFd>, oneshot::Sender<Result<Box<RawValue>, ProbeError>>),
}

impl Start {
    pub(super) const fn key(&self) -> Option<&InstanceKey> {
        match self {
            Self::Serve(key, ..) | Self::Candidate(key, ..) => Some(key),
            Self::Probe(..) => None,
        }
    }

    /// How urgent it is. What the host itself wants is as urgent as others.
    fn priority(&self) -> Priority {
        match self {
            Self::Serve(_, _, launch) | Self::Candidate(_, launch, ..) => launch.priority,
            Self::Probe(..) => Priority::USUAL,
        }
    }

    /// Whether it begins only when no worker of its instance is left.
    fn comes_alone(&self) -> bool {
        match self {
            Self::Serve(_, _, launch) | Self::Candidate(_, launch, ..) => {
                launch.package.descriptor.update_strategy == UpdateStrategy::Recreate
            }
            Self::Probe(..) => false,
        }
    }
}

impl Unit {
    /// Whose it is, if it is anybody's.
    fn key(&self) -> Option<&InstanceKey> {
        Some(self.worker.as_ref()?.key())
    }
}

impl Dispatcher {
    /// The source has said what to start for an instance.
    pub(super) fn line_up(&mut self, key: &InstanceKey, attempt: u64, launch: Box<Launch>) {
        self.instance(key).starting = Some(Starting::Waiting(attempt));
        self.join(Start::Serve(key.clone(), attempt, launch));
    }

    /// Adds somebody to the line, who starts at once if that is possible.
    pub(super) fn join(&mut self, start: Start) {
        let priority = start.priority();
        self.line.join(start.key().map(|key| key.organization), priority, start);
        self.admit();
    }

    /// Starts everybody who may start now, and sees to it that there will be room for the others.
    pub(super) fn admit(&mut self) {
        self.admit_waiting();
        self.tend_pool();
    }

    fn admit_waiting(&mut self) {
        self.line_due = None;
        if self.line.is_empty() || self.closing.is_some() {
            return;
        }
        self.drop_unwanted();
        let now = Instant::now();
        self.send_overdue_away(now);
        self.end_overdue_slots(now);
        while let Some(start) = self.next_start(now) {
            match start {
                Start::Serve(key, _, launch) => self.start_serving(&key, launch),
                Start::Candidate(key, launch, _, reply) => {
                    self.launch_or_claim(&key, launch, |launch| Purpose::Candidate(launch, Some(reply)));
                }
                Start::Probe(package, compiled, reply) => {
                    self.launch_with(&package, None, Purpose::Probe(Some(reply)), compiled);
                }
            }
        }
        self.make_way(now);
        self.make_room();
        let waits = self.line.iter().flat_map(|(organization, start)| {
            let until = match start {
                Start::Candidate(_, _, until, _) => Some(*until),
                Start::Serve(..) | Start::Probe(..) => None,
            };
            [self.slots.wait_of(organization, now), until]
        });
        self.line_due = waits.flatten().min();
    }

    pub(super) fn end_overdue_slots(&mut self, now: Instant) {
        let Self { slots, units, .. } = self;
        slots.end_overdue(now, |worker| units.get(&worker).is_some_and(Unit::rests));
    }

    /// Whoever saved new settings is told that there was no room to try them, and keeps nobody waiting any longer.
    fn send_overdue_away(&mut self, now: Instant) {
        let after = self.shared.settings.queue.deadline;
        for start in
            self.line.leave(|start| matches!(start, Start::Candidate(_, _, until, _) if *until <= now))
        {
            if let Start::Candidate(.., reply) = start {
                // Whoever went away needs no answer.
                let _ = reply.send(Err(CandidateError::NoPlace { after }));
            }
        }
    }

    fn next_start(&mut self, now: Instant) -> Option<Start> {
        let given_up = self.places_given_up();
        // The line is apart for that long, so that everything else can be asked.
        let mut line = std::mem::take(&mut self.line);
        let next = line.next(|organization, start| {
            let Self { slots, places, instances, pools, .. } = &*self;
            let has_place = start.key().is_none_or(|key| {
                if start.comes_alone() && places.has(key) {
                    return false;
                }
                // Whoever is to be switched off gets a worker to do it with, however full the pool is.
                (places.has(key) && !given_up.contains(key))
                    || places.of(&key.plugin) < pools.of(&key.plugin).get()
                    || instances.get(key).is_some_and(|instance| instance.disabling.is_some())
            });
            // One that is ready has its plugin loaded and needs no slot.
            let is_ready = || match start {
                Start::Serve(key, _, launch) | Start::Candidate(key, launch, ..) => {
                    slots.has_allowance(organization, now) && self.has_warm(key, launch, now)
                }
                Start::Probe(..) => false,
            };
            has_place && (slots.are_free_for(organization, now) || is_ready())
        });
        self.line = line;
        next
    }

    /// The instances whose place is that of others by now, who wait for it: all that is left in it is on its way out for
    /// them. Else an organization that calls at once would have its place back before them, however often.
    fn places_given_up(&self) -> HashSet<InstanceKey> {
        let mut given_up = HashSet::new();
        for key in self.units.values().filter(|unit| unit.makes_way).filter_map(Unit::key) {
            let is_wanted = || {
                let keys = self.line.iter().filter_map(|(_, start)| start.key());
                keys.filter(|other| other.plugin == key.plugin).any(|other| !self.places.has(other))
            };
            let has_others = || self.units.values().any(|unit| unit.key() == Some(key) && !unit.ending);
            if !has_others() && is_wanted() {
                given_up.insert(key.clone());
            }
        }
        given_up
    }

    /// Takes those out of the line whom nobody waits for any more.
    fn drop_unwanted(&mut self) {
        let instances = &mut self.instances;
        let unwanted = self.line.leave(|start| match start {
            Start::Serve(key, attempt, _) => {
                let Some(instance) = instances.get_mut(key) else { return true };
                if !matches!(instance.starting, Some(Starting::Waiting(current)) if current == *attempt) {
                    return true;
                }
                instance.waiting.retain(|reply| !reply.is_closed());
                instance.waiting.is_empty() && !matches!(instance.disabling, Some(Some(_)))
            }
            Start::Candidate(.., reply) => reply.is_closed(),
            Start::Probe(_, _, reply) => reply.is_closed(),
        });
        for start in unwanted {
            let Start::Serve(key, attempt, _) = start else { continue };
            if let Some(instance) = self.instances.get_mut(&key) {
                instance.starting.take_if(
                    |starting| matches!(starting, Starting::Waiting(current) if *current == attempt),
                );
            }
            self.drop_if_unused(&key);
        }
    }

    /// Ends the workers for whose end newer ones wait, where a plugin never has two at once.
    fn make_way(&mut self, now: Instant) {
        let awaited = self.line.iter().filter_map(|(organization, start)| {
            let Start::Candidate(key, ..) = start else { return None };
            let instance = self.instances.get(key).filter(|instance| instance.disabling.is_none())?;
            // Whoever could not follow at once leaves the older one where it is.
            let may_follow = start.comes_alone() && self.slots.are_free_for(organization, now);
            Some((key.clone(), instance.serving.filter(|_| may_follow)?))
        });
        for (key, worker) in awaited.collect::<Vec<_>>() {
            let calls = self.shared.settings.deadlines.drain;
            self.end_current(&key, worker, calls, "a worker that is newer waits for its end");
        }
    }

    /// Stops the workers that were used least recently and that nobody uses, one for each that waits for its place. Where
    /// all are in use, they say when that ends.
    fn make_room(&mut self) {
        let full = |key: &InstanceKey| {
            !self.places.has(key) && self.places.of(&key.plugin) >= self.pools.of(&key.plugin).get()
        };
        let wanted: Vec<InstanceKey> =
            self.line.iter().filter_map(|(_, start)| start.key()).filter(|key| full(key)).cloned().collect();
        for key in &wanted {
            let plugin = &key.plugin;
            let waiting = wanted.iter().filter(|other| other.plugin == *plugin).count();
            let leaving = self.leaving(plugin);
            let over = self.places.of(plugin).saturating_sub(self.pools.of(plugin).get());
            if leaving >= waiting + over || self.pools.is_kept_alive(plugin) {
                continue;
            }
            if !self.stop_least_recently_used(key) {
                self.ask_for_quiet(key);
            }
        }
    }

    /// The pools of plugins at this moment.
    pub(super) fn pools_of(&self, plugins: Vec<PluginId>) -> Vec<Pool> {
        let pool = |plugin: PluginId| {
            let limit = self.pools.of(&plugin);
            let in_use = self.places.of(&plugin);
            let wants = |key: &&InstanceKey| key.plugin == plugin && !self.places.has(key);
            let waiting = self.line.iter().filter_map(|(_, start)| start.key()).filter(wants).count();
            Pool {
                limit,
                chosen: self.pools.chosen(&plugin),
                in_use,
                waiting: if in_use >= limit.get() { waiting } else { 0 },
                plugin,
            }
        };
        plugins.into_iter().map(pool).collect()
    }

    /// Stops the worker of the plugin that nobody has used for the longest time. Gives whether there was one.
    fn stop_least_recently_used(&mut self, wanting: &InstanceKey) -> bool {
        let mut idle: Vec<_> = self
            .units
            .iter()
            .filter(|(_, unit)| unit.activity.is_idle(Activity::SETTLED))
            .filter_map(|(id, unit)| {
                let key = self.serves(*id, unit)?;
                (key.plugin == wanting.plugin).then(|| (unit.activity.last(), *id, key.clone()))
            })
            .collect();
        idle.sort();
        // Whoever found it in this very moment still has the time of a drain.
        let calls = self.shared.settings.deadlines.drain;
        for (_, worker, key) in idle {
            if self.shared.directory.withdraw_idle(&key, worker, Activity::SETTLED) {
                self.note_use(worker);
                self.end_current(&key, worker, calls, "another organization needs its place");
                if let Some(unit) = self.units.get_mut(&worker) {
                    unit.makes_way = true;
                }
                return true;
            }
        }
        false
    }

    /// How many places of a plugin's pool will be free in a moment, without anything being done. What has calls in flight
    /// may take long to end.
    fn leaving(&self, plugin: &PluginId) -> usize {
        let is_leaving = |unit: &Unit| unit.ending && unit.activity.in_flight() == 0;
        let of_plugin =
            self.units.values().filter_map(|unit| Some((unit.worker.as_ref()?.key(), is_leaving(unit))));
        let mut leaving = HashMap::new();
        for (key, ending) in of_plugin.filter(|(key, _)| key.plugin == *plugin) {
            *leaving.entry(key.organization).or_insert(true) &= ending;
        }
        leaving.into_values().filter(|leaving| *leaving).count()
    }

    /// Whose serving worker it is, if it is one.
    fn serves<'a>(&self, worker: WorkerId, unit: &'a Unit) -> Option<&'a InstanceKey> {
        let key = unit.worker.as_ref()?.key();
        let serves = self.instances.get(key).is_some_and(|instance| instance.serving == Some(worker));
        (serves && !unit.ending).then_some(key)
    }

    fn ask_for_quiet(&mut self, wanting: &InstanceKey) {
        let used = self
            .units
            .iter()
            .filter(|(_, unit)| !unit.tells_quiet)
            .filter(|(id, unit)| self.serves(**id, unit).is_some_and(|key| key.plugin == wanting.plugin));
        for worker in used.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(unit) = self.units.get_mut(&worker) {
                unit.tells_quiet = true;
            }
            self.order(worker, Order::TellQuiet);
        }
    }

    pub(super) fn on_quiet(&mut self, worker: WorkerId) {
        if let Some(unit) = self.units.get_mut(&worker) {
            unit.tells_quiet = false;
        }
        self.admit();
    }

    /// Sends everybody away who waits for a place or a slot.
    pub(super) fn close_line(&mut self) {
        for start in self.line.leave(|_| true) {
            match start {
                // Those who wait for it are answered as all who wait for the instance.
                Start::Serve(..) => {}
                Start::Candidate(.., reply) => drop(reply.send(Err(CandidateError::ShuttingDown))),
                Start::Probe(_, _, reply) => drop(reply.send(Err(ProbeError::ShuttingDown))),
            }
        }
    }

    /// Calls off the candidates of an instance that wait for a place or a slot.
    pub(super) fn call_off_candidates(&mut self, key: &InstanceKey, reason: &str) {
        for start in self.line.leave(|start| matches!(start, Start::Candidate(of, ..) if of == key)) {
            if let Start::Candidate(.., reply) = start {
                let _ = reply.send(Err(CandidateError::Gone { reason: reason.to_owned() }));
            }
        }
    }
}
