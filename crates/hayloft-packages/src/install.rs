//! From a folder to a version on the shelf.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use hayloft_model::plugin::Package;
use hayloft_model::{Problem, Problems};
use rustix::fs::FileType;

use crate::error::{Fault, InstallError};
use crate::npm::{LOCKFILES, MANIFEST};
use crate::plan::Step;
use crate::sdk::{self, Provided};
use crate::tree::{Room, Tree, wrong};
use crate::workshop::Workshop;
use crate::{Phase, archive, snapshot};

/// The package in its workshop: as deep as plugins lie in the repository that their paths are written for.
pub(crate) const PLACE: &str = "plugins/core/plugin";

/// What class plugins' configuration of TypeScript extends, two folders above them.
const BASE_CONFIGURATIONS: [&str; 2] = ["plugins/tsconfig.json", "plugins/tsconfig.base.json"];

/// Modules as Node resolves them, and data in JSON files as modules.
const BASE_CONFIGURATION: &str = include_str!("tsconfig.base.json");

/// Most that may follow the end of an archive, in bytes.
const LAST_RECORD: u64 = 64 << 10;

/// Folders that no version holds.
const LEFT_OUT: &str = ".git";

/// What a folder needs, known from a copy that nobody else can change.
pub(crate) struct Copied {
    /// The folder above [`PLACE`].
    top: PathBuf,
    pub(crate) steps: Vec<Step>,
    /// What the author wrote in files that speak of provided packages, by their paths.
    originals: Vec<(PathBuf, Vec<u8>)>,
}

impl Copied {
    /// The package itself.
    pub(crate) fn root(&self) -> PathBuf {
        self.top.join(PLACE)
    }

    /// The folder that a workshop copies.
    pub(crate) fn top(&self) -> &Path {
        &self.top
    }
}

/// Copies a package's folder into `staging`, and sees that it is the one that was read. `steps` are what it needs.
pub(crate) fn copy(
    package: &Package,
    steps: Vec<Step>,
    staging: &Path,
    provided: &[Provided],
    room: Room,
) -> Result<Copied, Fault> {
    let fetches = steps.iter().any(|step| step.phase == Phase::Install);
    let top = staging.join("source");
    let mut tree = Tree::create(&top, room)?;
    snapshot::copy(&package.root, &mut tree, Path::new(PLACE), &|name, kind| {
        let folder = name.file_name().is_some_and(|name| name == LEFT_OUT)
            // npm makes it anew, and what was installed by hand may be for another machine.
            || fetches && name.file_name().is_some_and(|name| name == "node_modules");
        folder || kind == FileType::Symlink && is_provided(name, provided)
    })?;
    tree.finish()?;
    let root = top.join(PLACE);
    let hash = hayloft_manifest::content_hash(&root)
        .map_err(|error| Fault::Wrong(Problem::error("package", error.to_string())))?;
    if hash != package.content_hash {
        let problem = Problem::error("package", "changed while it was read");
        return Err(problem.hint("try again when nobody writes to the folder").into());
    }
    Ok(Copied { top, steps, originals: Vec::new() })
}

/// Whether a link in a folder of installed packages is one to a package that the host provides.
fn is_provided(name: &Path, provided: &[Provided]) -> bool {
    provided.iter().any(|package| name.ends_with(Path::new("node_modules").join(&package.name)))
}

/// Makes the copy fit for npm: nothing in it speaks of what the host provides, and what lies around plugins is there.
pub(crate) fn prepare(copied: &mut Copied, provided: &[Provided]) -> Result<(), Fault> {
    let root = copied.root();
    for folder in ["", "mcp"] {
        let lockfiles =
            LOCKFILES.map(|name| (name, sdk::lockfile_without as fn(&[Provided], &[u8]) -> Option<Vec<u8>>));
        for (name, without) in [(MANIFEST, sdk::manifest_without as _)].into_iter().chain(lockfiles) {
            let name = Path::new(folder).join(name);
            let path = root.join(&name);
            if !fs::symlink_metadata(&path).is_ok_and(|facts| facts.is_file()) {
                continue;
            }
            let text = fs::read(&path).map_err(Fault::host("read", &path))?;
            if let Some(changed) = without(provided, &text) {
                fs::write(&path, changed).map_err(Fault::host("write", &path))?;
                copied.originals.push((name, text));
            }
        }
    }
    for name in BASE_CONFIGURATIONS {
        let path = copied.top.join(name);
        fs::write(&path, BASE_CONFIGURATION).map_err(Fault::host("write", &path))?;
    }
    Ok(())
}

