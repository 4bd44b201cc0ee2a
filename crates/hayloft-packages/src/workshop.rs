//! The jail in which a package is made ready: programs of the system, npm, room in memory to work in, and no way out
//! but to the registry.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hayloft_model::Problem;
use hayloft_model::plugin::Command as Words;
use hayloft_sandbox::{
    Command, Exit, GATE_NAME, Jail, JailError, JailSpec, Limits, Process, Sandbox, Stdio, Temporary, Tier,
};
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Fault, InstallError};
use crate::log::RunLog;
use crate::npm::{self, Scripts};
use crate::plan::Step;
use crate::registry::{Dial, Gate, Registry};
use crate::tree::mebibytes;
use crate::{Phase, Provided, Room, bundle};

/// Where the work is done: the only place that can be written to.
pub(crate) const WORK: &str = "/tmp/work";

/// Folders of the system with the programs that build scripts call.
const SYSTEM: [&str; 6] = ["/bin", "/usr/bin", "/lib", "/lib64", "/usr/lib", "/usr/lib64"];

/// Finds a program by its name, says with 127 that there is none, and is in every jail.
const FINDER: &str = "/usr/bin/env";

/// The finder's code when there is no such program.
const NOT_FOUND: i32 = 127;

/// What a program's code is when a shell saw it end by the signal for files that are too large.
const FILE_TOO_LARGE: [Exit; 2] = [Exit::Signal(25), Exit::Code(128 + 25)];

