//! The one who orders everything: which worker is started for whom, which one serves, which one ends.
//!
//! It waits for nothing. What takes time is done by units and small tasks, and comes back as a message.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::OptionFuture;
use hayloft_model::plugin::Package;
use hayloft_model::{InstanceKey, InstanceState, PluginId, ServerId, WorkerId};
use metrics::counter;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::activity::Activity;
use crate::backoff::Backoff;
use crate::directory::Directory;
use crate::events::{Cause, Claim, Ending, Event, Facts, Order, Report};
use crate::line::Line;
use crate::logs::KeptLogs;
use crate::notices::Notices;
use crate::places::Places;
use crate::pools::Pools;
use crate::sampler::{self, Subjects};
use crate::settings::Settings;
use crate::slots::Slots;
use crate::warm::{Pooling, WarmPool};
use crate::{
    CandidateError, KeepRefused, KeptServer, Launch, LaunchRefused, LaunchSource, Observer, Pool, ProbeError,
    StartFailure, StateChange, Unavailable, WarmWorker, Worker, WorkerCode, WorkerStatus, home,
};

mod admission;
mod ends;
mod hold;
mod launching;
mod pool;
mod starts;
mod statuses;

use admission::Start;
use launching::Handles;

/// What everybody in this crate may read.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) source: Arc<dyn LaunchSource>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) directory: Directory,
    pub(crate) logs: KeptLogs,
}

/// What the handles ask for.
pub(crate) enum Command {
    Ensure(InstanceKey, oneshot::Sender<Result<Worker, Unavailable>>),
    Probe(Box<Package>, Option<OwnedFd>, oneshot::Sender<Result<Box<RawValue>, ProbeError>>),
    Candidate(InstanceKey, Box<Launch>, oneshot::Sender<Result<Worker, CandidateError>>),
    Promote(WorkerId, Takeover, oneshot::Sender<Result<Worker, CandidateError>>),
    Discard(WorkerId),
    /// Gives a worker to run `onDisable` with, if one can be had. Calls are refused until `Stop`.
    BeginDisable(InstanceKey, oneshot::Sender<Option<Worker>>),
    Stop(InstanceKey, String, oneshot::Sender<()>),
    Retire(InstanceKey, WorkerId, Moment, String, oneshot::Sender<Retired>),
    Keep(WorkerId, Box<KeptServer>, oneshot::Sender<Result<(), KeepRefused>>),
    Revive(WorkerId, ServerId),
    Forget(InstanceKey),
    LimitPool(PluginId, Option<NonZeroUsize>),
    Pools(Vec<PluginId>, oneshot::Sender<Vec<Pool>>),
    Statuses(oneshot::Sender<Vec<WorkerStatus>>),
    Warm(oneshot::Sender<Vec<WarmWorker>>),
    /// Nothing of this plugin is to be kept ready that was started before now.
    Cool(PluginId, String),
    CodeOf(WorkerId, oneshot::Sender<Option<WorkerCode>>),
    Told(InstanceKey, oneshot::Sender<()>),
    Shutdown(Duration, oneshot::Sender<()>),
}

/// When a worker is to be taken out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Now; its calls have the time of a drain.
    Now,
    /// Now if nobody uses it, else not at all.
    Unused,
}

/// Whether a worker was taken out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retired {
    Yes,
    /// Somebody uses it.
    InUse,
    /// Another one serves, or none.
    NotServing,
}

/// What becomes of the worker whose place a candidate takes.
#[derive(Clone, Debug)]
pub(crate) enum Takeover {
    /// Its calls have the time that any worker's have that is to end.
    NewValues(FailedStart),
    /// It holds more memory than it shall, and for nothing else: its calls end when they end.
    Recycled(String),
}

/// What becomes of a candidate whose `onStart` fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailedStart {
    /// It serves what it can: nothing better is at hand.
    Serves,
    /// It ends: what is at hand works.
    IsRejected,
}

/// What small tasks bring back.
enum Outcome {
    Launched {
        key: InstanceKey,
        attempt: u64,
        result: Result<Box<Launch>, LaunchRefused>,
    },
    /// That an instance is held back will last, whatever becomes of the host.
    Held {
        key: InstanceKey,
    },
}

pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    reports: mpsc::UnboundedReceiver<Report>,
    reporter: mpsc::UnboundedSender<Report>,
    subjects: Subjects,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    outcome_sender: mpsc::UnboundedSender<Outcome>,
    instances: HashMap<InstanceKey, Instance>,
    units: HashMap<WorkerId, Unit>,
    attempts: u64,
    /// Those who wait for a place or a slot.
    line: Line<Start>,
    places: Places,
    pools: Pools,
    slots: Slots,
    pool: WarmPool,
    /// When to look at the pool again although nothing happened.
    pool_due: Option<Instant>,
    /// When to look at the line again although nothing happened.
    line_due: Option<Instant>,
    closing: Option<Vec<oneshot::Sender<()>>>,
    /// What the observer is still told of instances that were dropped.
    farewells: HashMap<InstanceKey, JoinHandle<()>>,
}

/// An instance that somebody has needed.
struct Instance {
    state: InstanceState,
    serving: Option<WorkerId>,
    starting: Option<Starting>,
    waiting: Vec<oneshot::Sender<Result<Worker, Unavailable>>>,
    /// Its `onDisable` is to run or runs; nobody else may start it.
    disabling: Option<Disabling>,
    stopping: Vec<Stop>,
    backoff: Backoff,
    /// Why it is held back, if it crashed too often.
    quarantine: Option<String>,
    /// That is still being seen to: nobody is told before it will last, and nothing starts.
    holding: bool,
    crashed: bool,
    restarts: u32,
    last_error: Option<String>,
    notices: Notices,
}

/// Somebody waits for the end of the workers that there were when it was asked for.
struct Stop {
    left: Vec<WorkerId>,
    reply: oneshot::Sender<()>,
}

enum Starting {
    /// The source is being asked. Whether warm workers are of use for what it says.
    Asking(u64, Pooling),
    /// It stands in the line.
    Waiting(u64),
    Unit(WorkerId),
}

impl Starting {
    /// Whether a start has begun that has no worker yet.
    const fn is_only_wanted(&self) -> bool {
        matches!(self, Self::Asking(..) | Self::Waiting(_))
    }
}

impl Instance {
    fn is_unused(&self) -> bool {
        // Somebody who took a pause or a quarantine away left the state as it was, since there is no worker to tell of.
        matches!(self.state, InstanceState::Stopped | InstanceState::Backoff | InstanceState::Quarantined)
            && self.backoff.is_clear()
            && !self.holding
            && self.serving.is_none()
            && self.starting.is_none()
            && self.disabling.is_none()
            && self.waiting.is_empty()
            && self.stopping.is_empty()
    }

    /// Forgets its crashes: a person, new values or new code gave it a fresh start.
    fn forgive(&mut self) {
        self.backoff.reset();
        self.quarantine = None;
    }
}

/// Who waits for a worker to run `onDisable` with; nobody once one was given.
type Disabling = Option<oneshot::Sender<Option<Worker>>>;

/// A unit as the dispatcher knows it.
struct Unit {
    purpose: Purpose,
    orders: mpsc::UnboundedSender<Order>,
    worker: Option<Worker>,
    /// What becomes a handle once it is given to an organization, which is once in its life.
    unclaimed: Option<Handles>,
    /// It was ready before it was known for whom, and has not said yet that it took its organization.
    untried: bool,
    /// It was told to end; whatever it still reports, it does not serve any more.
    ending: bool,
    /// It was told so because another organization waited for its place.
    makes_way: bool,
    facts: watch::Receiver<Facts>,
    activity: Arc<Activity>,
    started_at: DateTime<Utc>,
    package: Package,
    pooling: Pooling,
    /// Whether it says when nobody uses it.
    tells_quiet: bool,
    /// Why the one before it was recycled, if it took its place for that.
    recycle_reason: Option<String>,
}

/// What a unit is for.
enum Purpose {
    /// To serve as soon as it can.
    Serve(Box<Launch>),
    /// To be tried with new values.
    Candidate(Box<Launch>, Option<oneshot::Sender<Result<Worker, CandidateError>>>),
    /// A candidate whose `onStart` runs.
    Promotion(Takeover, oneshot::Sender<Result<Worker, CandidateError>>),
    /// A candidate that was tried and turned down: it ends.
    Rejected,
    /// It serves, or did until it was told to end.
    Serving,
    /// To be ready for whoever needs one.
    Warm,
    /// To say what its plugin registers.
    Probe(Option<oneshot::Sender<Result<Box<RawValue>, ProbeError>>>),
}

