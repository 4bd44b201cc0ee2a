//! Contracts that are written in Rust and read by others, generated and committed: `schemas/`, and the schema of a
//! plugin's manifest beside the plugins.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

use crate::command::Run;
use crate::npm;
use crate::workspace::Workspace;

/// Writes every contract that changed, and removes what is no contract any more.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    for stale in stale(workspace)? {
        match stale.wanted {
            Some(text) => fs::write(&stale.path, text),
            None => fs::remove_file(&stale.path),
        }
        .with_context(|| format!("failed to write `{}`", stale.path.display()))?;
        println!("wrote `{}`", npm::shown(workspace, &stale.path));
    }
    Ok(())
}

/// Fails if a contract is not as the code says.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let stale = stale_files(workspace)?;
    if !stale.is_empty() {
        bail!("not as the code says: {}; run `make codegen`", stale.join(", "));
    }
    Ok(())
}

/// The contracts that are not as the code says.
pub(crate) fn stale_files(workspace: &Workspace) -> Result<Vec<String>> {
    Ok(stale(workspace)?.iter().map(|stale| npm::shown(workspace, &stale.path)).collect())
}

/// A file that is not as the code says.
#[derive(Debug, PartialEq, Eq)]
struct Stale {
    path: PathBuf,
    /// What it should hold; `None` if it should not be there.
    wanted: Option<String>,
}

fn stale(workspace: &Workspace) -> Result<Vec<Stale>> {
    let printed = Run::new("cargo", ["run", "--quiet", "--package", "xtask", "--example", "contracts"])
        .folder(workspace.root())
        .output()?;
    let contracts: Map<String, Value> =
        serde_json::from_str(&printed).context("failed to read the contracts")?;
    let mut stale = Vec::new();
    for (name, contract) in &contracts {
        let path = workspace.path(name);
        let folder = path.parent().with_context(|| format!("`{name}` is in no folder"))?;
        fs::create_dir_all(folder).with_context(|| format!("failed to make `{}`", folder.display()))?;
        let wanted = serde_json::to_string_pretty(contract)? + "\n";
        if fs::read_to_string(&path).ok().as_ref() != Some(&wanted) {
            stale.push(Stale { path, wanted: Some(wanted) });
        }
    }
    let folder = workspace.path("schemas");
    for entry in fs::read_dir(&folder).with_context(|| format!("failed to read `{}`", folder.display()))? {
        let path = entry?.path();
        if !contracts.contains_key(&npm::shown(workspace, &path)) {
            stale.push(Stale { path, wanted: None });
        }
    }
    Ok(stale)
}
