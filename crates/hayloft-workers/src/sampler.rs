//! One task that measures all workers, and what follows from it: who used much of the processor goes last, and who
//! holds more memory than it shall is told of. It never waits for a worker.

use std::time::Duration;

use hayloft_model::{PluginId, WorkerId, size};
use hayloft_sandbox::{Meter, Priority};
use metrics::{Gauge, gauge};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::Sampling;
use crate::events::{Event, Report};
use crate::logs::{Level, WorkerLog};
use crate::throttle::Throttle;

/// How many turns pass between two looks at what is no hurry, or costs much: memory, and jails without a group.
const SELDOM: u64 = 5;

/// A worker that used no more than this part of a core, in percent, between two looks rests. Where there are hundreds,
/// nearly all of them do.
const AT_REST: u32 = 1;

/// The last figures of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Processor time so far, of everything in its jail. Absent where nothing counts it.
    pub(crate) processor: Option<Duration>,
    /// It used much of the processor lately, and goes last.
    pub(crate) throttled: bool,
    /// It used next to nothing of the processor between the last two looks.
    pub(crate) rests: bool,
    /// Memory of everything in its jail, in bytes, once it was looked at.
    pub(crate) memory: Option<u64>,
}

/// A worker to measure, until its jail has ended.
pub(crate) struct Subject {
    pub(crate) worker: WorkerId,
    pub(crate) plugin: PluginId,
    pub(crate) meter: Meter,
    pub(crate) log: WorkerLog,
    /// Beyond so much memory, in bytes, it is told of.
    pub(crate) soft_memory: Option<u64>,
    pub(crate) sample: watch::Sender<Sample>,
}

/// Takes workers to measure.
pub(crate) type Subjects = mpsc::UnboundedSender<Subject>;

/// Begins to measure; ends when nobody can give it workers any more.
pub(crate) fn start(sampling: Sampling, reports: mpsc::UnboundedSender<Report>) -> Subjects {
    let (subjects, inbox) = mpsc::unbounded_channel();
    tokio::spawn(run(sampling, reports, inbox));
    subjects
}