impl Dispatcher {
    pub(crate) fn start(shared: Arc<Shared>, commands: mpsc::UnboundedReceiver<Command>) {
        let (reporter, reports) = mpsc::unbounded_channel();
        let (outcome_sender, outcomes) = mpsc::unbounded_channel();
        let slots = Slots::new(shared.settings.starts);
        let pools = Pools::new(shared.settings.pools.clone());
        let pool = WarmPool::new(shared.settings.warm);
        let dispatcher = Self {
            subjects: sampler::start(shared.settings.sampling.pace, reporter.clone()),
            shared,
            commands,
            reports,
            reporter,
            outcomes,
            outcome_sender,
            instances: HashMap::new(),
            units: HashMap::new(),
            attempts: 0,
            line: Line::default(),
            places: Places::default(),
            pools,
            slots,
            pool,
            pool_due: None,
            line_due: None,
            closing: None,
            farewells: HashMap::new(),
        };
        tokio::spawn(dispatcher.run());
    }

    async fn run(mut self) {
        self.clear_scratch().await;
        loop {
            let line_due = OptionFuture::from(self.line_due.map(sleep_until));
            let pool_due = OptionFuture::from(self.pool_due.map(sleep_until));
            tokio::select! {
                // What happened goes before what is asked, so that answers are about the present.
                biased;
                Some(report) = self.reports.recv() => self.on_report(report),
                Some(outcome) = self.outcomes.recv() => self.on_outcome(outcome),
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    // The units see their orders end and kill what they have.
                    None => return,
                },
                Some(()) = line_due => self.admit(),
                Some(()) = pool_due => self.tend_pool(),
            }
        }
    }

    /// Removes the folders that workers of an earlier host had.
    async fn clear_scratch(&self) {
        let shared = Arc::clone(&self.shared);
        let cleared = tokio::task::spawn_blocking(move || {
            let scratch = &shared.settings.scratch;
            if let Err(error) = home::clear(scratch) {
                let path = scratch.display();
                tracing::error!(%path, %error, "failed to remove folders of an earlier host's workers");
            }
        });
        if let Err(error) = cleared.await {
            tracing::error!(%error, "the removal of an earlier host's folders was interrupted");
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Ensure(key, reply) => self.ensure(&key, reply),
            Command::Probe(package, compiled, reply) => self.probe(&package, compiled, reply),
            Command::Candidate(key, launch, reply) => self.candidate(&key, launch, reply),
            Command::Promote(worker, takeover, reply) => self.promote(worker, takeover, reply),
            Command::Discard(worker) => self.drain(worker, Duration::ZERO, "the candidate was discarded"),
            Command::BeginDisable(key, reply) => self.begin_disable(&key, reply),
            Command::Stop(key, reason, reply) => self.stop(&key, &reason, reply),
            Command::Retire(key, worker, moment, reason, reply) => {
                // Whoever went away needs no answer.
                let _ = reply.send(self.retire(&key, worker, moment, &reason));
            }
            Command::Keep(worker, server, reply) => self.order(worker, Order::Keep(server, reply)),
            Command::Revive(worker, server) => self.order(worker, Order::Revive(server)),
            Command::Forget(key) => self.forget(&key),
            Command::LimitPool(plugin, workers) => {
                self.pools.choose(plugin, workers);
                self.admit();
            }
            Command::Pools(plugins, reply) => drop(reply.send(self.pools_of(plugins))),
            Command::Statuses(reply) => drop(reply.send(self.statuses())),
            Command::Warm(reply) => drop(reply.send(self.warm_workers())),
            Command::Cool(plugin, reason) => self.cool(&plugin, &reason),
            Command::CodeOf(worker, reply) => drop(reply.send(self.code_of(worker))),
            Command::Told(key, reply) => {
                self.instance(&key).notices.told(reply);
                self.drop_if_unused(&key);
            }
            Command::Shutdown(calls, reply) => self.shutdown(calls, reply),
        }
    }

    fn on_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Launched { key, attempt, result } => self.on_launched(key, attempt, result),
            Outcome::Held { key } => self.on_held(&key),
        }
    }

    fn on_launched(&mut self, key: InstanceKey, attempt: u64, result: Result<Box<Launch>, LaunchRefused>) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        // An attempt that was called off in the meantime has no consequence.
        let Some(Starting::Asking(current, pooling)) = instance.starting else { return };
        if current != attempt {
            return;
        }
        instance.starting = None;
        match result {
            Ok(mut launch) => {
                launch.pooling = launch.pooling.and(pooling);
                self.line_up(&key, attempt, launch);
            }
            Err(refused) => {
                self.not_started(&key, &refused.into());
                self.drop_if_unused(&key);
            }
        }
    }

    fn on_report(&mut self, Report { worker, event }: Report) {
        match event {
            Event::Warm(registration) => self.on_warm(worker, registration),
            Event::Bound => self.on_bound(worker),
            Event::Started(result) => self.on_started(worker, result),
            Event::Health(result) => self.on_health(worker, result),
            Event::Idle => self.on_idle(worker),
            Event::Quiet => self.on_quiet(worker),
            Event::Outgrown(reason) => self.on_outgrown(worker, reason),
            Event::Gone(ending) => self.on_gone(worker, ending),
        }
    }

    fn instance(&mut self, key: &InstanceKey) -> &mut Instance {
        let (observer, farewells) = (&self.shared.observer, &mut self.farewells);
        self.instances.entry(key.clone()).or_insert_with(|| Instance {
            state: InstanceState::Stopped,
            serving: None,
            starting: None,
            waiting: Vec::new(),
            disabling: None,
            stopping: Vec::new(),
            backoff: Backoff::default(),
            quarantine: None,
            holding: false,
            crashed: false,
            restarts: 0,
            last_error: None,
            notices: Notices::start(key.clone(), Arc::clone(observer), farewells.remove(key)),
        })
    }

    /// Keeps nothing of an instance that stands still: no worker, nobody who waits, no crash to remember. Its log stays.
    fn drop_if_unused(&mut self, key: &InstanceKey) {
        let unused = self.instances.get(key).is_some_and(Instance::is_unused);
        if unused
            && self.workers_of(key).is_empty()
            && let Some(instance) = self.instances.remove(key)
        {
            self.farewells.retain(|_, farewell| !farewell.is_finished());
            self.farewells.insert(key.clone(), instance.notices.end());
        }
    }

    fn order(&self, worker: WorkerId, order: Order) {
        if let Some(unit) = self.units.get(&worker) {
            // A unit that ends reports so.
            let _ = unit.orders.send(order);
        }
    }

    fn drain(&mut self, worker: WorkerId, calls: Duration, reason: &str) {
        if let Some(unit) = self.units.get_mut(&worker) {
            unit.ending = true;
        }
        self.order(worker, Order::Drain { calls, reason: reason.to_owned() });
    }

    fn key_of(&self, worker: WorkerId) -> Option<InstanceKey> {
        Some(self.units.get(&worker)?.worker.as_ref()?.key().clone())
    }

    /// Takes an instance to another state, and tells the observer.
    fn enter(&mut self, key: &InstanceKey, worker: WorkerId, state: InstanceState, change: StateChange) {
        if let Some(status) = self.step(key, worker, state) {
            self.instance(key).notices.changed(status, change);
        }
    }

    /// The only place where an instance's state changes. Gives what the observer is to be told of the worker.
    fn step(&mut self, key: &InstanceKey, worker: WorkerId, state: InstanceState) -> Option<WorkerStatus> {
        let instance = self.instance(key);
        match instance.state.step(state) {
            Ok(state) => instance.state = state,
            Err(error) => {
                tracing::error!(instance = %key, %error, "failed to follow an instance's state");
                return None;
            }
        }
        self.units.get(&worker).and_then(|unit| self.status(worker, unit))
    }
}

/// Answers everybody who waits.
fn answer_all(
    waiting: Vec<oneshot::Sender<Result<Worker, Unavailable>>>,
    answer: &Result<Worker, Unavailable>,
) {
    for reply in waiting {
        // Whoever went away needs no answer.
        let _ = reply.send(answer.clone());
    }
}
