//! `hayloft plugin check`

use std::path::Path;
use std::process::ExitCode;

use hayloft_packages::{InstallLimits, archive};
use serde_json::json;

use crate::cli::FormatArgs;
use crate::failure::Failure;
use crate::output;

/// Checks a folder, or the folder that an archive holds, and prints everything that is wrong with it.
///
/// # Errors
/// When the plugin cannot be used, or nobody reads the report.
pub(crate) fn run(plugin: &Path, format: FormatArgs) -> Result<ExitCode, Failure> {
    if !plugin.is_file() {
        return check(plugin, plugin, format);
    }
    let scratch = tempfile::tempdir()
        .map_err(|error| Failure::caused("failed to make a folder to unpack in", &error))?;
    let folder = archive::unpack(plugin, &scratch.path().join("package"), InstallLimits::default().room)?;
    check(&folder, plugin, format)
}

fn check(folder: &Path, named: &Path, format: FormatArgs) -> Result<ExitCode, Failure> {
    let report = hayloft_manifest::check(folder);
    if format.json {
        output::json(&json!({
            "usable": report.is_usable(),
            "format": report.evidence.as_ref().map(|evidence| evidence.format.to_string()),
            "descriptor": report.descriptor,
            "problems": report.problems,
        }))?;
    } else {
        output::line(output::plain(&report.to_string()))?;
    }
    if report.is_usable() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(format!("the plugin in `{}` cannot be used", named.display())))
}
