//! `hayloft migrate-plugin`

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hayloft_manifest::Migration;
use hayloft_manifest::migrate::GeneratedFile;
use serde_json::json;

use crate::cli::MigrateArgs;
use crate::failure::Failure;
use crate::output;

/// Added to the name of a file that says nothing any more, so that nobody loses what it said.
const SUPERSEDED: &str = "migrated";

/// Rewrites a plugin's folder, or says what that would do.
///
/// # Errors
/// When the folder is no plugin that can be migrated, when a file cannot be written, or when nobody reads the report.
pub(crate) fn run(args: &MigrateArgs) -> Result<ExitCode, Failure> {
    let folder = &args.folder;
    let (migration, problems) = hayloft_manifest::migrate(folder);
    let Some(migration) = migration else {
        let message = format!("the plugin in `{}` cannot be migrated", folder.display());
        return Err(Failure::new(message).problems(problems));
    };
    if !args.dry_run {
        write(folder, &migration)?;
    }
    if args.format.json {
        let files = migration.files.iter().map(|file| json!({ "path": file.path, "text": file.text }));
        output::json(&json!({
            "written": !args.dry_run,
            "files": files.collect::<Vec<_>>(),
            "superseded": migration.obsolete,
            "leftBehind": migration.left_behind,
        }))?;
    } else {
        output::line(output::plain(&report(folder, &migration, args.dry_run)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn report(folder: &Path, migration: &Migration, is_dry: bool) -> String {
    let mut text = String::new();
    for file in &migration.files {
        if is_dry {
            let _ = writeln!(text, "would write `{}`:\n{}", file.path.display(), file.text);
        } else {
            let _ = writeln!(text, "wrote `{}`", file.path.display());
        }
    }
    for path in &migration.obsolete {
        let verb = if is_dry { "would move" } else { "moved" };
        let _ = writeln!(text, "{verb} `{}` to `{}`", path.display(), superseded(path).display());
    }
    if migration.left_behind.is_empty() {
        text.push_str("\neverything was carried over\n");
    } else {
        let _ = writeln!(text, "\nwhat could not be carried over:\n{}", migration.left_behind);
    }
    let shown = folder.display();
    let _ = write!(
        text,
        "\nnext: `npm install && npm run build` in `{shown}`, then `hayloft plugin check {shown}`"
    );
    text
}

fn superseded(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(SUPERSEDED);
    PathBuf::from(name)
}

/// The old manifest goes last: until then a second run begins where the first one did.
fn write(folder: &Path, migration: &Migration) -> Result<(), Failure> {
    for file in &migration.files {
        write_file(folder, file)
            .map_err(|error| Failure::caused(format!("failed to write `{}`", file.path.display()), &error))?;
    }
    for path in &migration.obsolete {
        fs::rename(folder.join(path), folder.join(superseded(path)))
            .map_err(|error| Failure::caused(format!("failed to move `{}`", path.display()), &error))?;
    }
    Ok(())
}

fn write_file(folder: &Path, file: &GeneratedFile) -> io::Result<()> {
    let path = folder.join(&file.path);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    // A folder in the plugin may be a link to somewhere else, and that is not the plugin's to write to.
    if !parent.canonicalize()?.starts_with(folder.canonicalize()?) {
        return Err(io::Error::other("its folder lies outside the plugin's"));
    }
    // A whole file or none; and where a link stands, the link is replaced and not what it leads to.
    let beside =
        parent.join(format!(".{}.{SUPERSEDED}", file.path.file_name().unwrap_or_default().display()));
    fs::write(&beside, &file.text)?;
    fs::rename(&beside, &path)
}
