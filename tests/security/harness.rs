//! A server with two organizations that use the same hostile plugin, and what must hold after whatever it did.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use hayloft_testkit::process::Process;
use hayloft_testkit::server::ADMIN_TOKEN;
use hayloft_testkit::{
    Organization, PluginFiles, PluginFolder, Response, TestServer, TestServerBuilder, workspace,
};
use serde_json::{Value, json};

pub(crate) const HOSTILE: &str = "hay-plugin-hostile";
const PARENT: &str = "hay-plugin-parent";

/// An account without any right of its own on every system: `nobody`.
pub(crate) const NOBODY: u32 = 65534;

/// How long anything may take that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a server runs as and how strong its jails are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// As whoever runs the tests, with all that the machine offers.
    Strongest,
    /// The same without namespaces.
    Landlock,
    /// As an ordinary user, where root runs the tests.
    Ordinary,
    /// The same without namespaces.
    OrdinaryLandlock,
    /// Without a jail, for positive controls. Nothing dangerous is done in it.
    Unjailed,
}

impl Setup {
    /// Whether it says anything on top of the others.
    pub(crate) fn applies(self) -> bool {
        self.user().is_none() || is_root()
    }

    pub(crate) const fn user(self) -> Option<u32> {
        match self {
            Self::Ordinary | Self::OrdinaryLandlock => Some(NOBODY),
            Self::Strongest | Self::Landlock | Self::Unjailed => None,
        }
    }

    /// Whether the server has rights that workers must not inherit.
    pub(crate) fn server_is_root(self) -> bool {
        self.user().is_none() && is_root()
    }

    pub(crate) const fn has_namespaces(self) -> bool {
        matches!(self, Self::Strongest | Self::Ordinary)
    }

    const fn tiers(self) -> (&'static str, &'static str) {
        match self {
            Self::Strongest | Self::Ordinary => ("B", "A"),
            Self::Landlock | Self::OrdinaryLandlock => ("C", "C"),
            Self::Unjailed => ("off", "off"),
        }
    }

    /// A server of this setup.
    pub(crate) fn server(self, plugins: &PluginFolder) -> TestServerBuilder {
        refuse_to_run_unprotected();
        let (weakest, strongest) = self.tiers();
        let builder = TestServer::builder()
            .plugins(plugins.path())
            .isolation(weakest)
            .environment("HAYLOFT_STRONGEST_ISOLATION", strongest);
        match self.user() {
            Some(user) => builder.user(user),
            None => builder,
        }
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An attack that breaks out must not reach the mounts of the machine that it is tried on.
pub(crate) fn refuse_to_run_unprotected() {
    if !is_root() {
        return;
    }
    let advice =
        "run it with `cargo xtask test --only security`, or below `unshare --mount --propagation private`";
    let namespace = |process: u32| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let own = namespace(std::process::id()).expect("a mount namespace");
    // Who may not look at the machine's first process sees by an ancestor whether something was left behind.
    let mut others = vec![1];
    let mut parent = Process::find(std::process::id());
    while let Some(process) = parent {
        others.push(process.parent);
        parent = Process::find(process.parent);
    }
    let moved = match namespace(1) {
        Some(first) => first != own,
        None => others.into_iter().filter_map(namespace).any(|other| other != own),
    };
    assert!(moved, "this runs attacks as root in the mount namespace of the whole machine: {advice}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("a list of mounts");
    let shared: Vec<_> =
        mounts.lines().filter(|line| line.contains(" shared:") || line.contains(" master:")).collect();
    assert!(shared.is_empty(), "what is mounted here is seen outside ({advice}):\n{}", shared.join("\n"));
}

/// The plugins with which everything is tried.
pub(crate) fn hostile_plugins() -> PluginFolder {
    let plugins = PluginFolder::new();
    let own =
        |name: &str| fs::read_to_string(suite().join("plugins").join(name)).expect("a plugin of the suite");
    let hostile = plugins.hay_package(HOSTILE, &["mcp", "routes", "config"], &own("hostile.js"));
    with_native(&hostile);
    let parent = plugins.hay_package(PARENT, &["mcp", "config"], &own("parent.js"));
    with_native(&parent.file("child.cjs", own("child.cjs")));
    plugins
}

/// The folder of this suite.
pub(crate) fn suite() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/security"))
}

fn with_native(plugin: &PluginFiles) {
    let file = plugin.root().join("attack");
    fs::copy(native(), &file).expect("a copy of the native program");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("an executable");
    fs::copy(suite().join("native/reviewed-syscalls.txt"), plugin.root().join("reviewed-syscalls.txt"))
        .expect("a copy of the list");
}

/// The native program, compiled once for all tests.
pub(crate) fn native() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let source = suite().join("native/attack.c");
        let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("attack");
        if changed(&program) > changed(&source) {
            return program;
        }
        // Other tests may do the same at this moment; the last one wins, and all of them are right.
        let made = program.with_extension(std::process::id().to_string());
        let compiled =
            command("cc").args(["-O1", "-o"]).arg(&made).arg(&source).status().expect("a C compiler (`cc`)");
        assert!(compiled.success(), "failed to compile {}", source.display());
        fs::rename(&made, &program).expect("a place for the native program");
        program
    })
}

