//! Where Node runs without Hayloft: jails of one tier, made by the crate that makes Hayloft's.

use std::cell::{Cell, OnceCell};
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use hayloft_sandbox::{
    Command, Jail, JailSpec, Limits, Options as SandboxOptions, Process, Sandbox, Stdio, Temporary, Tier,
};
use hayloft_testkit::workspace;
use serde::Deserialize;
use tempfile::TempDir;

use crate::direct_worker::{DirectWorker, Plugin};
use crate::options::Options;

/// The folder in which Node keeps what it compiled.
const COMPILED: &str = "compiled";

/// The descriptor to which a worker hands over what Node compiled.
pub(crate) const COLLECTED: i32 = 5;

/// The size of the file behind it, in bytes.
const MOST_COMPILED: u64 = 64 << 20;

/// What stands before the bytes that a worker hands over.
#[derive(Deserialize)]
struct Head {
    folder: String,
    files: Vec<(String, usize)>,
}

/// Makes jails of one tier and starts Node in them.
#[derive(Debug)]
pub(crate) struct Ground {
    sandbox: Sandbox,
    runner: PathBuf,
    homes: TempDir,
    made: Cell<u64>,
    compiled: OnceCell<PathBuf>,
}

impl Ground {
    /// Jails of the strongest tier that this machine offers, `strongest` at most. `Tier::Off` is a process without a
    /// jail.
    pub(crate) fn start(options: &Options, strongest: Tier) -> anyhow::Result<Self> {
        let folder = options.hayloft.parent().context("a binary lies in a folder")?;
        let stage = folder.join("hayloft-stage");
        ensure!(stage.exists(), "{} is missing (`cargo xtask build` makes it)", stage.display());
        let places = [folder.join("runtime/runner.cjs"), folder.join("../runtime/runner.cjs")];
        let runner = places.into_iter().find(|place| place.exists()).with_context(|| {
            format!("there is no runner beside {} (`cargo xtask runtime` makes it)", folder.display())
        })?;
        let sandbox = Sandbox::start(SandboxOptions {
            stage,
            programs: vec![workspace::node()],
            paths: Vec::new(),
            owner: format!("bench-{}", strongest.as_str().to_ascii_lowercase()),
            strongest,
        })?;
        // As root, a worker without a root of its own gets an account that must be able to reach its home.
        let homes = tempfile::Builder::new()
            .prefix("hayloft-bench-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()?;
        Ok(Self {
            sandbox,
            runner: runner.canonicalize()?,
            homes,
            made: Cell::new(0),
            compiled: OnceCell::new(),
        })
    }

    /// The tier that they are of.
    pub(crate) fn tier(&self) -> Tier {
        self.sandbox.isolation().tier
    }

    /// A jail for a plugin, as Hayloft makes it.
    pub(crate) async fn jail(&self, plugin: &Path) -> anyhow::Result<Jail> {
        self.made.set(self.made.get() + 1);
        let name = format!("bench-{}", self.made.get());
        let home = self.homes.path().join(&name);
        fs::create_dir(&home)?;
        let sdk = workspace::plugin_sdk();
        let mut paths = vec![plugin.to_owned(), self.runner.clone(), sdk.clone()];
        paths.extend(self.compiled.get().cloned());
        let spec = JailSpec {
            label: "a measured worker".to_owned(),
            name,
            paths,
            links: vec![("/node_modules/@hay/plugin-sdk".into(), sdk)],
            home,
            limits: Limits::default(),
            ports: vec![80, 443],
            temporary: Temporary::Data,
        };
        Ok(self.sandbox.enter(spec).await?)
    }

    /// Starts the program of every worker.
    pub(crate) async fn worker(
        &self,
        jail: &Jail,
        plugin: &Path,
        descriptors: Vec<(OwnedFd, i32)>,
    ) -> anyhow::Result<Process> {
        let arguments = vec!["--max-old-space-size=512".into(), self.runner.clone().into_os_string()];
        let collects = descriptors.iter().any(|(_, number)| *number == COLLECTED);
        let mut command = node(jail, arguments, plugin, descriptors);
        let compiled = match collects {
            true => Some(jail.home().join(COMPILED)),
            false => self.compiled.get().cloned(),
        };
        command.environment.extend(compiled.map(|folder| ("NODE_COMPILE_CACHE".into(), folder.into())));
        Ok(jail.spawn(command).await?)
    }

    /// Has Node keep what it compiles of a plugin from now on, as Hayloft keeps it once a plugin is installed.
    pub(crate) async fn compile(&self, plugin: &Plugin) -> anyhow::Result<()> {
        let file = tempfile::tempfile()?;
        file.set_len(MOST_COMPILED)?;
        DirectWorker::start_collecting(self, plugin, file.try_clone()?.into()).await?.stop().await?;
        let kept = self.homes.path().join(COMPILED);
        unpack(&file, &kept).context("the worker handed over nothing that Node compiled")?;
        open_to_all(&kept)?;
        ensure!(self.compiled.set(kept).is_ok(), "one plugin was compiled before");
        Ok(())
    }

    /// Starts `node -e 0`.
    pub(crate) async fn nothing(&self, jail: &Jail) -> anyhow::Result<Process> {
        let arguments = vec!["-e".into(), "0".into()];
        Ok(jail.spawn(node(jail, arguments, jail.home(), Vec::new())).await?)
    }
}

/// Writes down what a worker handed over: the length of a head, the head with names and lengths, and all bytes.
fn unpack(mut file: &File, kept: &Path) -> anyhow::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let mut head = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    file.read_exact(&mut head)?;
    let head: Head = serde_json::from_slice(&head)?;
    let folder = kept.join(head.folder);
    fs::create_dir_all(&folder)?;
    for (name, length) in head.files {
        let mut content = vec![0; length];
        file.read_exact(&mut content)?;
        fs::write(folder.join(name), content)?;
    }
    Ok(())
}

/// A jailed worker is another user than whoever made the folder.
fn open_to_all(folder: &Path) -> anyhow::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => open_to_all(&path)?,
            false => fs::set_permissions(&path, Permissions::from_mode(0o644))?,
        }
    }
    Ok(())
}

/// A Node process with the environment of a worker.
fn node(
    jail: &Jail,
    arguments: Vec<OsString>,
    working_directory: &Path,
    descriptors: Vec<(OwnedFd, i32)>,
) -> Command {
    let environment = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin".into()),
        ("NODE_ENV", "production".into()),
        ("TZ", "UTC".into()),
        ("HOME", jail.home().as_os_str().to_owned()),
        ("TMPDIR", jail.home().as_os_str().to_owned()),
        ("LANG", "C.UTF-8".into()),
        ("OPENSSL_CONF", "/dev/null".into()),
        ("HAY_PLUGIN_ID", "hay-plugin-bench".into()),
    ];
    Command {
        program: workspace::node(),
        arguments,
        working_directory: working_directory.to_owned(),
        environment: environment.map(|(name, value)| (name.into(), value)).into(),
        descriptors,
        stdin: Stdio::Null,
        stdout: Stdio::Null,
        // Read only when it did not start; it writes far less than a pipe holds.
        stderr: Stdio::Piped,
        label: "a measured worker".to_owned(),
    }
}
