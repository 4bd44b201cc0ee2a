//! The handle through which everybody else uses workers.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use hayloft_model::plugin::Package;
use hayloft_model::{InstanceKey, PluginDescriptor, PluginId, ServerId, WorkerId};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::compiled::{self, Compiled};
use crate::dispatcher::{Command, Dispatcher, Moment, Retired, Shared, Takeover};
use crate::launch;
use crate::logs::WorkerLog;
use crate::queue::Queue;
use crate::{
    Candidate, CandidateError, HookCall, KeepRefused, KeptServer, Launch, LaunchSource, Level, LogLine,
    Observer, Pool, ProbeError, Settings, Unavailable, VitalSigns, WarmWorker, Worker, WorkerCode,
    WorkerStatus,
};

/// How long clearing away what has ended may take on a slow machine.
const CLEARING: Duration = Duration::from_secs(20);

/// All workers of this host. Clones are the same; when the last one is dropped, every worker is killed.
#[derive(Clone)]
pub struct Workers {
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
    queue: Arc<Queue>,
}

/// Whether a worker that is started beside another one is told of its settings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    New,
    Same,
}

impl Workers {
    /// Begins to look after workers. Processes of an earlier host must have been ended before, by
    /// [`hayloft_sandbox::sweep`] with the same marker; their folders are removed here. Must be called inside a tokio
    /// runtime.
    #[must_use]
    pub fn start(settings: Settings, source: Arc<dyn LaunchSource>, observer: Arc<dyn Observer>) -> Self {
        let queue = Arc::new(Queue::new(settings.queue));
        let shared = Arc::new(Shared {
            settings,
            source,
            observer,
            directory: Default::default(),
            logs: Default::default(),
        });
        let (commands, inbox) = mpsc::unbounded_channel();
        Dispatcher::start(Arc::clone(&shared), inbox);
        Self { commands, shared, queue }
    }

    /// The serving worker of an instance, started if need be: bound, and `onStart` ended, well or not. However many
    /// wait, one is started.
    ///
    /// # Errors
    /// When there is none and none can be had now.
    pub async fn ensure(&self, key: &InstanceKey) -> Result<Worker, Unavailable> {
        if let Some(worker) = self.engage(key) {
            return Ok(worker);
        }
        let place = self.queue.enter(key.organization)?;
        let after = self.queue.limits.deadline;
        let answer = self.ask(|reply| Command::Ensure(key.clone(), reply));
        match tokio::time::timeout(after, answer).await {
            Ok(Some(Ok(worker))) => {
                place.served();
                Ok(worker)
            }
            Ok(Some(Err(unavailable))) => Err(unavailable),
            Ok(None) => Err(Unavailable::ShuttingDown),
            Err(_) => {
                // While it still waits, so that it is told no less than it has just waited in vain.
                let retry_after = self.queue.expected(key.organization);
                place.served();
                Err(Unavailable::Timeout { after, retry_after })
            }
        }
    }

    /// The serving worker of an instance, if there is one, for somebody who begins something on it now: it counts as used.
    #[must_use]
    pub fn engage(&self, key: &InstanceKey) -> Option<Worker> {
        self.shared.directory.engage(key)
    }

    /// The serving worker of an instance, if there is one, for somebody who only looks: that keeps no worker from being
    /// idle.
    #[must_use]
    pub fn serving(&self, key: &InstanceKey) -> Option<Worker> {
        self.shared.directory.serving(key)
    }

    /// What is known of the serving worker of an instance, if there is one. Nobody is asked and nothing is waited for, so
    /// that it is told at once whatever the worker does; and it does not count as use.
    #[must_use]
    pub fn vital_signs(&self, key: &InstanceKey) -> Option<VitalSigns> {
        let worker = self.shared.directory.serving(key)?;
        let facts = worker.inner.facts.borrow();
        Some(VitalSigns { stalled_since: facts.stalled_since, kept: facts.kept.clone() })
    }