/// Any program, for what a test does from outside.
#[expect(clippy::disallowed_methods, reason = "what is tested is seen from outside, by other programs")]
pub(crate) fn command(program: &str) -> Command {
    Command::new(program)
}

/// A text that nobody can guess.
pub(crate) fn canary(kind: &str) -> String {
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("randomness");
    format!("canary-{kind}-{}", random.trim())
}

/// What came of an act, seen by the attacker.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) act: String,
    pub(crate) succeeded: bool,
    pub(crate) errno: String,
    pub(crate) detail: String,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn read(value: &Value, words: &str) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let outcome = Self {
            act: if words.is_empty() { text("act") } else { words.to_owned() },
            succeeded: value["succeeded"].as_bool().unwrap_or_else(|| panic!("no outcome: {value}")),
            errno: text("errno"),
            detail: text("detail"),
        };
        // The act was not even tried, which proves nothing.
        assert!(!matches!(&*outcome.errno, "NOT_JAILED" | "USAGE" | "INCOMPLETE"), "{outcome:?}");
        outcome
    }
}

/// Collects what came out otherwise than it should, so that one hole does not hide the next.
pub(crate) struct Verdicts {
    setup: Setup,
    wrong: Vec<String>,
}

impl Verdicts {
    pub(crate) const fn new(setup: Setup) -> Self {
        Self { setup, wrong: Vec::new() }
    }

    pub(crate) fn refused(&mut self, outcome: &Outcome) {
        self.check(!outcome.succeeded, || format!("`{}` succeeded: {}", outcome.act, outcome.detail));
    }

    /// Refused, and by the wall that was meant.
    pub(crate) fn refused_with(&mut self, outcome: &Outcome, errors: &[&str]) {
        self.check(!outcome.succeeded && errors.contains(&&*outcome.errno), || {
            format!("expected {errors:?}: {outcome:?}")
        });
    }

    pub(crate) fn succeeded(&mut self, outcome: &Outcome) {
        self.check(outcome.succeeded, || format!("should have been possible: {outcome:?}"));
    }

    pub(crate) fn check(&mut self, right: bool, wrong: impl FnOnce() -> String) {
        if !right {
            self.wrong.push(wrong());
        }
    }

    /// Adds what was found elsewhere.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.wrong.append(&mut other.wrong);
    }

    #[track_caller]
    pub(crate) fn done(self) {
        assert!(self.wrong.is_empty(), "in setup {:?}:\n{}", self.setup, self.wrong.join("\n"));
    }
}

/// A worker's processes as the host sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pids {
    pub(crate) runner: u32,
    pub(crate) init: u32,
}

/// A server, an attacker, and a victim that uses the same plugin.
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) server: TestServer,
    pub(crate) plugins: PluginFolder,
    pub(crate) attacker: Organization,
    pub(crate) victim: Organization,
    /// The setting `secret` of the attacker and of the victim.
    pub(crate) secrets: [String; 2],
    /// In a file of the host that everybody may read.
    pub(crate) host_secret: String,
    pub(crate) host_file: PathBuf,
    /// What the attacker and others beside the victim got to read, in whatever way.
    heard: Mutex<Vec<String>>,
}

impl World {
    pub(crate) async fn start(setup: Setup) -> Self {
        Self::start_with(setup, |builder| builder).await
    }