/// How long what a step left behind may go on writing into the log once the step has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long copying a package in or out may take.
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
        let mut jail = fittings.sandbox.enter(spec(&fittings)).await.map_err(broken)?;
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
            environment: environment(&toolchain.node)
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
                let seconds = self.within(step.phase).as_secs();
                let problem =
                    Problem::error(title, format!("did not end within the {seconds} seconds that there are"));
                self.log.note("(it took too long and was ended)");
                return Err(refused(
                    step.phase,
                    problem.hint("a step must end by itself; servers and watchers do not"),
                ));
            }
        };
        if exit.is_success() {
            return Ok(());
        }
        self.log.note(&format!("({exit})"));
        Err(refused(step.phase, self.explain(&title, step, exit)))
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

    /// What a folder below [`WORK`] holds now, as an archive that is read from the file. What wrote it is no friend.
    pub(crate) async fn packed(&self, folder: &Path) -> Result<Packed, InstallError> {
        let folder = Path::new(WORK).join(folder).display().to_string();
        let words = ["tar", "--format=posix", "--hard-dereference", "-C", &folder, "-cf", "-", "."];
        let mut process = self.spawn(Path::new("/"), &words.map(String::from), &[]).await?;
        let log = Arc::clone(&self.log);
        let complaints = process
            .take_stderr()
            .map(|stderr| AbortOnDropHandle::new(tokio::spawn(async move { log.take(stderr).await })));
        let stream = process.take_stdout().map(tokio::net::unix::pipe::Receiver::into_blocking_fd);
        let stream: OwnedFd = match stream {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => {
                return Err(Fault::host("read from", Path::new(WORK))(error).in_phase(Phase::Install));
            }
            None => {
                return Err(InstallError::Host {
                    what: String::from("read what was made"),
                    reason: String::from("the jail gave no pipe"),
                });
            }
        };
        Ok(Packed { stream: File::from(stream), packer: Packer { process, _complaints: complaints } })
    }

    /// Ends everything in it.
    pub(crate) async fn close(self) -> Result<(), InstallError> {
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

    async fn ended(&self, root: &Path, command: &Words) -> Result<Exit, InstallError> {
        let mut words = vec![command.program.clone()];
        words.extend(command.arguments.iter().cloned());
        words.extend(npm::last_word(command, self.scripts).map(String::from));
        let variables: Vec<_> =
            command.environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        self.outcome(&Path::new(WORK).join(root).join(&command.folder), &words, &variables, &self.log).await
    }

    /// Runs a program to its end, with all that it writes in a log.
    async fn outcome(
        &self,
        folder: &Path,
        words: &[String],
        variables: &[(String, String)],
        log: &Arc<RunLog>,
    ) -> Result<Exit, InstallError> {
        let mut process = self.spawn(folder, words, variables).await?;
        let (stdout, stderr) = (process.take_stdout(), process.take_stderr());
        let log = Arc::clone(log);
        let reading = AbortOnDropHandle::new(tokio::spawn(async move {
            let stdout = async {
                if let Some(stdout) = stdout {
                    log.take(stdout).await;
                }
            };
            let stderr = async {
                if let Some(stderr) = stderr {
                    log.take(stderr).await;
                }
            };
            tokio::join!(stdout, stderr);
        }));
        let exit = process.wait().await;
        // What it left running may hold its streams open for ever.
        let _ = tokio::time::timeout(LAST_WORDS, reading).await;
        Ok(exit)
    }

    async fn spawn(
        &self,
        folder: &Path,
        words: &[String],
        variables: &[(String, String)],
    ) -> Result<Process, InstallError> {
        let mut environment = self.environment.clone();
        for (name, value) in variables {
            // The finder and the loader of programs are no place for a stranger's words.
            if !name.to_ascii_uppercase().starts_with("LD_")
                && !environment.iter().any(|(known, _)| known == name)
            {
                environment.push((name.clone(), value.clone()));
            }
        }
        let command = Command {
            program: FINDER.into(),
            arguments: std::iter::once(String::from("--"))
                .chain(words.iter().cloned())
                .map(Into::into)
                .collect(),
            working_directory: folder.to_owned(),
            environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            descriptors: Vec::new(),
            stdin: Stdio::Null,
            stdout: Stdio::Piped,
            stderr: Stdio::Piped,
            label: String::from("a step of an installation"),
        };
        self.jail.spawn(command).await.map_err(|error| match error.source.kind() {
            // A folder that the package itself named, and that is not there.
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory if folder.starts_with(WORK) => {
                let shown = folder.strip_prefix(WORK).unwrap_or(folder).display();
                refused(
                    Phase::Install,
                    Problem::error("package", format!("there is no folder `{shown}` to work in")),
                )
            }
            _ => broken(error),
        })
    }

    /// Why a step failed, as well as it can be told.
    fn explain(&self, title: &str, step: &Step, exit: Exit) -> Problem {
        if exit == Exit::OutOfMemory {
            let message =
                format!("used more memory than the {} that there are", mebibytes(self.limits.memory));
            return Problem::error(title, message).hint("ask the operator for more: `packages.memory`");
        }
        if self.is_full() {
            return self.full();
        }
        if FILE_TOO_LARGE.contains(&exit) {
            let message = format!("wrote a file of more than {}", mebibytes(self.limits.room.bytes));
            return Problem::error(title, message).hint("make less, or ask the operator for more room");
        }
        if let Some(reason) = self.gate.passage.unreachable() {
            let message = format!("the registry `{}` cannot be reached: {reason}", self.registry);
            return Problem::error("registry", message)
                .hint("try again later, or name another one: `packages.registry`");
        }
        if let Some((at, message, hint)) = npm::explained(&self.log.text()) {
            return Problem::error(at, message).hint(hint);
        }
        if let Some(asked) = self.gate.passage.refused() {
            let message =
                format!("asked for `{asked}`, and only the registry `{}` can be reached", self.registry);
            return Problem::error(title, message)
                .hint("depend on versions of packages that the registry has");
        }
        if exit == Exit::Code(NOT_FOUND) && !matches!(step.command.program.as_str(), "npm" | "npx") {
            let message =
                format!("there is no program `{}`, or it found none of its own", step.command.program);
            return Problem::error(title, message)
                .hint("the host has npm; anything else must be a dependency of the package");
        }
        let last = self.log.tail(3).join(" / ");
        Problem::error(title, format!("failed with {exit}: {}", last.chars().take(400).collect::<String>()))
            .hint("the log of the installation shows all that it wrote")
    }

    fn is_full(&self) -> bool {
        let text = self.log.text();
        text.contains("ENOSPC")
            || text.contains("No space left on device")
            || text.contains("no space left on device")
    }

    fn full(&self) -> Problem {
        let message =
            format!("needs more room than the {} that there are", mebibytes(self.limits.room.bytes));
        Problem::error("package", message)
            .hint("depend on less, or ask the operator for more: `packages.disk`")
    }
}

