//! Everything that must be built before Hayloft runs: the binary, its workers' runtime, the sample plugins.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use crate::command::Run;
use crate::npm::{self, Package};
use crate::runtime;
use crate::stamp::Stamp;
use crate::workspace::Workspace;

/// How to compile the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Quick to build, slow to run
    Dev,
    /// Optimized without the long link of a release
    Fast,
    /// What is shipped
    Release,
}

impl Profile {
    const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Fast => "fast",
            Self::Release => "release",
        }
    }

    /// The folder below `target`; cargo calls that of `dev` by an older name.
    const fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Fast => "fast",
            Self::Release => "release",
        }
    }
}

/// Builds everything and gives the path of the binary.
pub(crate) fn everything(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    let _lock = workspace.lock()?;
    runtime::assemble_locked(workspace)?;
    example_plugins(workspace)?;
    binary(workspace, profile)
}

/// Builds the binary with the stage of the jail beside it, and gives its path.
pub(crate) fn binary(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    Run::new(
        "cargo",
        [
            "build",
            "--quiet",
            "--package",
            "hayloft",
            "--bin",
            "hayloft",
            "--package",
            "hayloft-stage",
            "--bin",
            "hayloft-stage",
            "--profile",
            profile.name(),
        ],
    )
    .folder(workspace.root())
    .stream()?;
    Ok(workspace.target(profile.folder()).join("hayloft"))
}

/// Installs and builds the sample plugins, each unless nothing of it changed.
fn example_plugins(workspace: &Workspace) -> Result<()> {
    workspace.example_plugins()?.iter().try_for_each(|plugin| example_plugin(workspace, plugin))
}

fn example_plugin(workspace: &Workspace, folder: &Path) -> Result<()> {
    npm::install(workspace, folder)?;
    if !Package::read(folder)?.has_script("build") {
        return Ok(());
    }
    let name = npm::shown(workspace, folder).replace('/', "-");
    let sources = [folder.to_owned(), workspace.path("packages/plugin-sdk")];
    let stamp = Stamp::of(workspace.target("stamps").join(name), &sources)?;
    let (descriptor, _) = hayloft_manifest::read_plugin(folder);
    if stamp.is_current() && descriptor.is_some() {
        return Ok(());
    }
    println!("building the plugin in `{}`", npm::shown(workspace, folder));
    npm::script(workspace, folder, "build").stream()?;
    stamp.keep()
}
