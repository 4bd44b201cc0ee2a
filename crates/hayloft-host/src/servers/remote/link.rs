//! The line to one server elsewhere, kept by a task of its own: reached when somebody needs it or for its list of tools,
//! let go when nobody does, and tried again with growing pauses when it fails.
//!
//! A server that is dead or slow holds up whoever calls it, and nobody else. When it has failed often enough, it does not
//! even hold up those: they are refused at once, until a trial has reached it. Where trying again by itself would only
//! repeat what somebody has to change, the trial is left to the first call after the pause.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use hayloft_mcp::Upstream;
use hayloft_mcp::client::CallError;
use hayloft_model::{ContentHash, Entropy, InstanceKey, ServerId};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::super::handed::RemoteServer;
use super::breaker::{Breaker, OPENS_AFTER};
use super::fate::Fate;
use super::reach::{Failure, FailureKind, Reached};
use crate::{Host, HostInner};

/// A session that nobody used for so long is let go.
const UNUSED: Duration = Duration::from_secs(300);

/// So long a server that was reached is asked what it has beside tools, before calls go to it.
const ITEMS_WITHIN: Duration = Duration::from_secs(5);

/// Where the wish for a server comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The plugin's folder lists it.
    Listed,
    /// This code of the plugin handed it over.
    Handed(ContentHash),
}

/// When a server is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At once, to learn its tools.
    Now,
    /// When somebody calls it.
    OnDemand,
}

/// The line to one server. The task ends with it.
pub(crate) struct Link {
    pub(crate) server: RemoteServer,
    pub(crate) origin: Origin,
    line: Arc<Line>,
    _task: AbortOnDropHandle<()>,
}

/// What the task and those who call share.
struct Line {
    state: watch::Sender<State>,
    wanted: Notify,
    tripped: Notify,
    /// Calls that failed one after another.
    failed_calls: AtomicU32,
    /// After how many attempts a call took the next one upon itself.
    taken_up: AtomicU64,
    /// Whether a call got an answer in this session.
    worked: AtomicBool,
    used: Mutex<Instant>,
}

#[derive(Clone)]
struct State {
    /// How many attempts have ended.
    attempts: u64,
    phase: Phase,
    /// Why the last one failed, until one has not.
    last_error: Option<String>,
}

#[derive(Clone)]
enum Phase {
    Idle,
    Opening,
    Open(Upstream),
    Down(Down),
}

/// Why a server cannot be called at this moment.
#[derive(Clone, Debug)]
pub(crate) struct Down {
    /// For people.
    pub(crate) error: String,
    /// When it is tried again.
    pub(crate) until: Instant,
    /// Whether it is not even tried before that.
    is_open: bool,
    /// Whether it is tried only because somebody calls.
    is_left_to_calls: bool,
    /// Whether it is down because of what it is sent as credentials.
    is_refusal: bool,
}

impl From<Down> for Failure {
    fn from(down: Down) -> Self {
        Self { is_refusal: down.is_refusal, ..Self::passing(down.error) }
    }
}

impl Link {
    /// A line with a task of its own.
    pub(crate) fn start(
        host: &Host,
        key: InstanceKey,
        id: ServerId,
        server: RemoteServer,
        origin: Origin,
        begin: Begin,
    ) -> Self {
        let line = Arc::new(Line {
            state: watch::Sender::new(State { attempts: 0, phase: Phase::Idle, last_error: None }),
            wanted: Notify::new(),
            tripped: Notify::new(),
            failed_calls: AtomicU32::new(0),
            taken_up: AtomicU64::new(0),
            worked: AtomicBool::new(false),
            used: Mutex::new(Instant::now()),
        });
        let keeper = Keeper {
            host: host.downgrade(),
            entropy: Arc::clone(&host.entropy),
            key,
            id,
            server: server.clone(),
            line: Arc::clone(&line),
        };
        Self { server, origin, line, _task: AbortOnDropHandle::new(tokio::spawn(keeper.run(begin))) }
    }

