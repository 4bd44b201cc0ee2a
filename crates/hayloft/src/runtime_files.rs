//! Where the programs inside workers lie: the runner and Node.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use hayloft_packages::{ComponentCompiler, Toolchain, find_npm};
use hayloft_workers::{ProvidedPackage, Runtime};

use crate::config::{Config, RuntimeFiles};
use crate::failure::Failure;

const RUNNER: &str = "runner.cjs";
const NODE: &str = "node";
const PACKAGES: &str = "node_modules";
/// Names of those in it that are meant for plugins.
const PROVIDED: &str = "provided.json";
const ESBUILD: &str = "esbuild";
const COMPONENT_COMPILER: &str = "compile-components.cjs";
/// What only builds of plugins see: a folder in the runtime's, with packages and their list as in that.
const AT_HAND: &str = "build";
const STAGE: &str = "hayloft-stage";

/// Finds both: where the configuration says, else beside this program; Node also in `PATH`.
///
/// # Errors
/// When one is nowhere.
pub(crate) fn find(
    files: &RuntimeFiles,
    executable: &Path,
    environment: &HashMap<String, String>,
) -> Result<Runtime, Failure> {
    let folders = folders(files, executable);
    let runner = runner(&folders).ok_or_else(|| {
        let searched: Vec<_> = folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
        Failure::new(format!("failed to find the worker's runner `{RUNNER}` in {}", searched.join(" or ")))
            .hint("`cargo xtask runtime` makes it; `--runtime-dir` names its folder")
    })?;
    let node = node(files, &folders, environment).ok_or_else(|| match &files.node {
        Some(named) => Failure::new(format!("failed to find Node at `{}`", named.display())),
        None => Failure::new("failed to find Node in the runtime folder and in PATH")
            .hint("install Node 20 or newer, or name its executable with `--node`"),
    })?;
    let packages = match folders.iter().find(|folder| folder.join(PROVIDED).exists()) {
        Some(folder) => provided(folder)?,
        None => Vec::new(),
    };
    Ok(Runtime { node, runner, packages })
}

/// The packages that builds of plugins find: the types of Node. They lie beside the runner, and a runtime folder
/// without them is as good for everything else.
///
/// # Errors
/// When one that is listed is not there.
pub(crate) fn at_hand(runner: &Path) -> Result<Vec<ProvidedPackage>, Failure> {
    let folder = runner.with_file_name(AT_HAND);
    if folder.join(PROVIDED).exists() { provided(&folder) } else { Ok(Vec::new()) }
}

/// The packages of a runtime folder that are meant for plugins.
fn provided(folder: &Path) -> Result<Vec<ProvidedPackage>, Failure> {
    let list = folder.join(PROVIDED);
    let failed = |path: &Path| format!("failed to read `{}`", path.display());
    let text = fs::read(&list).map_err(|error| Failure::caused(failed(&list), &error))?;
    let names: Vec<String> =
        serde_json::from_slice(&text).map_err(|error| Failure::caused(failed(&list), &error))?;
    let package = |name: String| {
        let path = folder.join(PACKAGES).join(&name);
        match path.canonicalize() {
            Ok(path) => Ok(ProvidedPackage { name, path }),
            Err(error) => Err(Failure::caused(failed(&path), &error).hint("`cargo xtask runtime` makes it")),
        }
    };
    names.into_iter().map(package).collect()
}

/// The program that becomes a worker's jail, beside this one.
///
/// # Errors
/// When it is not there.
pub(crate) fn stage(executable: &Path) -> Result<PathBuf, Failure> {
    let stage = executable.with_file_name(STAGE);
    file(&stage).ok_or_else(|| {
        Failure::new(format!("failed to find `{}`", stage.display()))
            .hint("it is installed beside `hayloft`; `cargo xtask build` makes both")
    })
}

/// The folders that may hold the runtime, best first.
pub(crate) fn folders(files: &RuntimeFiles, executable: &Path) -> Vec<PathBuf> {
    match (&files.dir, executable.parent()) {
        (Some(named), _) => vec![named.clone()],
        (None, Some(beside)) => vec![beside.join("runtime"), beside.join("../runtime")],
        (None, None) => Vec::new(),
    }
}

/// The runner in the first folder that has it.
pub(crate) fn runner(folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().find_map(|folder| file(&folder.join(RUNNER)))
}

/// The Node executable.
pub(crate) fn node(
    files: &RuntimeFiles,
    folders: &[PathBuf],
    environment: &HashMap<String, String>,
) -> Option<PathBuf> {
    if let Some(named) = &files.node {
        return file(named);
    }
    let path = environment.get("PATH").map(String::as_str).unwrap_or_default();
    let in_path = path.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from);
    folders.iter().cloned().chain(in_path).find_map(|folder| file(&folder.join(NODE)))
}

