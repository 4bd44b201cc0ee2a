//! Measuring: builds what is measured as users run it, then hands over to the load generator.

use anyhow::Result;

use crate::build::{self, Profile};
use crate::command::Run;
use crate::npm;
use crate::workspace::Workspace;

/// Builds everything and runs the load generator with the given arguments.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let binary = build::everything(workspace, Profile::Release)?;
    npm::install(workspace, &workspace.path("benches/baselines"))?;
    Run::new("cargo", ["run", "--quiet", "--release", "--package", "hayloft-benches", "--"])
        .arguments(arguments)
        .folder(workspace.root())
        .environment("HAYLOFT_BIN", binary)
        .stream()
}