    /// The session, opened if there is none.
    ///
    /// # Errors
    /// When the server could not be reached, or is not even tried now.
    pub(crate) async fn session(&self) -> Result<Upstream, Down> {
        *self.line.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let mut states = self.line.state.subscribe();
        let mut asked = None;
        loop {
            let State { attempts, phase, .. } = states.borrow_and_update().clone();
            match phase {
                Phase::Open(upstream) if upstream.close_reason().is_none() => return Ok(upstream),
                // Who has taken the trial upon itself waits for what comes of it.
                Phase::Down(down) if asked.is_some_and(|asked| attempts > asked) => return Err(down),
                Phase::Down(down) if down.is_open && asked.is_none() && !self.takes_up(&down, attempts) => {
                    return Err(down);
                }
                Phase::Idle | Phase::Down(_) => self.line.wanted.notify_one(),
                Phase::Opening | Phase::Open(_) => {}
            }
            asked.get_or_insert(attempts);
            if states.changed().await.is_err() {
                let error = String::from("the server is no longer one of the plugin");
                let until = Instant::now();
                return Err(Down { error, until, is_open: true, is_left_to_calls: false, is_refusal: false });
            }
        }
    }

    /// Whether a call is the one that has a server tried again which is tried for calls only.
    fn takes_up(&self, down: &Down, attempts: u64) -> bool {
        down.is_left_to_calls
            && Instant::now() >= down.until
            && self.line.taken_up.fetch_max(attempts, Ordering::Relaxed) < attempts
    }

    /// Notes that the server answered a call, whatever it said.
    pub(crate) fn answered(&self) {
        self.line.failed_calls.store(0, Ordering::Relaxed);
        self.line.worked.store(true, Ordering::Relaxed);
    }

    /// Notes what a request without a result says about the server.
    pub(crate) fn told(&self, error: &CallError) -> Fate {
        let fate = Fate::of(error);
        match fate {
            Fate::Answered => self.answered(),
            Fate::Ours => {}
            Fate::Failed | Fate::Lost => self.failed(),
        }
        fate
    }

    fn failed(&self) {
        if self.line.failed_calls.fetch_add(1, Ordering::Relaxed) + 1 >= OPENS_AFTER {
            self.line.tripped.notify_one();
        }
    }

    /// Whether it can be called at this moment without connecting.
    pub(crate) fn is_connected(&self) -> bool {
        let state = self.line.state.borrow();
        matches!(&state.phase, Phase::Open(upstream) if upstream.close_reason().is_none())
    }

    /// Whether the plugin's code handed it over.
    pub(crate) const fn is_handed(&self) -> bool {
        matches!(self.origin, Origin::Handed(_))
    }

    /// Whether it could not be reached or held the last time.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.line.state.borrow().phase, Phase::Down(_))
    }

    /// What keeps the server from answering, as far as it was tried.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.line.state.borrow().last_error.clone()
    }
}

/// Keeps one line.
struct Keeper {
    host: Weak<HostInner>,
    entropy: Arc<dyn Entropy>,
    key: InstanceKey,
    id: ServerId,
    server: RemoteServer,
    line: Arc<Line>,
}

/// Why a session is over.
enum Over {
    /// Nobody used it.
    Unused,
    /// It ended.
    Ended(String),
    /// Its calls failed one after another.
    Tripped,
}