/// Runs all steps in a workshop.
pub(crate) async fn run(
    workshop: &Workshop,
    copied: &Copied,
    report: &(dyn Fn(usize, &Step) + Send + Sync),
) -> Result<(), InstallError> {
    let mut began = (Phase::Install, Instant::now());
    for (number, step) in copied.steps.iter().enumerate() {
        report(number, step);
        if began.0 != step.phase {
            began = (step.phase, Instant::now());
        }
        let left = workshop.within(step.phase).saturating_sub(began.1.elapsed());
        match workshop.run(Path::new(PLACE), step, left).await {
            Err(InstallError::Refused { problems, .. }) if step.is_optional() => {
                workshop.log().warn(problems)
            }
            outcome => outcome?,
        }
        workshop.log().warn(step.left_out.clone());
    }
    Ok(())
}

/// Writes what a workshop made of a folder of the package's to a new folder.
pub(crate) async fn fetch(
    workshop: &Workshop,
    copied: &Copied,
    folder: &str,
    result: &Path,
    room: Room,
) -> Result<(), InstallError> {
    let last = copied.steps.last().map_or(Phase::Install, |step| step.phase);
    let packed = workshop.packed(&Path::new(PLACE).join(folder)).await?;
    let result = result.to_owned();
    let originals = if folder.is_empty() { copied.originals.clone() } else { Vec::new() };
    let reader = tokio::task::spawn_blocking(move || take_out(packed.stream, &result, room, &originals));
    let read = workshop.read_within(reader).await?;
    read.map_err(|fault| fault.in_phase(last))?;
    if packed.packer.succeeded().await {
        return Ok(());
    }
    Err(InstallError::Refused {
        phase: last,
        problems: Problem::error("package", "what was made of it could not be read to its end").into(),
    })
}

/// Writes what a jail gave out, with what the author wrote where npm was shown something else.
fn take_out(
    mut stream: File,
    result: &Path,
    room: Room,
    originals: &[(PathBuf, Vec<u8>)],
) -> Result<(), Fault> {
    let mut tree = Tree::create(result, room)?;
    let original = |name: &Path| Some(originals.iter().find(|(original, _)| original == name)?.1.clone());
    archive::unpack_tar(&mut stream, &mut tree, &original)?;
    // The packer fills up its last record, and has failed if nobody takes that.
    io::copy(&mut stream.take(LAST_RECORD), &mut io::sink()).map_err(Fault::host("read into", result))?;
    tree.finish().map(drop)
}

/// Reads what was made as what will run: nothing may be missing any more, and it must still be the same plugin.
pub(crate) fn check(package: &Package, result: &Path, phase: Phase) -> Result<(), InstallError> {
    let (descriptor, problems) = hayloft_manifest::read_plugin(result);
    let Some(descriptor) = descriptor.filter(|_| !problems.has_errors()) else {
        return Err(InstallError::Refused { phase, problems: errors(problems) });
    };
    if descriptor.id != package.descriptor.id {
        let message = format!("became `{}`, and was `{}` before", descriptor.id, package.descriptor.id);
        let problem = wrong(Path::new("package"), message).hint("a build must leave the plugin's name alone");
        return Err(InstallError::Refused { phase, problems: problem.into() });
    }
    Ok(())
}

fn errors(problems: Problems) -> Problems {
    problems.into_iter().filter(|problem| problem.severity == hayloft_model::Severity::Error).collect()
}