/// What a jail gives out of itself.
pub(crate) struct Packed {
    pub(crate) stream: File,
    pub(crate) packer: Packer,
}

/// The program that packs. The stream ends with it.
pub(crate) struct Packer {
    process: Process,
    _complaints: Option<AbortOnDropHandle<()>>,
}

impl Packer {
    /// Waits for what reads the stream, and ends the stream when that takes too long.
    pub(crate) async fn read_by<T>(
        &self,
        mut reader: tokio::task::JoinHandle<T>,
    ) -> Result<T, tokio::task::JoinError> {
        match tokio::time::timeout(COPY_WITHIN, &mut reader).await {
            Ok(read) => read,
            Err(_) => {
                self.process.kill().await;
                reader.await
            }
        }
    }

    /// Whether it packed everything.
    pub(crate) async fn succeeded(&self) -> bool {
        matches!(tokio::time::timeout(LAST_WORDS, self.process.wait()).await, Ok(exit) if exit.is_success())
    }
}

fn spec(fittings: &Fittings<'_>) -> JailSpec {
    let Fittings { toolchain, limits, .. } = fittings;
    let found = || fittings.provided.iter().chain(fittings.at_hand);
    let mut paths = vec![fittings.source.to_owned(), toolchain.node.clone()];
    paths.extend(SYSTEM.map(PathBuf::from).into_iter().filter(|folder| folder.exists()));
    paths.extend(toolchain.npm.clone());
    paths.extend(toolchain.esbuild.clone());
    paths.extend(found().map(|package| package.path.clone()));
    // Node and compilers look for packages in all folders above the plugin's, and this is above all of them: what a
    // plugin brings itself always comes first.
    let mut links: Vec<_> = found()
        .map(|package| (Path::new("/node_modules").join(&package.name), package.path.clone()))
        .collect();
    for (place, program) in
        [("/usr/local/bin/npm", "bin/npm-cli.js"), ("/usr/local/bin/npx", "bin/npx-cli.js")]
    {
        links.extend(toolchain.npm.iter().map(|npm| (place.into(), npm.join(program))));
    }
    links.push(("/usr/local/bin/node".into(), toolchain.node.clone()));
    JailSpec {
        label: String::from("the installation of a package"),
        name: fittings.name.clone(),
        paths,
        links,
        home: fittings.home.to_owned(),
        limits: Limits {
            // What it writes is memory too.
            memory: limits.memory.saturating_add(limits.room.bytes),
            tasks: limits.tasks,
            processor: limits.processor,
            temporary: limits.room.bytes,
            file_size: limits.room.bytes,
            ..Limits::default()
        },
        temporary: Temporary::Programs,
        ..JailSpec::default()
    }
}

/// What every program here gets. None of it is a secret, and nothing of the host's own is in it.
fn environment(node: &Path) -> Vec<(String, String)> {
    let node = node.parent().map(|folder| format!("{}:", folder.display())).unwrap_or_default();
    [
        ("PATH", format!("{node}/usr/local/bin:/usr/bin:/bin")),
        ("HOME", String::from("/tmp/home")),
        ("TMPDIR", String::from("/tmp/temporary")),
        ("LANG", String::from("C.UTF-8")),
        ("TZ", String::from("UTC")),
        ("CI", String::from("1")),
        ("NO_COLOR", String::from("1")),
        ("OPENSSL_CONF", String::from("/dev/null")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn refused(phase: Phase, problem: Problem) -> InstallError {
    InstallError::Refused { phase, problems: problem.into() }
}

fn broken(error: JailError) -> InstallError {
    InstallError::Host { what: error.to_string(), reason: error.source.to_string() }
}
