//! All packages of a host: what each needs, which are ready, and how the others become so.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures::future::{BoxFuture, Shared};
use hayloft_model::plugin::{FastStart, Package};
use hayloft_model::{ContentHash, PluginId, Problems};
use hayloft_sandbox::Sandbox;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::allowance::{Allowance, Asked};
use crate::error::InstallError;
use crate::exchanging::Exchanging;
use crate::log::RunLog;
use crate::registry::{Dial, Registry};
use crate::shelf::{Shelf, Staging, Tampered};
use crate::turns::Turns;
use crate::workshop::{InstallLimits, Toolchain, Workshop};
use crate::{Phase, Provided, start};

mod fast_start;
mod follow;
mod install;
mod make;
mod remove;
mod state;

pub use state::{InstallState, Needs};

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
    /// Whoever compares a version with its seal reads what lies on the shelf; whoever exchanges it is alone with it.
    exchanging: Exchanging,
    /// What versions take on the disk, as far as somebody asked.
    sizes: Mutex<HashMap<Key, u64>>,
    /// Who knows what organizations may have.
    allowance: Asked,
    turns: Turns,
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
    called_off: CancellationToken,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    step: usize,
    steps: usize,
    title: String,
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
            exchanging: Exchanging::default(),
            sizes: Mutex::default(),
            allowance: Asked::new(),
            turns: Turns::new(AT_ONCE),
            numbers: AtomicU64::new(0),
            ended: Mutex::default(),
            runs: watch::Sender::new(0),
        })))
    }

    /// From now on this one is asked what an organization may have on the disk, if nobody is asked yet.
    pub fn heed(&self, allowance: Arc<dyn Allowance>) {
        if self.0.allowance.set(allowance).is_err() {
            tracing::error!("somebody else says already what organizations may have on the disk");
        }
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

    /// A version that is ready, as it lies on the shelf, with when it was made ready and what is odd about it; nothing
    /// where versions are not run from the shelf. What its folder says is read from there, so it blocks.
    #[must_use]
    pub fn kept(&self, plugin: &PluginId, hash: ContentHash) -> Option<(SystemTime, Package, Problems)> {
        if !Workshop::is_possible(&self.0.options.sandbox) {
            return None;
        }
        let sealed_at = self.0.shelf.sealed_at(plugin, hash)?;
        let root = self.0.shelf.find(plugin, hash)?;
        let (descriptor, problems) = hayloft_manifest::read_plugin(&root);
        let package =
            Package { root, content_hash: hash, descriptor: descriptor?, start: FastStart::default() };
        Some((sealed_at, package, problems))
    }

    /// When a package was made ready, if its version is kept.
    #[must_use]
    pub fn installed_at(&self, package: &Package) -> Option<SystemTime> {
        self.0.shelf.sealed_at(&package.descriptor.id, package.content_hash)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Key, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether it runs from where it lies: where jails have no root of their own they would not find the way to the
    /// shelf, and nothing can be installed. What it depends on may lie in a folder above it, so that is no reason not to
    /// try; what must be built first has nothing that could be tried.
    fn is_ready_where_it_is(&self, package: &Package) -> bool {
        let builds = || {
            let steps = self.plan(package);
            steps.iter().any(|step| step.phase == Phase::Build)
        };
        !Workshop::is_possible(&self.options.sandbox) && !builds()
    }

    fn ready(&self, package: &Package) -> Result<Option<Package>, Tampered> {
        if self.is_ready_where_it_is(package) {
            return Ok(Some(package.clone()));
        }
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        let key = (plugin.clone(), hash);
        let exchanging = self.exchanging.of(plugin, hash);
        let _whole = exchanging.read().unwrap_or_else(PoisonError::into_inner);
        let Some(root) = self.shelf.find(plugin, hash) else { return Ok(None) };
        self.shelf.verify(plugin, hash)?;
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = known().get(&key) {
            return Ok(Some(ready.clone()));
        }
        // It was read without a problem before it was sealed, so only another version of this host can find one.
        let Some(descriptor) = hayloft_manifest::read_plugin(&root).0 else { return Ok(None) };
        let start = self.shelf.find_start(plugin, hash).and_then(|start| start::read(&start, None));
        let ready = Package { root, content_hash: hash, descriptor, start: start.unwrap_or_default() };
        known().insert(key, ready.clone());
        Ok(Some(ready))
    }

    /// Exchanges a version. Nobody looks at it meanwhile, so this is over in a few steps; what it gives is dropped after.
    fn exchange(
        &self,
        plugin: &PluginId,
        hash: ContentHash,
        act: impl FnOnce(&Shelf) -> io::Result<Staging>,
    ) -> io::Result<()> {
        let before = {
            let exchanging = self.exchanging.of(plugin, hash);
            let _alone = exchanging.write().unwrap_or_else(PoisonError::into_inner);
            let key = (plugin.clone(), hash);
            // What is known is known of what was there before.
            self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            self.sizes.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            act(&self.shelf)?
        };
        drop(before);
        Ok(())
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
