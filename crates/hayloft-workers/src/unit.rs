//! One worker process: a task that owns all facts of it and alone speaks with it.
//!
//! It obeys the dispatcher's orders, answers the worker's requests, keeps deadlines, and when the process ends, for
//! whatever reason, leaves nothing of it behind.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use hayloft_model::plugin::Package;
use hayloft_model::{InstanceKey, Secret, ServerId, WorkerId, WorkerState};
use metrics::histogram;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::StartFailure;
use crate::activity::Activity;
use crate::dispatcher::Shared;
use crate::events::{Cause, Ending, Event, Facts, Order, Report};
use crate::health::Health;
use crate::http::RouteListener;
use crate::kept::{Kept, KeptServer, News};
use crate::life::Life;
use crate::logs::{Level, WorkerLog};
use crate::notices::Inlet;
use crate::pace::GatePace;
use crate::sampler::Subjects;
use crate::status::StateGauge;
use crate::worker::Request;

mod drain;
mod ending;
mod hooks;
mod idle;
mod kept;
mod messages;
mod requests;
mod servers;
mod start;
#[cfg(test)]
mod tests;
mod vitals;

use drain::Drain;
use hooks::Pending;
use idle::Idleness;
use kept::Start;
use messages::next_frame;
use servers::{Server, ServerTask};
use start::{Process, start};

/// So long it takes at most to read what was written before the end, and to say farewell.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A process that closed its channel has so long to end before it is killed for that. One that ends closes it on the way, and
/// on a busy machine it takes a while until its end is told.
const HANGS_UP: Duration = Duration::from_secs(2);

/// What is said of one that did not end although it closed its channel.
const HUNG_UP: &str = "it closed its channel";

/// Requests of a worker that may wait for the host's answer.
const ANSWERING: usize = 256;

/// What a unit is made of.
pub(crate) struct Birth {
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: WorkerId,
    pub(crate) package: Package,
    /// The file that takes what Node compiled, if somebody wants that.
    pub(crate) compiled: Option<OwnedFd>,
    /// Absent for one that never serves, and for one of which nobody knows yet for whom it will.
    pub(crate) instance: Option<(InstanceKey, Inlet)>,
    pub(crate) origin: Origin,
    pub(crate) log: WorkerLog,
    pub(crate) activity: Arc<Activity>,
    pub(crate) facts: watch::Sender<Facts>,
    pub(crate) routes: RouteListener,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) reports: mpsc::UnboundedSender<Report>,
    pub(crate) subjects: Subjects,
}

/// Why a worker was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Somebody waits for it.
    Demand,
    /// So that whoever comes next need not wait.
    Pool,
}

/// Runs a worker from its start to its end. The last thing it does is to report that nothing is left.
pub(crate) async fn run(birth: Birth) {
    let begun = Instant::now();
    let (worker, reports) = (birth.worker, birth.reports.clone());
    let ending = match start(&birth).await {
        Ok(process) => {
            let (news, inbox) = mpsc::unbounded_channel();
            Unit::new(birth, process, begun, news).live(inbox).await
        }
        Err(failure) => {
            birth.activity.close();
            birth.log.host(Level::Error, format!("failed to {failure}"));
            birth.facts.send_modify(|facts| {
                facts.state = WorkerState::Gone;
                facts.ending = Some(failure.to_string());
            });
            let (starting, uptime) = (begun.elapsed(), Duration::ZERO);
            Ending { cause: Cause::NeverServed(failure), out_of_memory: false, starting, uptime }
        }
    };
    // Without a dispatcher nobody wants to know any more.
    let _ = reports.send(Report { worker, event: Event::Gone(ending) });
}

/// Whether the unit goes on, or why not.
type Step = ControlFlow<Cause>;

const ON: Step = ControlFlow::Continue(());

struct Unit {
    shared: Arc<Shared>,
    worker: WorkerId,
    package: Package,
    instance: Option<(InstanceKey, Inlet)>,
    origin: Origin,
    log: WorkerLog,
    activity: Arc<Activity>,
    facts: watch::Sender<Facts>,
    gauge: StateGauge,
    orders: mpsc::UnboundedReceiver<Order>,
    requests: mpsc::Receiver<Request>,
    reports: mpsc::UnboundedSender<Report>,
    /// When it was started for its organization, or given to it.
    begun: Instant,
    /// When its start was over.
    started: Option<Instant>,

