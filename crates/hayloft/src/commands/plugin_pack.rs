//! `hayloft plugin pack`

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hayloft_packages::archive;

use crate::failure::Failure;
use crate::output;

/// Packs a plugin's folder into one file: the same bytes for the same files.
///
/// # Errors
/// When the plugin cannot be used, or the file cannot be written.
pub(crate) fn run(folder: &Path, to: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let report = hayloft_manifest::check(folder);
    let Some(descriptor) = &report.descriptor else {
        output::line(output::plain(&report.to_string()))?;
        return Err(Failure::new(format!("the plugin in `{}` cannot be used", folder.display())));
    };
    let name = format!(
        "{}-{}.tgz",
        descriptor.id.as_str().trim_start_matches('@').replace('/', "-"),
        descriptor.version
    );
    let to = to.unwrap_or_else(|| PathBuf::from(name));
    let unwritten =
        |error: &dyn std::error::Error| Failure::new(format!("failed to write `{}`: {error}", to.display()));
    // Half an archive is none: what is there now stays until the new one is whole.
    let unfinished = to.with_added_extension("part");
    let file = File::create(&unfinished).map_err(|error| unwritten(&error))?;
    let packed = archive::pack(folder, &mut BufWriter::new(file));
    let files = match packed {
        Ok(files) => files,
        Err(error) => {
            // It is the error that a person must read, whatever becomes of the rest.
            let _ = std::fs::remove_file(&unfinished);
            return Err(error.into());
        }
    };
    std::fs::rename(&unfinished, &to).map_err(|error| unwritten(&error))?;
    output::line(format_args!("{} ({files} files)", to.display()))?;
    Ok(ExitCode::SUCCESS)
}
