//! The jail in which a package is made ready: programs of the system, npm, room in memory to work in, and no way out
//! but to the registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hayloft_model::Problem;
use hayloft_sandbox::{GATE_NAME, Jail, JailError, Sandbox, Tier};

use crate::error::{Fault, InstallError};
use crate::log::RunLog;
use crate::npm::{self, Scripts};
use crate::plan::Step;
use crate::registry::{Dial, Gate, Registry};
use crate::{ComponentCompiler, Phase, Provided, Room, bundle};

mod explain;
mod jail;
mod packed;
mod processes;

/// Where the work is done: the only place that can be written to.
pub(crate) const WORK: &str = "/tmp/work";

/// How long what a step left behind may go on writing into the log once the step has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long copying a package in may take.
const COPY_WITHIN: Duration = Duration::from_secs(120);

/// The programs that packages are made with.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// Absolute path of the Node executable.
    pub node: PathBuf,
    /// Absolute path of npm's own package, the folder that holds `bin/npm-cli.js`. Without it only packages that are
    /// whole can be installed.
    pub npm: Option<PathBuf>,
    /// Absolute path of the esbuild executable. Without it plugins run from the files that they are.
    pub esbuild: Option<PathBuf>,
    /// What compiles components of interfaces, with an esbuild of its own. Without it only interfaces that their plugins
    /// build are shown.
    pub components: Option<ComponentCompiler>,
}

/// What making a package ready may use.
#[derive(Clone, Copy, Debug)]
pub struct InstallLimits {
    /// How long fetching its dependencies may take altogether.
    pub install: Duration,
    /// How long building it may take altogether.
    pub build: Duration,
    /// Memory of all programs together, in bytes, without the files that they write.
    pub memory: u64,
    /// Tasks, that is processes and their threads.
    pub tasks: u64,
    /// Processor time, in percent of one core.
    pub processor: u32,
    /// How much it may hold when it is ready. Its bytes are also what it may write while it is made.
    pub room: Room,
    /// How long what was made may take to be read out of the jail.
    pub fetch: Duration,
}

impl Default for InstallLimits {
    fn default() -> Self {
        Self {
            install: Duration::from_secs(300),
            build: Duration::from_secs(300),
            memory: 2 << 30,
            tasks: 512,
            processor: 200,
            room: Room { entries: 200_000, bytes: 1 << 30 },
            fetch: Duration::from_secs(120),
        }
    }
}

/// What a workshop is opened with.
pub(crate) struct Fittings<'a> {
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) toolchain: &'a Toolchain,
    pub(crate) provided: &'a [Provided],
    pub(crate) at_hand: &'a [Provided],
    pub(crate) registry: &'a Registry,
    pub(crate) dial: &'a Arc<dyn Dial>,
    pub(crate) limits: &'a InstallLimits,
    pub(crate) scripts: Scripts,
    /// The folder whose content is copied to [`WORK`].
    pub(crate) source: &'a Path,
    /// An empty folder that only this jail uses.
    pub(crate) home: &'a Path,
    /// Its own name.
    pub(crate) name: String,
    pub(crate) log: &'a Arc<RunLog>,
}

/// A jail that makes one package ready.
pub(crate) struct Workshop {
    jail: Jail,
    gate: Gate,
    log: Arc<RunLog>,
    environment: Vec<(String, String)>,
    limits: InstallLimits,
    scripts: Scripts,
    registry: Registry,
}

impl Workshop {
    /// Whether this machine has jails that packages can be made ready in.
    pub(crate) fn is_possible(sandbox: &Sandbox) -> bool {
        matches!(sandbox.isolation().tier, Tier::A | Tier::B)
    }