    life: Life,
    process: Process,
    /// The process must have said what comes next by then.
    introduction: Option<Instant>,
    /// The channel is at its end; the process must have ended by then.
    last_words: Option<Instant>,
    /// What the plugin registered, until the worker is warm.
    registration: Option<Box<RawValue>>,
    /// What the worker gave as the reason of its own end.
    fatal: Option<StartFailure>,
    /// Its process ended for want of memory.
    out_of_memory: bool,
    drain: Option<Drain>,
    health: Health,
    idleness: Idleness,

    next_request: u64,
    pending: HashMap<u64, Pending>,
    servers: HashMap<ServerId, Server>,
    /// Servers that the worker said are elsewhere. The host has them.
    /// With the request that is still to be agreed to.
    elsewhere: BTreeMap<ServerId, Option<u64>>,
    /// Servers that the plugin's folder lists, until they are started.
    listed: Vec<KeptServer>,
    /// The organization's settings as variables of servers.
    server_environment: Vec<(String, Secret<String>)>,
    kept: BTreeMap<ServerId, Kept>,
    news: mpsc::UnboundedSender<News>,
    start: Start,
    next_serial: u64,
    answering: usize,
    tasks: FuturesUnordered<BoxFuture<'static, ServerTask>>,
    /// A message that its server's client had no room for. Nothing is read until it has.
    blocked: Option<(mpsc::Sender<Bytes>, Bytes)>,
    /// How fast it may send what answers nothing. What its servers send is bounded by their clients.
    pace: GatePace,
    /// It sent more than that; nothing is read before.
    paused: Option<Instant>,
}

impl Unit {
    fn new(birth: Birth, process: Process, begun: Instant, news: mpsc::UnboundedSender<News>) -> Self {
        let Birth {
            shared,
            worker,
            package,
            compiled: _,
            instance,
            origin,
            log,
            activity,
            facts,
            orders,
            requests,
            reports,
            routes: _,
            subjects: _,
        } = birth;
        let deadlines = &shared.settings.deadlines;
        let now = Instant::now();
        Self {
            pace: GatePace::new(&shared.settings.gates),
            paused: None,
            gauge: StateGauge::new(&package.descriptor.id, WorkerState::Starting),
            introduction: process.runner.as_ref().map(|_| now + deadlines.spawn),
            health: Health::new(deadlines.ping, deadlines.pong, deadlines.unresponsive),
            idleness: Idleness::new(now + deadlines.idle),
            shared,
            worker,
            package,
            instance,
            origin,
            log,
            activity,
            facts,
            orders,
            requests,
            reports,
            begun,
            started: None,
            life: Life::new(),
            process,
            last_words: None,
            registration: None,
            fatal: None,
            out_of_memory: false,
            drain: None,
            next_request: 1,
            pending: HashMap::new(),
            servers: HashMap::new(),
            elsewhere: BTreeMap::new(),
            listed: Vec::new(),
            server_environment: Vec::new(),
            kept: BTreeMap::new(),
            news,
            start: Start::Ahead,
            next_serial: 0,
            answering: 0,
            tasks: FuturesUnordered::new(),
            blocked: None,
        }
    }

    async fn live(mut self, news: mpsc::UnboundedReceiver<News>) -> Ending {
        let cause = self.turn(news).await.map_texts(|text| self.log.masked(&text));
        let now = Instant::now();
        let started = self.started.unwrap_or(now);
        let (starting, uptime) = (started - self.begun, now - started);
        let ending = Ending { cause, out_of_memory: self.out_of_memory, starting, uptime };
        self.end(&ending).await;
        ending
    }