    pub(crate) async fn start_with(
        setup: Setup,
        change: impl FnOnce(TestServerBuilder) -> TestServerBuilder,
    ) -> Self {
        let plugins = hostile_plugins();
        let server = change(setup.server(&plugins)).start().await;
        let tier = server.api(None).get("/health").await.expect(200).json()["isolation"]["tier"].clone();
        let (weakest, strongest) = setup.tiers();
        assert!(
            tier.as_str().is_some_and(|tier| (strongest..=weakest).contains(&tier)),
            "{setup:?} is tier {tier}"
        );
        let attacker = server.organization("Attacker").await;
        let victim = server.organization("Victim").await;
        let secrets = ["attacker", "victim"].map(canary);
        for (who, secret) in [(&attacker, &secrets[0]), (&victim, &secrets[1])] {
            who.enable(HOSTILE, json!({ "secret": secret })).await;
        }
        let (host_secret, host_file) = (canary("host"), server.folder().join("host-secret"));
        fs::write(&host_file, &host_secret).expect("a file of the host");
        Self {
            setup,
            server,
            plugins,
            attacker,
            victim,
            secrets,
            host_secret,
            host_file,
            heard: Mutex::default(),
        }
    }

    /// Runs code in an organization's worker and gives its value.
    #[track_caller]
    pub(crate) fn run<'a>(
        &'a self,
        who: &'a Organization,
        code: &'a str,
        input: Value,
    ) -> impl Future<Output = Value> + 'a {
        self.run_tool(who, "hostile__run", code, input)
    }

    pub(crate) async fn run_tool(&self, who: &Organization, tool: &str, code: &str, input: Value) -> Value {
        let answer = self.try_run(who, tool, code, input).await;
        assert_eq!(answer.status, 200, "{code}: {}", answer.text());
        let text = answer.json()["content"][0]["text"].as_str().expect("a text").to_owned();
        let result: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
        assert!(result["error"].is_null(), "{code}: {}", result["error"].as_str().unwrap_or_default());
        result["value"].clone()
    }

    /// Runs code that may not live to answer.
    pub(crate) async fn try_run(&self, who: &Organization, tool: &str, code: &str, input: Value) -> Response {
        let answer = who.call_tool(tool, json!({ "code": code, "input": input })).await;
        self.hear(who, &answer.text());
        answer
    }

    /// Does one act of the native program in the attacker's worker.
    pub(crate) async fn attack(&self, words: &[&str]) -> Outcome {
        self.attack_as(&self.attacker, words).await
    }

    pub(crate) async fn attack_as(&self, who: &Organization, words: &[&str]) -> Outcome {
        let value = self.run(who, "return attackLater(...input)", json!(words)).await;
        Outcome::read(&value, &words.join(" "))
    }

    /// Does many acts of the native program in the attacker's worker, each in a process of its own.
    pub(crate) async fn attacks(&self, acts: &[Vec<String>]) -> Vec<Outcome> {
        let code =
            "const all = []; for (const words of input) all.push(await attackLater(...words)); return all;";
        let values = self.run(&self.attacker, code, json!(acts)).await;
        let values = values.as_array().expect("a list of outcomes");
        values.iter().zip(acts).map(|(value, words)| Outcome::read(value, &words.join(" "))).collect()
    }

    /// Does acts in JavaScript: names and bodies, which see `input`.
    pub(crate) async fn attempts(
        &self,
        who: &Organization,
        acts: &[(&str, &str)],
        input: Value,
    ) -> Vec<Outcome> {
        let bodies: Vec<_> = acts
            .iter()
            .map(|(name, body)| format!("await attempt({}, async () => {{ {body} }})", json!(name)))
            .collect();
        let code = format!("return [{}]", bodies.join(",\n"));
        let values = self.run(who, &code, input).await;
        values.as_array().expect("a list of outcomes").iter().map(|value| Outcome::read(value, "")).collect()
    }

    /// Notes what somebody got to read.
    pub(crate) fn hear(&self, who: &Organization, text: &str) {
        if who.id != self.victim.id {
            self.heard.lock().unwrap().push(text.to_owned());
        }
    }

    /// The processes of an organization's worker.
    pub(crate) async fn pids(&self, who: &Organization) -> Pids {
        let worker = self.worker(who).await;
        let runner = u32::try_from(worker["pid"].as_u64().expect("a process id")).unwrap();
        Pids { runner, init: Process::find(runner).expect("the worker runs").parent }
    }

    /// The record of an organization's worker, its latest: that of one that has ended goes a moment after its processes.
    pub(crate) async fn worker(&self, who: &Organization) -> Value {
        let workers = self.server.admin().get("/v1/workers").await.expect(200).json();
        let all = workers["workers"].as_array().expect("workers").iter();
        let theirs = all.filter(|worker| worker["org"] == *who.id && worker["pluginId"] == HOSTILE);
        // Ids grow with time.
        let latest = theirs.max_by(|one, other| one["workerId"].as_str().cmp(&other["workerId"].as_str()));
        latest.unwrap_or_else(|| panic!("no worker of {} in {workers:#}", who.id)).clone()
    }

    /// Where an organization's worker can write.
    pub(crate) async fn home(&self, who: &Organization) -> String {
        self.run(who, "return process.env.HOME", Value::Null).await.as_str().expect("a folder").to_owned()
    }

    /// Enables the plugin whose MCP server is a child process, for the attacker.
    pub(crate) async fn enable_parent(&self) {
        self.attacker.enable(PARENT, json!({ "secret": self.secrets[0] })).await;
    }

    /// The victim still gets what it asks for.
    pub(crate) async fn victim_works(&self) {
        assert_eq!(self.run(&self.victim, "return 1 + 1", Value::Null).await, 2);
    }

    /// Stops the server and looks for secrets outside of where they belong.
    pub(crate) async fn end(mut self) {
        let mut secrets: Vec<(&str, Vec<u8>)> = vec![
            ("the administrator's token", ADMIN_TOKEN.into()),
            ("the host's secret", self.host_secret.clone().into()),
            ("the victim's setting", self.secrets[1].clone().into()),
        ];
        let key = self.server.data_folder().join("master-key");
        let key_text =
            fs::read(&key).unwrap_or_else(|error| panic!("no master key at {}: {error}", key.display()));
        secrets.push(("the master key", key_text.trim_ascii().to_owned()));
        let mut verdicts = Verdicts::new(self.setup);
        let mut look = |place: &str, text: &[u8], secrets: &[(&str, Vec<u8>)]| {
            for (name, secret) in secrets {
                verdicts.check(!contains(text, secret), || format!("{name} is in {place}"));
            }
        };
        for text in self.heard.lock().unwrap().iter() {
            look("an answer to the attacker", text.as_bytes(), &secrets);
            let others = [
                ("the victim's id", self.victim.id.clone().into()),
                ("the victim's token", self.victim.token.clone().into()),
            ];
            look("an answer to the attacker", text.as_bytes(), &others);
        }
        // Outside of an organization's own worker its settings are secrets, too.
        secrets.push(("the attacker's setting", self.secrets[0].clone().into()));
        for process in self.server.processes() {
            for file in ["environ", "cmdline"] {
                let text = fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
                look(&format!("{file} of `{}`", process.command), &text, &secrets);
            }
        }
        for who in [&self.attacker, &self.victim] {
            let logs = who.get(&format!("plugins/{HOSTILE}/logs")).await.text();
            look("the logs", logs.as_bytes(), &secrets);
        }
        self.server.terminate().await;
        self.server.assert_nothing_left().await;
        look("the server's log", self.server.stderr().as_bytes(), &secrets);
        for folder in [self.server.folder(), self.plugins.path().to_owned()] {
            files_below(&folder, &mut |file| {
                if file != self.host_file && file != key {
                    look(&format!("`{}`", file.display()), &fs::read(file).unwrap_or_default(), &secrets);
                }
            });
        }
        verdicts.done();
    }
}

/// Whether a text has another one in it.
pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Visits every regular file below a folder.
pub(crate) fn files_below(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path(), visit),
            Ok(kind) if kind.is_file() => visit(&entry.path()),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Waits until something is true, asking anew each time.
pub(crate) async fn until(what: &str, patience: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// Words of an act.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The repository's runtime folder, which every worker runs from.
pub(crate) fn runtime_folder() -> PathBuf {
    workspace::root().join("target/runtime")
}
