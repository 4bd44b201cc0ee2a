//! What runs plugins in isolates, beside the runner, where workers look for it: an optional package with all that it needs.
//!
//! A jail shows that one folder and nothing that links in it lead to, so the files themselves are there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What the runner loads.
const PACKAGE: &str = "miniflare";

/// Brings the package into `target` from where npm installed it; without it there, nothing is done.
pub(crate) fn install(installed: &Path, target: &Path) -> Result<()> {
    let mut wanted = vec![PACKAGE.to_owned()];
    let mut done = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        let source = installed.join(&name);
        // Packages for other machines are named, too, and are not there.
        if !source.is_dir() || !done.insert(name.clone()) {
            continue;
        }
        bring(&source, &target.join(&name))
            .with_context(|| format!("failed to bring `{name}` into `{}`", target.display()))?;
        add_needs(&source, &mut wanted)?;
    }
    Ok(())
}

/// Adds what a package needs and does not bring along.
fn add_needs(package: &Path, wanted: &mut Vec<String>) -> Result<()> {
    let manifest = read_manifest(package)?;
    for key in ["dependencies", "optionalDependencies"] {
        for name in manifest[key].as_object().into_iter().flat_map(serde_json::Map::keys) {
            let own = package.join("node_modules").join(name);
            if own.is_dir() {
                add_needs(&own, wanted)?;
            } else {
                wanted.push(name.clone());
            }
        }
    }
    Ok(())
}

fn read_manifest(package: &Path) -> Result<Value> {
    let file = package.join("package.json");
    let failed = || format!("failed to read `{}`", file.display());
    serde_json::from_slice(&fs::read(&file).with_context(failed)?).with_context(failed)
}

/// Brings one package, unless the same version is there.
fn bring(source: &Path, target: &Path) -> Result<()> {
    let version = read_manifest(source)?["version"].take();
    if read_manifest(target).is_ok_and(|present| present["version"] == version) {
        return Ok(());
    }
    let fresh = target.with_extension("new");
    // Of a run that was interrupted, and of another version: a package is there whole or not at all.
    for gone in [&fresh, target] {
        match fs::remove_dir_all(gone) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    bring_tree(source, &fresh)?;
    Ok(fs::rename(&fresh, target)?)
}

/// The same files once more, which take no room where both are on one file system.
fn bring_tree(source: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir_all(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        if fs::metadata(&from)?.is_dir() {
            bring_tree(&from, &to)?;
        } else if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, manifest: &str) {
        fs::create_dir_all(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("package.json"), manifest).unwrap();
    }

    #[test]
    fn a_package_comes_with_all_that_it_needs_and_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (installed, target) = (folder.path().join("from"), folder.path().join("to"));
        install(&installed, &target).unwrap();
        assert!(!target.exists(), "nothing is installed");

        write(&installed, PACKAGE, r#"{ "version": "1", "dependencies": { "a": "1", "own": "1" } }"#);
        write(&installed, "miniflare/node_modules/own", r#"{ "dependencies": { "@b/c": "1" } }"#);
        write(&installed, "a", r#"{ "optionalDependencies": { "miniflare": "1", "elsewhere": "1" } }"#);
        write(&installed, "@b/c", "{}");
        write(&installed, "other", "{}");
        install(&installed, &target).unwrap();
        for name in [PACKAGE, "miniflare/node_modules/own", "a", "@b/c"] {
            assert!(target.join(name).join("package.json").is_file(), "{name}");
        }
        for name in ["other", "own", "elsewhere", "miniflare.new"] {
            assert!(!target.join(name).exists(), "{name}");
        }

        fs::remove_dir_all(installed.join(PACKAGE)).unwrap();
        write(&installed, PACKAGE, r#"{ "version": "2" }"#);
        install(&installed, &target).unwrap();
        assert_eq!(read_manifest(&target.join(PACKAGE)).unwrap()["version"], "2");
        assert!(!target.join("miniflare/node_modules").exists(), "nothing is left of the other version");
    }
}
