//! `hayloft plugin check`

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::cli::FormatArgs;
use crate::failure::Failure;
use crate::output;

/// Checks a folder and prints everything that is wrong with it.
///
/// # Errors
/// When the plugin cannot be used, or nobody reads the report.
pub(crate) fn run(folder: &Path, format: FormatArgs) -> Result<ExitCode, Failure> {
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
    Err(Failure::new(format!("the plugin in `{}` cannot be used", folder.display())))
}