/// The programs that plugins are made ready with. npm is where it is named, beside Node, or in `PATH`.
pub(crate) fn toolchain(
    config: &Config,
    runtime: &Runtime,
    bundler: Option<PathBuf>,
    executable: &Path,
    environment: &HashMap<String, String>,
) -> Toolchain {
    let path = environment.get("PATH").map(String::as_str).unwrap_or_default();
    let in_path: Vec<_> = path.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect();
    Toolchain {
        npm: config.packages.npm.clone().or_else(|| find_npm(&runtime.node, &in_path)),
        node: runtime.node.clone(),
        esbuild: bundler,
        components: component_compiler(&folders(&config.runtime, executable)),
    }
}

/// What bundles plugins: where it is named, else in the first folder that has it. Without it plugins run unbundled.
pub(crate) fn esbuild(named: Option<&Path>, folders: &[PathBuf]) -> Option<PathBuf> {
    match named {
        Some(named) => file(named),
        None => folders.iter().find_map(|folder| file(&folder.join(ESBUILD))),
    }
}

/// What compiles components of interfaces, in the first folder that has it. Without it only interfaces that their plugins
/// build are shown.
fn component_compiler(folders: &[PathBuf]) -> Option<ComponentCompiler> {
    folders.iter().find_map(|folder| {
        // It speaks to the esbuild that it was made with and to no other.
        Some(ComponentCompiler {
            program: file(&folder.join(COMPONENT_COMPILER))?,
            esbuild: file(&folder.join(ESBUILD))?,
        })
    })
}

/// The absolute path of a file that is there.
fn file(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use hayloft_sandbox::Tier;

    use super::*;

    #[test]
    fn what_is_named_wins_over_what_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for dir in ["bin/runtime", "runtime", "own", "path"] {
            fs::create_dir_all(at(dir)).unwrap();
        }
        for path in ["runtime/runner.cjs", "own/runner.cjs", "own/node", "path/node"] {
            fs::write(at(path), "").unwrap();
        }
        let environment = HashMap::from([("PATH".to_owned(), at("path").display().to_string())]);
        let check = |dir: Option<&str>, node: Option<&str>| {
            let files = RuntimeFiles {
                dir: dir.map(at),
                node: node.map(at),
                isolation: Tier::B,
                strongest_isolation: Tier::A,
                jail_paths: Vec::new(),
            };
            let found =
                find(&files, &at("bin/hayloft"), &environment).map_err(|failure| failure.to_string())?;
            let short = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
            Ok::<_, String>((short(found.runner), short(found.node)))
        };
        assert_eq!(check(None, None), Ok(("runtime/runner.cjs".into(), "path/node".into())));
        assert_eq!(check(Some("own"), None), Ok(("own/runner.cjs".into(), "own/node".into())));
        assert_eq!(check(Some("own"), Some("path/node")), Ok(("own/runner.cjs".into(), "path/node".into())));
        assert!(check(Some("path"), None).unwrap_err().contains("runner.cjs"));
        assert!(check(None, Some("nowhere")).unwrap_err().contains("nowhere"));
    }

    #[test]
    fn what_bundles_is_found_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().join("none"), folder.path().to_owned()];
        assert_eq!(esbuild(None, &folders), None);
        let (own, other) = (folder.path().join("esbuild"), folder.path().join("other"));
        fs::write(&own, "").unwrap();
        fs::write(&other, "").unwrap();
        assert_eq!(esbuild(None, &folders), Some(own.canonicalize().unwrap()));
        assert_eq!(esbuild(Some(&other), &folders), Some(other.canonicalize().unwrap()));
        assert_eq!(esbuild(Some(&folder.path().join("nowhere")), &folders), None);
    }

    #[test]
    fn components_are_compiled_by_what_was_made_together() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().join("none"), folder.path().to_owned()];
        let found = || component_compiler(&folders).map(|found| (found.program, found.esbuild));
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        fs::write(at("compile-components.cjs"), "").unwrap();
        assert_eq!(found(), None);
        fs::write(at("esbuild"), "").unwrap();
        assert_eq!(found(), Some((at("compile-components.cjs"), at("esbuild"))));
    }

    #[test]
    fn packages_for_plugins_are_those_that_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["@scope/listed", "other", "plain"] {
            fs::create_dir_all(folder.path().join("node_modules").join(name)).unwrap();
        }
        let list = |text: &str| {
            fs::write(folder.path().join("provided.json"), text).unwrap();
            let found = provided(folder.path()).map_err(|failure| failure.to_string())?;
            Ok::<_, String>(found.into_iter().map(|package| package.name).collect::<Vec<_>>())
        };
        assert_eq!(list(r#"["@scope/listed", "plain"]"#), Ok(vec!["@scope/listed".into(), "plain".into()]));
        assert!(list(r#"["missing"]"#).unwrap_err().contains("node_modules/missing"));
        assert!(list("{}").unwrap_err().contains("provided.json"));
    }
}
