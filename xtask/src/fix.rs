//! What machines can mend: formatting, and the lints that know their own cure.

use anyhow::Result;

use crate::command::Run;
use crate::npm;
use crate::workspace::Workspace;

/// Mends everything that can be mended.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let cargo = |arguments: &[&str]| Run::new("cargo", arguments).folder(workspace.root()).stream();
    cargo(&["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"])?;
    cargo(&["fmt", "--all"])?;
    npm::install(workspace, workspace.root())?;
    npm::script(workspace, workspace.root(), "format").stream()
}
