//! All packages of a host: what each needs, which are ready, and how the others become so.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use hayloft_model::plugin::Package;
use hayloft_model::{ContentHash, PluginId, Problems};
use hayloft_sandbox::Sandbox;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use crate::bundle::{self, Bundled};
use crate::error::{Fault, InstallError};
use crate::install::{self, Copied};
use crate::log::RunLog;
use crate::npm::Scripts;
use crate::plan;
use crate::progress::InstallEvent;
use crate::registry::{Dial, Registry};
use crate::shelf::{Failure, Shelf, Staging, Tampered};
use crate::start::{self, NewStart};
use crate::workshop::{Fittings, InstallLimits, Toolchain, Workshop};
use crate::{Phase, Provided};

mod follow;

/// How many packages are made ready at once. Each takes memory for all that it writes.
const AT_ONCE: usize = 2;

/// How many runs are remembered for those who listen. Each holds what was told of it, half a MiB at most.
const MOST_ENDED: usize = 32;

/// What the packages of a host need.
pub struct Options {
    /// The folder of versions.
    pub shelf: PathBuf,
    /// Makes the jails.
    pub sandbox: Sandbox,
    /// The programs.
    pub toolchain: Toolchain,
    /// Packages that the host itself provides.
    pub provided: Vec<Provided>,
    /// Packages that a build finds while the plugin brings none of its own by that name: the types of Node, which
    /// authors of this family have above their plugins. Workers do not see them.
    pub at_hand: Vec<Provided>,
    /// Where dependencies come from.
    pub registry: Registry,
    /// Opens the host's connections.
    pub dial: Arc<dyn Dial>,
    /// What making a package ready may use.
    pub limits: InstallLimits,
    /// How many versions of a plugin that nothing uses are kept, the newest first.
    pub keep: usize,
    /// Plugins for which the operator lets the scripts of their dependencies run while they are fetched.
    pub script_grants: BTreeSet<PluginId>,
}

/// The packages of a host. Clones are the same.
#[derive(Clone)]
pub struct Packages(Arc<Inner>);

struct Inner {
    options: Options,
    shelf: Shelf,
    running: Mutex<HashMap<Key, Running>>,
    /// What was read of versions that are ready: they never change.
    known: Mutex<HashMap<Key, Package>>,
    /// Whoever compares a seal reads what lies on the shelf; whoever exchanges something there is alone with it.
    exchanging: RwLock<()>,
    at_once: Semaphore,
    numbers: AtomicU64,
    /// The runs that ended last, for those who still want to hear how.
    ended: Mutex<VecDeque<(Key, Run)>>,
    /// How many runs began. Each is called by its number.
    runs: watch::Sender<u64>,
}

/// What is told of a run, and its number.
#[derive(Clone)]
struct Run {
    number: u64,
    log: Arc<RunLog>,
}

type Key = (PluginId, ContentHash);

type Outcome = Result<Package, InstallError>;

#[derive(Clone)]
struct Running {
    number: u64,
    outcome: Shared<BoxFuture<'static, Outcome>>,
    log: Arc<RunLog>,
    progress: Arc<Mutex<Progress>>,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    step: usize,
    steps: usize,
    title: String,
}

/// What a package needs before it can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Dependencies must be fetched.
    pub installation: bool,
    /// It must be built.
    pub building: bool,
}

/// How far a package is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum InstallState {
    /// Nobody asked for it yet.
    Waiting,
    /// It is being made ready.
    Installing {
        /// Which step, from 1 on; 0 while it waits or is copied.
        step: usize,
        /// How many there are.
        steps: usize,
        /// What runs, for people.
        title: String,
    },
    /// It runs from its own version.
    Installed,
    /// Its dependencies could not be had.
    InstallError {
        /// Why.
        problems: Problems,
    },
    /// It could not be built.
    BuildError {
        /// Why.
        problems: Problems,
    },
}