async fn run(
    sampling: Sampling,
    reports: mpsc::UnboundedSender<Report>,
    mut inbox: mpsc::UnboundedReceiver<Subject>,
) {
    let mut watched: Vec<Watched> = Vec::new();
    let mut ticks = interval(sampling.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0;
    loop {
        tokio::select! {
            subject = inbox.recv() => match subject {
                // It is looked at in the next turn, so that what it holds is known soon.
                Some(subject) => watched.push(Watched::new(subject, (turn + 1) % SELDOM, sampling.recycle_pause)),
                None => return,
            },
            // Where there is nothing to measure, nothing wakes up.
            _ = ticks.tick(), if !watched.is_empty() => {
                turn += 1;
                let (reports, taken) = (reports.clone(), std::mem::take(&mut watched));
                let looked = tokio::task::spawn_blocking(move || look(taken, turn, sampling, &reports)).await;
                match looked {
                    Ok(left) => watched = left,
                    Err(error) => tracing::error!(%error, "failed to measure the workers; those are not measured any more"),
                }
            }
        }
    }
}

/// Measures all of them once, and gives those that still run.
fn look(
    mut watched: Vec<Watched>,
    turn: u64,
    sampling: Sampling,
    reports: &mpsc::UnboundedSender<Report>,
) -> Vec<Watched> {
    let now = Instant::now();
    watched.retain_mut(|one| {
        // Not all of them in the same turn.
        let its_turn = turn % SELDOM == one.phase;
        let processor = its_turn || (one.subject.meter.is_grouped() && !one.rests);
        (!processor || one.look_at_processor(now, sampling))
            && (!its_turn || one.look_at_memory(now, sampling, reports))
    });
    watched
}

/// A worker that is measured.
struct Watched {
    subject: Subject,
    phase: u64,
    /// It is looked at seldom until it moves.
    rests: bool,
    looked: Instant,
    throttle: Option<Throttle>,
    /// The next time that too much memory is told of.
    tell_after: Instant,
    figures: Figures,
}

impl Watched {
    fn new(subject: Subject, phase: u64, pause: Duration) -> Self {
        Self {
            phase,
            rests: false,
            looked: Instant::now(),
            figures: Figures::new(&subject.plugin),
            tell_after: Instant::now() + pause,
            throttle: None,
            subject,
        }
    }

    /// Gives whether there is anything left to look at.
    fn look_at_processor(&mut self, now: Instant, sampling: Sampling) -> bool {
        let Self { subject, throttle, figures, rests, looked, .. } = self;
        let Some(used) = subject.meter.processor_time() else {
            // Where nothing counts it, memory is still there to look at.
            return subject.meter.memory_bytes().is_some();
        };
        let since = now.saturating_duration_since(std::mem::replace(looked, now));
        let is_calm = figures.processor(used) * 100 <= since * AT_REST;
        *rests = is_calm && throttle.as_ref().is_none_or(|throttle| !throttle.is_throttled());
        if subject.meter.is_grouped() {
            let throttle = throttle.get_or_insert_with(|| Throttle::new(now, Duration::ZERO));
            let meter = &subject.meter;
            if let Some(priority) =
                throttle.judge(sampling.throttle_above, now, used, || meter.wants_processor())
            {
                subject.give(priority, sampling.throttle_above);
            }
        }
        let throttled = throttle.as_ref().is_some_and(Throttle::is_throttled);
        let rests = *rests;
        subject.sample.send_modify(|sample| {
            sample.processor = Some(used);
            sample.throttled = throttled;
            sample.rests = rests;
        });
        true
    }

    /// Gives whether there is anything left to look at.
    fn look_at_memory(
        &mut self,
        now: Instant,
        sampling: Sampling,
        reports: &mpsc::UnboundedSender<Report>,
    ) -> bool {
        let Some(used) = self.subject.meter.memory_bytes() else { return false };
        self.figures.memory(used);
        self.subject.sample.send_modify(|sample| sample.memory = Some(used));
        let Some(soft) = self.subject.soft_memory.filter(|soft| used > *soft && now >= self.tell_after)
        else {
            return true;
        };
        // What the kernel can take back at any moment is not held by the worker.
        let held = self.subject.meter.working_set_bytes().unwrap_or_default();
        if held > soft {
            self.tell_after = now + sampling.recycle_pause;
            let reason = format!(
                "it holds {} of memory, and is to be replaced beyond {}",
                size::show(held.div_ceil(1 << 20) << 20),
                size::show(soft)
            );
            // Without a dispatcher nobody wants to know any more.
            let _ = reports.send(Report { worker: self.subject.worker, event: Event::Outgrown(reason) });
        }
        true
    }
}

impl Subject {
    fn give(&self, priority: Priority, line: u32) {
        if let Err(error) = self.meter.set_priority(priority) {
            tracing::warn!(worker = %self.worker, ?priority, %error, "failed to set who goes first");
        } else if priority == Priority::Idle {
            let message = format!(
                "it used more than {line} % of a core for a second: until it calms down it gets what others leave of the processor"
            );
            self.log.host(Level::Warn, message);
        }
    }
}

/// What the worker adds to the metrics of its plugin.
struct Figures {
    processor_gauge: Gauge,
    memory_gauge: Gauge,
    processor: Duration,
    memory: u64,
}

impl Figures {
    fn new(plugin: &PluginId) -> Self {
        let plugin = plugin.to_string();
        Self {
            processor_gauge: gauge!("hayloft_worker_cpu_seconds", "plugin" => plugin.clone()),
            memory_gauge: gauge!("hayloft_worker_memory_bytes", "plugin" => plugin),
            processor: Duration::ZERO,
            memory: 0,
        }
    }

    /// Gives what was used since the last time. The sum never falls, also when a worker is gone.
    fn processor(&mut self, used: Duration) -> Duration {
        let since = used.saturating_sub(self.processor);
        self.processor_gauge.increment(since.as_secs_f64());
        self.processor += since;
        since
    }

    fn memory(&mut self, used: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a double holds any amount of memory that there is")]
        self.memory_gauge.increment(used as f64 - self.memory as f64);
        self.memory = used;
    }
}

impl Drop for Figures {
    fn drop(&mut self) {
        self.memory(0);
    }
}