    /// Starts a plugin without any organization, to learn what it registers. The answer is the worker's own word.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn probe(&self, package: &Package) -> Result<Box<RawValue>, ProbeError> {
        self.probe_into(package, None).await
    }

    /// The same, and what Node compiled while it started, where Node keeps that and a jail is where it will run.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn probe_compiling(
        &self,
        package: &Package,
    ) -> Result<(Box<RawValue>, Option<Compiled>), ProbeError> {
        // In other jails a worker is another user each time, and Node keeps to its own user's.
        let files = match launch::has_own_network(&self.shared.settings) {
            true => compiled::file().map(Some),
            false => Ok(None),
        };
        let files = files.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to make a file for what Node compiles");
            None
        });
        let Some((inside, file)) = files else { return Ok((self.probe_into(package, None).await?, None)) };
        let registration = self.probe_into(package, Some(inside)).await?;
        let read = tokio::task::spawn_blocking(move || compiled::read(&file)).await;
        let compiled = read.map_err(io::Error::other).flatten().unwrap_or_else(|error| {
            tracing::warn!(plugin = %package.descriptor.id, %error, "what Node compiled of a plugin cannot be kept");
            None
        });
        Ok((registration, compiled))
    }

    async fn probe_into(
        &self,
        package: &Package,
        compiled: Option<OwnedFd>,
    ) -> Result<Box<RawValue>, ProbeError> {
        let package = Box::new(package.clone());
        self.ask(|reply| Command::Probe(package, compiled, reply))
            .await
            .unwrap_or(Err(ProbeError::ShuttingDown))
    }

    /// What compiled code of a plugin depends on beside the code, in words that differ when it does.
    #[must_use]
    pub fn compiles_for(&self, plugin: &PluginDescriptor) -> String {
        compiled::made_for(&self.shared.settings, plugin)
    }

    /// Starts a worker with new values beside the serving one, and runs `onConfigUpdate`.
    ///
    /// # Errors
    /// When it does not start, or the hook fails. Nothing of it is left then.
    pub async fn candidate(&self, key: &InstanceKey, launch: Launch) -> Result<Candidate, CandidateError> {
        self.beside(key, launch, Values::New).await
    }

    /// Starts a worker beside the serving one on the values that this has already: it is told of no new ones.
    ///
    /// # Errors
    /// When it does not start. Nothing of it is left then.
    pub async fn replacement(&self, key: &InstanceKey, launch: Launch) -> Result<Candidate, CandidateError> {
        self.beside(key, launch, Values::Same).await
    }

    async fn beside(
        &self,
        key: &InstanceKey,
        launch: Launch,
        values: Values,
    ) -> Result<Candidate, CandidateError> {
        let (workers, key, launch) = (self.clone(), key.clone(), Box::new(launch));
        // A task of its own: if the caller goes away, what it gives is dropped, and that ends the worker.
        let work = tokio::spawn(async move {
            let worker = workers
                .ask(|reply| Command::Candidate(key, launch, reply))
                .await
                .unwrap_or(Err(CandidateError::ShuttingDown))?;
            let candidate = Candidate::new(workers.clone(), worker.clone());
            if values == Values::New
                && let Err(error) = worker.call_hook(HookCall::ConfigUpdate).await
            {
                return Err(CandidateError::Hook { hook: "onConfigUpdate", error });
            }
            Ok(candidate)
        });
        work.await.unwrap_or(Err(CandidateError::ShuttingDown))
    }

    pub(crate) async fn promote(
        &self,
        worker: WorkerId,
        takeover: Takeover,
    ) -> Result<Worker, CandidateError> {
        let asked = self.ask(|reply| Command::Promote(worker, takeover, reply)).await;
        asked.unwrap_or(Err(CandidateError::ShuttingDown))
    }

    /// Runs `onDisable`, in a worker that is started for it if none serves, and ends the instance's workers. Whatever
    /// the hook does, they end; calls are refused from the beginning. The source is asked as for any start, so it
    /// must give a launch while the hook is to run.
    pub async fn disable(&self, key: &InstanceKey) {
        let (workers, key) = (self.clone(), key.clone());
        // A task of its own: once begun it is finished, even if the caller goes away.
        let work = tokio::spawn(async move {
            let worker = workers.ask(|reply| Command::BeginDisable(key.clone(), reply)).await.flatten();
            if let Some(worker) = worker
                && let Err(error) = worker.call_hook(HookCall::Disable).await
            {
                tracing::warn!(instance = %key, %error, "the plugin's `onDisable` failed");
            }
            workers.stop(&key, "the plugin was switched off").await;
        });
        if let Err(error) = work.await {
            tracing::error!(%error, "failed to switch a plugin off in order");
        }
    }

    /// Ends the workers that the instance has now, when their calls have ended or the drain's deadline has passed;
    /// returns when nothing of them is left. A pause after crashes ends too. The next call starts a new worker, which
    /// nobody waits for here.
    pub async fn stop(&self, key: &InstanceKey, reason: &str) {
        self.ask(|reply| Command::Stop(key.clone(), reason.to_owned(), reply)).await;
    }

    /// Takes one worker out of service, if it is the one that serves; returns when it takes nothing new. Its calls in
    /// flight go on until the drain's deadline, and the next call starts a new worker at once. One that serves no more
    /// is left alone, and so is every other worker of the instance.
    pub async fn retire(&self, key: &InstanceKey, worker: WorkerId, reason: &str) {
        let reason = reason.to_owned();
        self.ask(|reply| Command::Retire(key.clone(), worker, Moment::Now, reason, reply)).await;
    }

    /// The same in a moment in which nobody uses the worker: until then it serves, so that no call is cut off and none
    /// waits for the others. What goes on without end is waited for no longer than
    /// [`Deadlines::recycle_drain`](crate::Deadlines::recycle_drain). Gives whether it was taken out of service.
    pub async fn retire_unused(&self, worker: &Worker, reason: &str) -> bool {
        let until = Instant::now() + self.shared.settings.deadlines.recycle_drain;
        loop {
            let unused = timeout_at(until, worker.inner.activity.settled()).await;
            let moment = if unused.is_ok() { Moment::Unused } else { Moment::Now };
            let (key, reason) = (worker.key().clone(), reason.to_owned());
            match self.ask(|reply| Command::Retire(key, worker.id(), moment, reason, reply)).await {
                Some(Retired::Yes) => return true,
                // Somebody was faster.
                Some(Retired::InUse) => {}
                Some(Retired::NotServing) | None => return false,
            }
        }
    }

    /// Keeps an MCP server up beside a worker as long as that lives, in place of an earlier one of the same id. When this
    /// returns it is being started.
    ///
    /// # Errors
    /// When the worker does not take it.
    pub async fn keep(&self, worker: WorkerId, server: KeptServer) -> Result<(), KeepRefused> {
        let refused = Err(KeepRefused::NotBound);
        self.ask(|reply| Command::Keep(worker, Box::new(server), reply)).await.unwrap_or(refused)
    }

    /// Starts a server anew that is kept up: the session with it is over although its process runs.
    pub fn revive(&self, worker: WorkerId, server: &ServerId) {
        self.command(Command::Revive(worker, server.clone()));
    }

    /// Adds a line to what an instance's workers wrote, for the people who run the plugin.
    pub fn note(&self, key: &InstanceKey, worker: WorkerId, level: Level, message: &str) {
        let settings = &self.shared.settings;
        let logs = self.shared.logs.of(key, settings.logs);
        WorkerLog::new(logs, Arc::clone(&settings.clock), worker).host(level, message);
    }

    /// Forgets the lines that an instance's workers wrote, and its crashes: nobody will ask for them again. Workers that
    /// still run are left alone.
    pub fn forget(&self, key: &InstanceKey) {
        self.shared.logs.forget(key);
        self.command(Command::Forget(key.clone()));
    }

    /// Chooses how many organizations may have workers of a plugin, or leaves it to the settings again.
    pub fn limit_pool(&self, plugin: &PluginId, workers: Option<NonZeroUsize>) {
        self.command(Command::LimitPool(plugin.clone(), workers));
    }

    /// How many workers plugins may have and have, in the order in which they are asked for.
    pub async fn pools(&self, plugins: Vec<PluginId>) -> Vec<Pool> {
        self.ask(|reply| Command::Pools(plugins, reply)).await.unwrap_or_default()
    }

    /// All workers that belong to an organization.
    pub async fn statuses(&self) -> Vec<WorkerStatus> {
        self.ask(Command::Statuses).await.unwrap_or_default()
    }

    /// All workers that are ready, or are being made so, before it is known for whom.
    pub async fn warm_workers(&self) -> Vec<WarmWorker> {
        self.ask(Command::Warm).await.unwrap_or_default()
    }

    /// Lets the workers of a plugin go that are ready for nobody in particular: what they are ready for has changed, or
    /// nobody has it switched on any more. Others are made ready once somebody needs the plugin again. No worker is
    /// given to who wants anything else than what it has loaded, also without this.
    pub fn cool(&self, plugin: &PluginId, reason: &str) {
        self.command(Command::Cool(plugin.clone(), reason.to_owned()));
    }

    /// The code that a worker runs; nothing for one that is no more.
    pub async fn code_of(&self, worker: WorkerId) -> Option<WorkerCode> {
        self.ask(|reply| Command::CodeOf(worker, reply)).await.flatten()
    }

    /// Waits until the observer was told of everything that has happened to an instance so far.
    pub async fn told(&self, key: &InstanceKey) {
        self.ask(|reply| Command::Told(key.clone(), reply)).await;
    }

    /// The last lines that an instance's workers wrote, oldest first.
    #[must_use]
    pub fn logs(&self, key: &InstanceKey, tail: usize) -> Vec<LogLine> {
        self.shared.logs.find(key).map(|logs| logs.tail(tail)).unwrap_or_default()
    }

    /// Ends all workers: calls in flight have so long to end. Returns when nothing is left, or when something is although
    /// it has had its time; nothing starts any more.
    pub async fn shutdown(&self, calls: Duration) {
        let within = calls + self.shared.settings.deadlines.stop + CLEARING;
        let ended = self.ask(|reply| Command::Shutdown(calls, reply));
        if tokio::time::timeout(within, ended).await.is_err() {
            // What is left ends with the host: the kernel sees to that.
            tracing::error!(within = within.as_secs_f64(), "not all workers have ended in time");
        }
    }

    pub(crate) fn command(&self, command: Command) {
        // The dispatcher ends only when all handles are gone.
        let _ = self.commands.send(command);
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).ok()?;
        answer.await.ok()
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Workers")
    }
}