    /// Makes the jail and copies the package into it.
    pub(crate) async fn open(fittings: Fittings<'_>) -> Result<Self, InstallError> {
        let Fittings { toolchain, limits, registry, scripts, .. } = &fittings;
        let mut jail = fittings.sandbox.enter(jail::spec(&fittings)).await.map_err(broken)?;
        let listener = jail.take_gate().ok_or_else(|| InstallError::Host {
            what: String::from("open the way to the registry"),
            reason: String::from("the jail has no gate"),
        })?;
        let gate = Gate::open(listener, (*registry).clone(), Arc::clone(fittings.dial));
        let gate = gate.map_err(|error| {
            Fault::host("open the gate of", fittings.source)(error).in_phase(Phase::Install)
        })?;
        let proxy =
            (registry.inside(GATE_NAME) == registry.to_string()).then(|| format!("http://{GATE_NAME}:80"));
        let workshop = Self {
            jail,
            gate,
            log: Arc::clone(fittings.log),
            environment: jail::environment(&toolchain.node)
                .into_iter()
                .chain(npm::settings(&registry.inside(GATE_NAME), proxy.as_deref(), *scripts))
                .collect(),
            limits: **limits,
            scripts: *scripts,
            registry: (*registry).clone(),
        };
        let words = ["mkdir", "-p", WORK, "/tmp/home", "/tmp/temporary"];
        workshop.own(&words, "make room").await?;
        let source = fittings.source.join(".");
        let source = source.to_str().ok_or_else(|| InstallError::Host {
            what: format!("copy `{}`", source.display()),
            reason: String::from("the path is not UTF-8"),
        })?;
        workshop
            .own(&["cp", "-R", "--no-preserve=ownership", source, WORK], "copy the package into its jail")
            .await?;
        Ok(workshop)
    }

    /// Runs a program of the package's.
    pub(crate) async fn run(&self, root: &Path, step: &Step, within: Duration) -> Result<(), InstallError> {
        let title = step.title();
        self.log.note(&format!("$ {title}"));
        let outcome = tokio::time::timeout(within, self.ended(root, &step.command)).await;
        let exit = match outcome {
            Ok(exit) => exit?,
            Err(_) => {
                self.log.note("(it took too long and was ended)");
                return Err(self.too_slow(title, step));
            }
        };
        if exit.is_success() {
            return Ok(());
        }
        self.log.note(&format!("({exit})"));
        Err(self.explain(&title, step, exit))
    }

    /// Bundles: the way to the registry is closed for good, old bundles are gone, and the program has so much time.
    /// Gives whether it succeeded, and what it said.
    pub(crate) async fn bundle(
        &self,
        root: &Path,
        words: &[String],
        within: Duration,
    ) -> Result<(bool, Vec<String>), InstallError> {
        self.gate.close();
        let root = Path::new(WORK).join(root);
        let old = ["rm", "-rf", "--", bundle::FOLDER].map(String::from);
        let said = Arc::new(RunLog::default());
        let run = async {
            self.outcome(&root, &old, &[], &self.log).await?;
            self.outcome(&root, words, &[], &said).await
        };
        let exit = tokio::time::timeout(within, run).await.map_err(|_| InstallError::Host {
            what: String::from("bundle the code"),
            reason: format!("it took longer than {} seconds", within.as_secs()),
        })??;
        Ok((exit.is_success(), said.tail(usize::MAX)))
    }

    /// How long all steps of a phase may take together.
    pub(crate) const fn within(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Install => self.limits.install,
            Phase::Build => self.limits.build,
        }
    }

    /// What its programs write.
    pub(crate) fn log(&self) -> &RunLog {
        &self.log
    }

    /// Ends everything in it.
    pub(crate) async fn close(self) -> Result<(), InstallError> {
        self.end().await
    }

    async fn end(&self) -> Result<(), InstallError> {
        self.jail.end().await.map_err(|error| InstallError::Host {
            what: String::from("end the jail of a package"),
            reason: error.to_string(),
        })
    }

    /// Runs a program of ours to its end.
    async fn own(&self, words: &[&str], what: &str) -> Result<(), InstallError> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let ended =
            tokio::time::timeout(COPY_WITHIN, self.outcome(Path::new("/"), &words, &[], &self.log)).await;
        let reason = match ended {
            Ok(Ok(exit)) if exit.is_success() => return Ok(()),
            Ok(Ok(_)) if self.is_full() => return Err(refused(Phase::Install, self.full())),
            Ok(Ok(exit)) => format!("{exit}: {}", self.log.tail(1).concat()),
            Ok(Err(error)) => return Err(error),
            Err(_) => String::from("it took too long"),
        };
        Err(InstallError::Host { what: what.to_owned(), reason })
    }
}

fn unavailable(phase: Phase, problem: Problem) -> InstallError {
    InstallError::Unavailable { phase, problems: problem.into() }
}

fn refused(phase: Phase, problem: Problem) -> InstallError {
    InstallError::Refused { phase, problems: problem.into() }
}

fn broken(error: JailError) -> InstallError {
    InstallError::Host { what: error.to_string(), reason: error.source.to_string() }
}