impl Keeper {
    async fn run(self, begin: Begin) {
        let mut breaker = Breaker::default();
        let mut due = (begin == Begin::Now).then(Instant::now);
        // Before that, nobody makes it try.
        let mut closed_until: Option<Instant> = None;
        loop {
            tokio::select! {
                () = self.line.wanted.notified() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            if closed_until.is_some_and(|until| Instant::now() < until) {
                continue;
            }
            // While nobody is to wait for it, they go on being refused until the trial has reached it.
            if !breaker.is_open() {
                self.set(Phase::Opening);
            }
            let (failure, lasted) = match self.open().await {
                Ok(None) => return,
                Err(failure) => (failure, Duration::ZERO),
                Ok(Some(upstream)) => {
                    let begun = Instant::now();
                    let over = self.hold(&upstream).await;
                    if self.line.worked.load(Ordering::Relaxed) {
                        breaker.worked();
                    }
                    match over {
                        Over::Unused => {
                            upstream.close();
                            (due, closed_until) = (None, None);
                            self.end(Phase::Idle);
                            continue;
                        }
                        Over::Ended(why) => (Failure::passing(why), begun.elapsed()),
                        Over::Tripped => {
                            breaker.trip();
                            let why = format!("{OPENS_AFTER} calls failed one after another");
                            (Failure::passing(why), Duration::ZERO)
                        }
                    }
                }
            };
            let pause = match failure.kind {
                FailureKind::Passing => breaker.failed(lasted),
                FailureKind::Lasting => breaker.trip(),
            };
            let pause = self.jittered(pause);
            let until = Instant::now() + pause;
            let is_left_to_calls = failure.kind == FailureKind::Lasting;
            due = (!is_left_to_calls).then_some(until);
            closed_until = breaker.is_open().then_some(until);
            metrics::counter!("hayloft_mcp_server_failures_total").increment(1);
            tracing::warn!(instance = %self.key, server = %self.id, pause = pause.as_secs_f64(),
                "an MCP server elsewhere is down: {}", failure.why);
            let (is_open, is_refusal) = (breaker.is_open(), failure.is_refusal);
            self.end(Phase::Down(Down { error: failure.why, until, is_open, is_left_to_calls, is_refusal }));
        }
    }

    /// Reaches the server and tells what it has. Nothing, when the host is gone.
    async fn open(&self) -> Result<Option<Upstream>, Failure> {
        let Some(host) = self.host.upgrade().map(Host) else { return Ok(None) };
        let reached = host.reach(&self.key, &self.id, &self.server, None).await;
        let outcome = if reached.is_ok() { "reached" } else { "failed" };
        metrics::counter!("hayloft_remote_mcp_attempts_total", "outcome" => outcome).increment(1);
        let Reached { upstream, listing } = reached?;
        self.line.worked.store(false, Ordering::Relaxed);
        // One more failure after a trial, and nobody waits again.
        let failed = self.line.failed_calls.load(Ordering::Relaxed).min(OPENS_AFTER - 1);
        self.line.failed_calls.store(failed, Ordering::Relaxed);
        // What was said of an earlier session is not about this one.
        let _ = self.line.tripped.notified().now_or_never();
        host.publish_remote(&self.key, &self.id, &listing).await;
        // Its tools are not kept waiting for long by what else it has; that is asked for again when somebody wants it.
        let learned = host.learn_remote_items(&self.key, &self.id, &upstream);
        if timeout(ITEMS_WITHIN, learned).await.is_err() {
            tracing::info!(instance = %self.key, server = %self.id, "the server's resources and prompts are not known in time");
        }
        self.end(Phase::Open(upstream.clone()));
        Ok(Some(upstream))
    }

    /// Follows a session to its end.
    async fn hold(&self, upstream: &Upstream) -> Over {
        let (mut changes, mut items) = (upstream.tools_changed(), upstream.items_changed());
        let mut look = interval(UNUSED / 5);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                reason = upstream.closed() => return Over::Ended(reason.to_string()),
                () = self.line.tripped.notified() => return Over::Tripped,
                Ok(()) = changes.changed() => self.list_anew(upstream).await,
                Ok(()) = items.changed() => self.learn_items_anew(upstream).await,
                _ = look.tick() => {
                    let used = *self.line.used.lock().unwrap_or_else(PoisonError::into_inner);
                    if upstream.waiting() == 0 && used.elapsed() >= UNUSED {
                        return Over::Unused;
                    }
                }
            }
        }
    }

    async fn list_anew(&self, upstream: &Upstream) {
        let Some(host) = self.host.upgrade().map(Host) else { return };
        match upstream.list_tools().await {
            Ok(listing) => host.publish_remote(&self.key, &self.id, &listing).await,
            Err(error) => {
                tracing::warn!(instance = %self.key, server = %self.id, %error, "failed to list the server's tools anew");
            }
        }
    }

    async fn learn_items_anew(&self, upstream: &Upstream) {
        let Some(host) = self.host.upgrade().map(Host) else { return };
        host.learn_remote_items(&self.key, &self.id, upstream).await;
    }

    fn set(&self, phase: Phase) {
        self.line.state.send_modify(|state| state.phase = phase);
    }

    /// The end of an attempt, or of what came of it.
    fn end(&self, phase: Phase) {
        self.line.state.send_modify(|state| {
            state.attempts += 1;
            state.last_error = match &phase {
                Phase::Down(down) => Some(down.error.clone()),
                Phase::Idle | Phase::Opening | Phase::Open(_) => None,
            };
            state.phase = phase;
        });
    }

    /// Up to a quarter more, so that what fell together does not get up together.
    fn jittered(&self, pause: Duration) -> Duration {
        let mut random = [0];
        self.entropy.fill(&mut random);
        pause + pause / 4 * u32::from(random[0]) / 256
    }
}