impl Packages {
    /// Opens the shelf.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(options: Options) -> io::Result<Self> {
        let shelf = Shelf::open(&options.shelf)?;
        Ok(Self(Arc::new(Inner {
            options,
            shelf,
            running: Mutex::default(),
            known: Mutex::default(),
            exchanging: RwLock::default(),
            at_once: Semaphore::new(AT_ONCE),
            numbers: AtomicU64::new(0),
            ended: Mutex::default(),
            runs: watch::Sender::new(0),
        })))
    }

    /// What a package's folder still needs. Looks at a few files.
    #[must_use]
    pub fn needs(&self, package: &Package) -> Needs {
        let steps = plan::plan(&package.root, &package.descriptor, &self.0.options.provided);
        let any = |phase: Phase| steps.iter().any(|step| step.phase == phase);
        Needs { installation: any(Phase::Install), building: any(Phase::Build) }
    }

    /// How far a package is.
    #[must_use]
    pub fn state(&self, package: &Package) -> InstallState {
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        if let Some(running) = self.running().get(&(plugin.clone(), hash)) {
            let progress = running.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Progress { step, steps, title } = progress;
            return InstallState::Installing { step, steps, title };
        }
        if self.0.is_ready_where_it_is(package) || self.0.shelf.find(plugin, hash).is_some() {
            return InstallState::Installed;
        }
        match self.0.shelf.failure(plugin, hash) {
            Some(Failure { phase: Phase::Install, problems }) => InstallState::InstallError { problems },
            Some(Failure { phase: Phase::Build, problems }) => InstallState::BuildError { problems },
            None => InstallState::Waiting,
        }
    }

    /// What the programs wrote that made this package, or make it now.
    #[must_use]
    pub fn log(&self, package: &Package) -> Option<String> {
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        let running = self.running().get(&(plugin.clone(), hash)).cloned();
        running.map(|running| running.log.text()).or_else(|| self.0.shelf.log(plugin, hash))
    }

    /// The package as it runs, if it is ready. What its folder says is read from there.
    ///
    /// # Errors
    /// When its version is not what was installed.
    pub async fn ready(&self, package: &Package) -> Result<Option<Package>, Tampered> {
        let (inner, package) = (Arc::clone(&self.0), package.clone());
        // A panic in there is as bad as a version that differs, and as unlikely.
        let looked = tokio::task::spawn_blocking(move || inner.ready(&package)).await;
        looked.unwrap_or_else(|_| Err(Tampered { at: PathBuf::new() }))
    }

    /// Where a package lies that is ready. What lies there is not compared with its seal.
    #[must_use]
    pub fn place(&self, package: &Package) -> Option<PathBuf> {
        self.0.shelf.find(&package.descriptor.id, package.content_hash)
    }

    /// Makes a package ready, unless it is. However many ask at the same time, it is done once, and goes on when they
    /// go away.
    ///
    /// # Errors
    /// See [`InstallError`]. What was there before stays as it was.
    pub async fn install(&self, package: &Package) -> Outcome {
        let key = (package.descriptor.id.clone(), package.content_hash);
        let running = {
            let mut all = self.running();
            match all.get(&key) {
                Some(running) => running.clone(),
                None => {
                    let running = self.begin(package.clone());
                    all.insert(key, running.clone());
                    // Who waits for it looks for it now.
                    self.0.runs.send_modify(|runs| *runs += 1);
                    tokio::spawn(running.outcome.clone());
                    running
                }
            }
        };
        running.outcome.await
    }

    /// When a package was made ready, if its version is kept.
    #[must_use]
    pub fn installed_at(&self, package: &Package) -> Option<SystemTime> {
        self.0.shelf.sealed_at(&package.descriptor.id, package.content_hash)
    }

    /// Removes versions that are neither used nor being made, but for the newest of each plugin that the operator wants
    /// to keep. Gives how many.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn tidy(&self, mut used: BTreeSet<(PluginId, ContentHash)>) -> io::Result<usize> {
        used.extend(self.running().keys().cloned());
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let _alone = inner.exchanging.write().unwrap_or_else(PoisonError::into_inner);
            let removed = inner.shelf.tidy(&used, inner.options.keep)?;
            let mut known = inner.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|(plugin, hash), _| inner.shelf.find(plugin, *hash).is_some());
            Ok(removed)
        });
        done.await.map_err(io::Error::other).flatten()
    }

    /// Whether nobody found out yet how a package that is ready starts fastest with this Node.
    #[must_use]
    pub fn lacks_start(&self, package: &Package, made_for: &str) -> bool {
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        let kept =
            self.0.shelf.find_start(plugin, hash).and_then(|start| start::read(&start, Some(made_for)));
        self.0.shelf.find(plugin, hash).is_some() && kept.is_none()
    }

    /// The module that may stand for the entry of a package that is ready.
    #[must_use]
    pub fn bundle(&self, package: &Package) -> Option<PathBuf> {
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        self.0.shelf.find(plugin, hash).and_then(|version| bundle::of(&version))
    }

    /// Keeps how a package that is ready starts fastest. From now on it starts so.
    ///
    /// # Errors
    /// When that cannot be written; the package starts as it did, or from its own files.
    pub async fn keep_start(&self, package: &Package, new: NewStart) -> Result<(), InstallError> {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        self.0
            .blocking(package, move |inner, package| {
                let (plugin, hash) = (&package.descriptor.id, package.content_hash);
                let kept = inner.shelf.stage(&number.to_string()).and_then(|staging| {
                    let made = staging.path().join("start");
                    new.write(&made)?;
                    let _alone = inner.exchanging.write().unwrap_or_else(PoisonError::into_inner);
                    inner.shelf.keep_start(plugin, hash, &made)?;
                    let mut known = inner.known.lock().unwrap_or_else(PoisonError::into_inner);
                    known.remove(&(plugin.clone(), hash));
                    Ok(())
                });
                let at = &inner.options.shelf;
                kept.map_err(Fault::host("keep what starts fast in", at))
                    .map_err(|fault| fault.in_phase(Phase::Build))
            })
            .await
    }

    /// Waits until nobody makes a version.
    pub async fn settled(&self, plugin: &PluginId, hash: ContentHash) {
        let running = self.running().get(&(plugin.clone(), hash)).map(|running| running.outcome.clone());
        if let Some(outcome) = running {
            drop(outcome.await);
        }
    }

    /// Takes a version away, once whatever makes it has ended. Workers that run from it must have ended before.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn remove(&self, plugin: &PluginId, hash: ContentHash) -> io::Result<()> {
        self.settled(plugin, hash).await;
        let key = (plugin.clone(), hash);
        let inner = Arc::clone(&self.0);
        let removed = tokio::task::spawn_blocking(move || {
            let _alone = inner.exchanging.write().unwrap_or_else(PoisonError::into_inner);
            inner.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            inner.shelf.remove(&key.0, key.1)
        });
        removed.await.map_err(io::Error::other)?
    }

    fn begin(&self, package: Package) -> Running {
        let (log, progress) = (Arc::new(RunLog::default()), Arc::<Mutex<Progress>>::default());
        let inner = Arc::clone(&self.0);
        let number = *self.0.runs.borrow();
        let outcome = {
            let (log, progress) = (Arc::clone(&log), Arc::clone(&progress));
            async move {
                let outcome = inner.install(&package, &log, &progress).await;
                inner.remember(&package, &log, &outcome).await;
                log.told.tell(match &outcome {
                    Ok(_) => InstallEvent::Done {},
                    Err(error) => InstallEvent::Failed { problems: error.problems() },
                });
                let key = (package.descriptor.id.clone(), package.content_hash);
                inner.retire(key, Run { number, log });
                outcome
            }
        };
        Running { number, outcome: outcome.boxed().shared(), log, progress }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Key, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// A run is over: it is no longer one that goes on, and among the last ones that did.
    fn retire(&self, key: Key, run: Run) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push_back((key.clone(), run));
        while ended.len() > MOST_ENDED {
            ended.pop_front();
        }
        drop(ended);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    /// Whether it runs from where it lies: where jails have no root of their own they would not find the way to the
    /// shelf, and nothing can be installed. What it depends on may lie in a folder above it, so that is no reason not to
    /// try; what must be built first has nothing that could be tried.
    fn is_ready_where_it_is(&self, package: &Package) -> bool {
        let builds = || {
            let steps = plan::plan(&package.root, &package.descriptor, &self.options.provided);
            steps.iter().any(|step| step.phase == Phase::Build)
        };
        !Workshop::is_possible(&self.options.sandbox) && !builds()
    }

    fn ready(&self, package: &Package) -> Result<Option<Package>, Tampered> {
        if self.is_ready_where_it_is(package) {
            return Ok(Some(package.clone()));
        }
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        let Some(root) = self.shelf.find(plugin, hash) else { return Ok(None) };
        let key = (plugin.clone(), hash);
        let _whole = self.exchanging.read().unwrap_or_else(PoisonError::into_inner);
        self.shelf.verify(plugin, hash)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = known.get(&key) {
            return Ok(Some(ready.clone()));
        }
        // It was read without a problem before it was sealed, so only another version of this host can find one.
        let Some(descriptor) = hayloft_manifest::read_plugin(&root).0 else { return Ok(None) };
        let start = self.shelf.find_start(plugin, hash).and_then(|start| start::read(&start, None));
        let ready = Package { root, content_hash: hash, descriptor, start: start.unwrap_or_default() };
        known.insert(key, ready.clone());
        Ok(Some(ready))
    }

    async fn install(
        self: &Arc<Self>,
        package: &Package,
        log: &Arc<RunLog>,
        progress: &Arc<Mutex<Progress>>,
    ) -> Outcome {
        let host = |what: &str| {
            let what = what.to_owned();
            move |reason: String| InstallError::Host { what: what.clone(), reason }
        };
        // A version that was touched is made anew from the folder, which is what a person would do.
        let there = self.blocking(package, |inner, package| Ok(inner.ready(package).ok().flatten())).await?;
        if let Some(ready) = there {
            return Ok(ready);
        }
        let turn = self.at_once.acquire().await;
        let _turn = turn.map_err(|error| host("wait for a turn to install")(error.to_string()))?;
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (staging, copied) =
            self.blocking(package, move |inner, package| inner.copy(package, number)).await?;
        let last = copied.steps.last().map_or(Phase::Install, |step| step.phase);
        let (result, bundled) = if copied.steps.is_empty() && self.to_bundle(&copied, package).is_none() {
            (copied.root(), None)
        } else {
            self.make(&copied, package, &staging, number, log, progress).await?
        };
        let log = Arc::clone(log);
        self.blocking(package, move |inner, package| {
            install::check(package, &result, last)?;
            let (plugin, hash) = (&package.descriptor.id, package.content_hash);
            let kept = inner.judge(package, &result, bundled, &log).and_then(|()| {
                let _alone = inner.exchanging.write().unwrap_or_else(PoisonError::into_inner);
                inner.shelf.publish(plugin, hash, &result)?;
                // What is known is known of a version that was there before.
                inner.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&(plugin.clone(), hash));
                Ok(())
            });
            kept.map_err(Fault::host("keep", &result)).map_err(|fault| fault.in_phase(last))?;
            drop(staging);
            let ready = inner.ready(package).ok().flatten();
            ready.ok_or_else(|| InstallError::Host {
                what: String::from("keep the package"),
                reason: String::from("it changed when it was kept"),
            })
        })
        .await
    }

    fn copy(&self, package: &Package, number: u64) -> Result<(Staging, Copied), InstallError> {
        let options = &self.options;
        let staging = self.shelf.stage(&number.to_string());
        let staging = staging
            .map_err(Fault::host("make room in", &options.shelf))
            .map_err(|fault| fault.in_phase(Phase::Install))?;
        let copied = install::copy(package, staging.path(), &options.provided, options.limits.room)
            .and_then(|mut copied| {
                if !copied.steps.is_empty() {
                    install::prepare(&mut copied, &options.provided)?;
                }
                Ok(copied)
            })
            .map_err(|fault| fault.in_phase(Phase::Install))?;
        Ok((staging, copied))
    }

    async fn make(
        &self,
        copied: &Copied,
        package: &Package,
        staging: &Staging,
        number: u64,
        log: &Arc<RunLog>,
        progress: &Arc<Mutex<Progress>>,
    ) -> Result<(PathBuf, Option<Bundled>), InstallError> {
        let options = &self.options;
        if !copied.steps.is_empty() {
            self.possible()?;
        }
        let home = staging.path().join("home");
        std::fs::create_dir(&home)
            .map_err(Fault::host("make", &home))
            .map_err(|fault| fault.in_phase(Phase::Install))?;
        let granted = options.script_grants.contains(&package.descriptor.id);
        let workshop = Workshop::open(Fittings {
            sandbox: &options.sandbox,
            toolchain: &options.toolchain,
            provided: &options.provided,
            at_hand: &options.at_hand,
            registry: &options.registry,
            dial: &options.dial,
            limits: &options.limits,
            scripts: if granted { Scripts::Granted } else { Scripts::Ignored },
            source: copied.top(),
            home: &home,
            name: format!("install-{number}"),
            log,
        })
        .await?;
        let steps = copied.steps.len();
        let report = |number: usize, step: &plan::Step| {
            let (title, percent) = (step.title(), 100 * number / steps);
            log.told.tell(InstallEvent::Step { step: number + 1, steps, percent, title: title.clone() });
            *progress.lock().unwrap_or_else(PoisonError::into_inner) =
                Progress { step: number + 1, steps, title };
        };
        let made = self.work(&workshop, copied, package, staging, &report).await;
        // Whatever came of it, nothing of the jail is left.
        workshop.close().await?;
        made
    }

    /// All that is done in a workshop. Gives where the package is then, and what came of bundling it.
    async fn work(
        &self,
        workshop: &Workshop,
        copied: &Copied,
        package: &Package,
        staging: &Staging,
        report: &(dyn Fn(usize, &plan::Step) + Send + Sync),
    ) -> Result<(PathBuf, Option<Bundled>), InstallError> {
        let options = &self.options;
        let room = options.limits.room;
        install::run(workshop, copied, report).await?;
        let bundled = match self.to_bundle(copied, package) {
            Some((esbuild, entry)) => Some(
                bundle::make(workshop, esbuild, Path::new(install::PLACE), entry, &options.provided).await,
            ),
            None => None,
        };
        if copied.steps.is_empty() {
            // It is as it was copied, so only the bundle comes out.
            let root = copied.root();
            let bundled = match bundled {
                Some(Bundled::Of(files)) => {
                    bundle::remove(&root)
                        .map_err(Fault::host("make room in", &root))
                        .map_err(|fault| fault.in_phase(Phase::Build))?;
                    let folder = root.join(bundle::FOLDER);
                    match install::fetch(workshop, copied, bundle::FOLDER, &folder, room).await {
                        Ok(()) => Some(Bundled::Of(files)),
                        Err(error) => Some(Bundled::Not(error.to_string())),
                    }
                }
                other => other,
            };
            return Ok((root, bundled));
        }
        let result = staging.path().join("result");
        install::fetch(workshop, copied, "", &result, room).await?;
        Ok((result, bundled))
    }

    /// What bundles a package, and the entry to bundle; nothing where a bundle would gain or be nothing.
    fn to_bundle<'a>(&'a self, copied: &Copied, package: &'a Package) -> Option<(&'a Path, &'a Path)> {
        let esbuild = self.options.toolchain.esbuild.as_deref()?;
        let entry = bundle::entry(&package.descriptor)?;
        // A few files of its own are read as fast as one.
        let joins = !copied.steps.is_empty() || bundle::has_dependencies(&copied.root());
        (joins && Workshop::is_possible(&self.options.sandbox)).then_some((esbuild, entry))
    }

    /// Decides whether the bundle is used, and leaves nothing in its place that is none.
    fn judge(
        &self,
        package: &Package,
        result: &Path,
        bundled: Option<Bundled>,
        log: &RunLog,
    ) -> io::Result<()> {
        let Some(bundled) = bundled else { return bundle::remove(result) };
        let plugin = &package.descriptor.id;
        match bundle::judge(result, bundled)? {
            Bundled::Of(files) => log.note(&format!("(its code is bundled: {files} files in one)")),
            Bundled::Not(reason) => {
                log.note(&format!("(its code is not bundled: {reason})"));
                tracing::info!(%plugin, reason, "the plugin runs from its own files, which takes longer to start");
            }
        }
        Ok(())
    }

    fn possible(&self) -> Result<(), InstallError> {
        let what = || String::from("install a package with dependencies");
        if !Workshop::is_possible(&self.options.sandbox) {
            let tier = self.options.sandbox.isolation().tier;
            let reason = format!(
                "that takes isolation A or B, and this machine has {tier}; `npm install` and `npm run build` in its folder make it whole"
            );
            return Err(InstallError::Host { what: what(), reason });
        }
        if self.options.toolchain.npm.is_none() {
            let reason = String::from("there is no npm beside Node or in PATH");
            return Err(InstallError::Host { what: what(), reason });
        }
        Ok(())
    }

    async fn remember(self: &Arc<Self>, package: &Package, log: &Arc<RunLog>, outcome: &Outcome) {
        let text = log.text();
        let failure = match outcome {
            Ok(_) => None,
            Err(error @ InstallError::Refused { phase, .. }) => {
                Some(Failure { phase: *phase, problems: error.problems() })
            }
            Err(error) => {
                tracing::error!(plugin = %package.descriptor.id, %error, "failed to install a package");
                Some(Failure { phase: Phase::Install, problems: error.problems() })
            }
        };
        let noted = self
            .blocking(package, move |inner, package| {
                let (plugin, hash) = (&package.descriptor.id, package.content_hash);
                let failed = |error: io::Error| {
                    Fault::host("note in", &inner.options.shelf)(error).in_phase(Phase::Install)
                };
                if !text.is_empty() {
                    inner.shelf.keep_log(plugin, hash, &text).map_err(failed)?;
                }
                match &failure {
                    Some(failure) => inner.shelf.note_failure(plugin, hash, failure).map_err(failed),
                    None => Ok(()),
                }
            })
            .await;
        if let Err(error) = noted {
            tracing::error!(plugin = %package.descriptor.id, %error, "failed to note how an installation went");
        }
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        package: &Package,
        work: impl FnOnce(&Self, &Package) -> Result<T, InstallError> + Send + 'static,
    ) -> Result<T, InstallError> {
        let (inner, package) = (Arc::clone(self), package.clone());
        let done = tokio::task::spawn_blocking(move || work(&inner, &package)).await;
        done.unwrap_or_else(|error| {
            Err(InstallError::Host {
                what: String::from("handle the files of a package"),
                reason: error.to_string(),
            })
        })
    }
}

/// Where npm's own package is, for a Node executable: where Node's own archives have it, or what `npm` in one of the
/// folders leads to.
#[must_use]
pub fn find_npm(node: &Path, folders: &[PathBuf]) -> Option<PathBuf> {
    let is_npm = |folder: &PathBuf| folder.join("bin/npm-cli.js").is_file();
    let beside =
        node.parent().map(|bin| bin.join("../lib/node_modules/npm")).and_then(|npm| npm.canonicalize().ok());
    let linked = folders.iter().filter_map(|folder| {
        let program = folder.join("npm").canonicalize().ok()?;
        Some(program.parent()?.parent()?.to_owned())
    });
    beside.into_iter().chain(linked).find(is_npm)
}
