//! `target/runtime`: the program that runs in every Node worker, and the Node that runs it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::isolates;
use crate::npm;
use crate::stamp::Stamp;
use crate::workspace::Workspace;

/// Files that decide what our packages are built into.
const SOURCES: [&str; 4] = ["packages", "package.json", "package-lock.json", "tsconfig.base.json"];

/// What our packages are built into, as far as plugins need it: the runner, what leads other programs through the gate,
/// and what compiles components.
const BUNDLES: [&str; 3] = [
    "plugin-runner/dist/runner.cjs",
    "plugin-runner/dist/gate.cjs",
    "component-compiler/dist/compile-components.cjs",
];

/// What compilers of plugins find without a plugin asking for it, and what that needs: the types of Node.
const AT_HAND: [&str; 2] = ["@types/node", "undici-types"];

/// Makes the folder, or leaves it as it is when nothing changed.
pub(crate) fn assemble(workspace: &Workspace) -> Result<()> {
    let _lock = workspace.lock()?;
    assemble_locked(workspace)
}

/// The same for a caller that holds the lock.
pub(crate) fn assemble_locked(workspace: &Workspace) -> Result<()> {
    npm::install(workspace, workspace.root())?;
    build_packages(workspace)?;
    let runtime = workspace.target("runtime");
    fs::create_dir_all(&runtime).with_context(|| format!("failed to make `{}`", runtime.display()))?;
    for bundle in BUNDLES {
        let built = built(workspace, bundle);
        let name = built.file_name().context("a bundle has a name")?;
        replace_file(&built, &runtime.join(name))?;
    }
    let node = workspace.node_folder().join("node");
    if !node.is_file() {
        bail!(
            "there is no Node for this machine at `{}`: the pinned one is built for Linux on x64",
            node.display()
        );
    }
    replace_link(&node, &runtime.join("node"))?;
    let esbuild = workspace.path("node_modules/@esbuild/linux-x64/bin/esbuild");
    if !esbuild.is_file() {
        bail!("there is no esbuild for this machine at `{}`", esbuild.display());
    }
    replace_link(&esbuild, &runtime.join("esbuild"))?;
    provide(workspace, &runtime)?;
    let installed = workspace.path("node_modules");
    isolates::install(&installed, &runtime.join("node_modules"))?;
    let at_hand = AT_HAND.map(|name| (name.to_owned(), installed.join(name)));
    link_packages(&BTreeMap::from(at_hand), &runtime.join("build"))
}

/// What plugins import: our published packages that have a scope, which the host provides to each of them.
fn provide(workspace: &Workspace, runtime: &Path) -> Result<()> {
    let mut provided = BTreeMap::new();
    let packages = workspace.path("packages");
    for entry in
        fs::read_dir(&packages).with_context(|| format!("failed to read `{}`", packages.display()))?
    {
        let folder = entry?.path();
        let Ok(manifest) = fs::read(folder.join("package.json")) else { continue };
        let manifest: Value = serde_json::from_slice(&manifest)
            .with_context(|| format!("failed to read the manifest of `{}`", folder.display()))?;
        if let Some(name) = manifest["name"].as_str().filter(|name| name.starts_with('@'))
            && manifest["private"] != true
        {
            provided.insert(name.to_owned(), folder);
        }
    }
    link_packages(&provided, runtime)
}

/// Links packages into a folder, beside the list of their names.
fn link_packages(packages: &BTreeMap<String, PathBuf>, place: &Path) -> Result<()> {
    for (name, folder) in packages {
        let link = place.join("node_modules").join(name);
        let scope = link.parent().unwrap_or(place);
        fs::create_dir_all(scope).with_context(|| format!("failed to make `{}`", scope.display()))?;
        replace_link(folder, &link)?;
    }
    let names: Vec<_> = packages.keys().collect();
    let list = place.join("provided.json");
    fs::write(&list, serde_json::to_vec(&names)?)
        .with_context(|| format!("failed to write `{}`", list.display()))
}

fn built(workspace: &Workspace, bundle: &str) -> PathBuf {
    workspace.path("packages").join(bundle)
}

fn build_packages(workspace: &Workspace) -> Result<()> {
    let stamp = Stamp::of(workspace.target("stamps/packages"), &SOURCES.map(|path| workspace.path(path)))?;
    if stamp.is_current() && BUNDLES.iter().all(|bundle| built(workspace, bundle).is_file()) {
        return Ok(());
    }
    println!("building the TypeScript packages");
    npm::script(workspace, workspace.root(), "build").stream()?;
    stamp.keep()
}

/// Copies a file unless the same bytes are there, so that a running worker never sees half of it.
fn replace_file(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("failed to read `{}`", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let fresh = to.with_extension("new");
    // With its permissions: some are programs.
    fs::copy(from, &fresh)
        .and_then(|_| fs::rename(&fresh, to))
        .with_context(|| format!("failed to write `{}`", to.display()))
}

fn replace_link(target: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|present| present == target) {
        return Ok(());
    }
    let fresh = link.with_extension("new");
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    remove(&fresh)
        .and_then(|()| symlink(target, &fresh))
        .and_then(|()| fs::rename(&fresh, link))
        .with_context(|| format!("failed to link `{}` to `{}`", link.display(), target.display()))
}
