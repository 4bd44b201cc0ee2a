//! An application over a real host with an empty memory, two organizations and no plugin.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use hayloft_host::{
    CallLimits, CreateToken, Host, HostDeadlines, HostEnvironment, HostOptions, ResultCacheOptions,
    ValueQuota,
};
use hayloft_model::{Caller, Clock, Entropy, OrganizationId, Role, Secret};
use hayloft_packages::{Dial, Options as PackagesOptions, Packages, RegistryStream, Toolchain};
use hayloft_sandbox::{Options as SandboxOptions, Sandbox, Tier};
use hayloft_store::journal::{Journal, JournalOptions};
use hayloft_store::{MasterKey, Options, Store};
use hayloft_workers::{NetworkSettings, Runtime, Settings, WarmLimits};
use tempfile::TempDir;

use crate::{App, Isolation, Metrics, PluginApi, ServerLimits, ServerOptions, Shutdown};

const ADMINISTRATOR: &str = "the-administrator-of-this-test";

/// The application and what its tests need to know of it.
pub(crate) struct Fixture {
    pub(crate) router: Router,
    pub(crate) administrator: String,
    /// Of an administrator of `organization`.
    pub(crate) token: String,
    pub(crate) organization: OrganizationId,
    pub(crate) foreign: OrganizationId,
    pub(crate) shutdown: Shutdown,
    pub(crate) app: App,
    pub(crate) folder: TempDir,
}

/// A clock that moves only forward, and chance that repeats.
#[derive(Default)]
struct Ports(AtomicU64);

impl Clock for Ports {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl Entropy for Ports {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // Distinct numbers are all that ids need in a test (the multiplier spreads them over all bytes).
            let number = (self.0.fetch_add(1, Ordering::Relaxed) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&number.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// As little of a sandbox as there is, for a host that starts no worker.
fn sandbox() -> Sandbox {
    let test = std::env::current_exe().unwrap();
    let stage = test.ancestors().nth(2).unwrap().join("hayloft-stage");
    let options = SandboxOptions {
        stage,
        programs: Vec::new(),
        paths: Vec::new(),
        owner: String::from("test"),
        strongest: Tier::Off,
    };
    Sandbox::start(options).unwrap_or_else(|error| {
        panic!("failed to start the sandbox: {error:?} (`cargo build -p hayloft-stage` makes its program)")
    })
}

/// No plugin, nothing to install.
fn packages(folder: &Path, sandbox: &Sandbox) -> Packages {
    struct Nowhere;
    impl Dial for Nowhere {
        fn dial<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, std::io::Result<RegistryStream>> {
            Box::pin(async { Err(std::io::ErrorKind::NetworkUnreachable.into()) })
        }
    }
    Packages::open(PackagesOptions {
        shelf: folder.join("packages"),
        sandbox: sandbox.clone(),
        toolchain: Toolchain { node: "/nonexistent".into(), npm: None, esbuild: None, components: None },
        provided: Vec::new(),
        at_hand: Vec::new(),
        registry: Default::default(),
        dial: Arc::new(Nowhere),
        limits: Default::default(),
        keep: 0,
        script_grants: Default::default(),
    })
    .unwrap()
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with_limits(ServerLimits::default()).await
    }

    pub(crate) async fn with_limits(limits: ServerLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let ports = Arc::new(Ports::default());
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::clone(&ports) as _, ports);
        let store = Store::open(Options {
            url: format!("sqlite:{}", folder.path().join("test.db").display()),
            master_key: MasterKey::load_or_create(&folder.path().join("key"), &*entropy).unwrap(),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
        })
        .await
        .unwrap();
        let (journal, _) = Journal::open(JournalOptions {
            folder: folder.path().join("journal"),
            store: store.clone(),
            replay_every: Duration::from_secs(60),
            capacity: 16,
        })
        .await
        .unwrap();
        let sandbox = sandbox();
        let host = Host::start(HostOptions {
            store,
            journal,
            packages: packages(folder.path(), &sandbox),
            workers: Settings {
                // No plugin, no worker.
                runtime: Runtime {
                    node: "/nonexistent".into(),
                    runner: "/nonexistent".into(),
                    packages: Vec::new(),
                },
                sandbox,
                scratch,
                gate: Arc::new(PluginApi::new(&*entropy)),
                network: NetworkSettings::new(hayloft_egress::Egress::system()),
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                deadlines: Default::default(),
                resources: Default::default(),
                plugin_limits: Default::default(),
                pools: Default::default(),
                starts: Default::default(),
                crashes: Default::default(),
                logs: Default::default(),
                queue: Default::default(),
                routes: Default::default(),
                gates: Default::default(),
                sampling: Default::default(),
                warm: WarmLimits::off(),
            },
            clock,
            environment: HostEnvironment::default(),
            maximum_limits: Default::default(),
            outbound: None,
            plugin_folders: Vec::new(),
            uploads: hayloft_packages::Uploads::open(
                folder.path().join("plugins"),
                folder.path().join("uploads"),
                hayloft_packages::Room { entries: 100, bytes: 1 << 20 },
            )
            .unwrap(),
            reserved_ids: Default::default(),
            administrator_token: Secret::new(ADMINISTRATOR.to_owned()),
            deadlines: HostDeadlines::default(),
            calls: CallLimits::default(),
            results: ResultCacheOptions::default(),
            value_quota: ValueQuota::default(),
            disk_quota: 1 << 30,
        })
        .await
        .unwrap();
        let administrator = Caller::Administrator;
        let organization = host.create_organization(&administrator, "Home").await.unwrap().id;
        let foreign = host.create_organization(&administrator, "Abroad").await.unwrap().id;
        let wish = CreateToken { role: Role::Admin, name: None };
        let token =
            host.create_token(&administrator, organization, wish).await.unwrap().token.expose().clone();
        let shutdown = Shutdown::new();
        let options = ServerOptions {
            host,
            entropy,
            metrics: Metrics::detached().unwrap(),
            isolation: Isolation { tier: String::from("off"), missing: Vec::new() },
            public_url: None,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            limits,
        };
        let app = App::new(options, "127.0.0.1:3001".parse().unwrap(), &shutdown);
        Self {
            router: app.router.clone(),
            administrator: ADMINISTRATOR.to_owned(),
            token,
            organization,
            foreign,
            shutdown,
            app,
            folder,
        }
    }
}