    async fn turn(&mut self, mut news: mpsc::UnboundedReceiver<News>) -> Cause {
        let runner = self.process.runner.as_ref().map(|runner| Arc::clone(&runner.process));
        let jail = Arc::clone(&self.process.jail);
        let exited = async {
            match runner {
                Some(runner) => runner.wait().await,
                // Without code of its own it is its jail, in which its servers run or cannot.
                None => jail.wait().await,
            }
        };
        if self.process.runner.is_none()
            && let ControlFlow::Break(cause) = self.introduce_itself()
        {
            return cause;
        }
        let alarm = sleep_until(self.wake());
        tokio::pin!(exited, alarm);
        let activity = Arc::clone(&self.activity);
        loop {
            let wake = self.wake();
            if alarm.deadline() != wake {
                alarm.as_mut().reset(wake);
            }
            let readable = self.blocked.is_none() && self.paused.is_none() && self.last_words.is_none();
            let waits_for_calls = match &self.drain {
                Some(drain) => drain.waits_for_calls(),
                None => self.idleness.waits_for_calls(),
            };
            let step = tokio::select! {
                exit = &mut exited => ControlFlow::Break(self.after_exit(exit).await),
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => ControlFlow::Break(Cause::Asked(String::from("the host is shutting down"))),
                },
                Some(request) = self.requests.recv() => self.run_hook(request),
                Some(task) = self.tasks.next() => self.after_task(task),
                Some(news) = news.recv() => self.on_news(news),
                frame = next_frame(self.process.runner.as_mut()), if readable => self.read(frame),
                () = room(self.blocked.as_ref()), if self.blocked.is_some() => {
                    self.deliver_blocked();
                    ON
                }
                () = activity.quiet(), if waits_for_calls => match self.drain {
                    Some(_) => self.calls_ended(),
                    None => self.on_quiet(),
                },
                () = &mut alarm => self.on_time(),
            };
            if let ControlFlow::Break(cause) = step {
                return cause;
            }
        }
    }

    /// When something is due at the latest.
    fn wake(&self) -> Instant {
        let bound = self.life.state() == WorkerState::Bound;
        let drain = self.drain.as_ref().map(Drain::due);
        [
            self.introduction,
            self.last_words,
            self.paused,
            drain,
            Some(self.health.due(self.hooks_until())).filter(|_| bound && self.process.runner.is_some()),
            Some(self.idleness.due()).filter(|_| bound),
            self.start_due(),
        ]
        .into_iter()
        .flatten()
        .chain(self.pending.values().map(|pending| pending.deadline))
        .min()
        // Between `ready` and `bind` nothing is due; the dispatcher speaks next.
        .unwrap_or_else(|| Instant::now() + self.shared.settings.deadlines.idle)
    }

    /// Until when hooks may take.
    fn hooks_until(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.deadline).max()
    }

    fn on_time(&mut self) -> Step {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if let Some(drain) = &mut self.drain {
            // Whether that still holds is looked at anew.
            drain.settles.take_if(|settles| *settles <= now);
            if due(drain.kill_at) {
                return ControlFlow::Break(Cause::Asked(drain.reason.clone()));
            }
            if drain.kill_at.is_none() && drain.calls_until <= now {
                return self.send_shutdown();
            }
        }
        if due(self.paused) {
            self.paused = None;
        }
        if due(self.last_words) {
            return self.failed(HUNG_UP);
        }
        if due(self.introduction) {
            let deadlines = &self.shared.settings.deadlines;
            return if self.fatal.is_some() {
                ControlFlow::Break(self.cause_of_exit(None))
            } else if self.last_words.is_some() {
                self.failed(HUNG_UP)
            } else if self.life.greeted() {
                let after = deadlines.on_initialize.as_secs_f64();
                self.failed(&format!("it did not end within {after:.1} s, and the event loop is blocked"))
            } else {
                self.failed(&format!("it said nothing within {:.1} s", deadlines.spawn.as_secs_f64()))
            };
        }
        self.end_overdue(now)?;
        if due(self.start_due()) {
            self.tell_start();
        }
        if self.life.state() == WorkerState::Bound {
            if self.process.runner.is_some() {
                self.check_health(now)?;
            }
            self.check_idle(now);
        }
        ON
    }

    fn obey(&mut self, order: Order) -> Step {
        match order {
            Order::Bind(binding) => self.bind(&binding),
            Order::Claim(claim) => self.claim(*claim),
            Order::Start => self.run_start(),
            Order::Keep(server, reply) => {
                // Whoever asked may have gone away.
                let _ = reply.send(self.keep(*server));
                ON
            }
            Order::Revive(server) => {
                self.revive(&server);
                ON
            }
            Order::TellQuiet => {
                self.tell_quiet();
                ON
            }
            Order::Drain { calls, reason } => self.begin_drain(calls, reason),
        }
    }

    fn show_state(&mut self) {
        let state = self.life.state();
        self.gauge.set(state);
        self.facts.send_modify(|facts| facts.state = state);
    }

    fn started_serving(&self) {
        let plugin = self.package.descriptor.id.to_string();
        let kind = match self.origin {
            Origin::Demand => "cold",
            Origin::Pool => "warm",
        };
        histogram!("hayloft_worker_starts_seconds", "kind" => kind, "plugin" => plugin)
            .record(self.begun.elapsed().as_secs_f64());
    }
}

/// Waits until the client of a blocked message's server has room for it, or is gone.
async fn room(blocked: Option<&(mpsc::Sender<Bytes>, Bytes)>) {
    if let Some((sender, _)) = blocked {
        // Either answer unblocks; what to do is decided when the message is sent.
        let _ = sender.reserve().await;
    }
}
