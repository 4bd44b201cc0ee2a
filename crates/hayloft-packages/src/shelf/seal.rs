//! What the kernel knows of each file of a folder: inode, size, mode, and when its content and its facts changed last.
//!
//! No program can set the last one, so a folder that somebody wrote to, as the same user or as root, no longer has its
//! seal, whatever was done to hide it. Comparing costs one look at each file and reads none.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A version that is not what was sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not what was installed: it was changed, added or taken away since", at.display())]
pub struct Tampered {
    /// The first file that differs, relative to the version's folder.
    pub at: PathBuf,
}

pub(super) fn seal(folder: &Path) -> io::Result<()> {
    let written = seal_of(folder).with_extension("new");
    fs::write(&written, facts(folder)?)?;
    fs::rename(&written, seal_of(folder))
}

pub(super) fn is_as_sealed(folder: &Path) -> Result<(), Tampered> {
    let sealed = fs::read_to_string(seal_of(folder)).unwrap_or_default();
    let found = facts(folder).unwrap_or_default();
    if sealed == found && !sealed.is_empty() {
        return Ok(());
    }
    let differing = |one: &str, other: &str| {
        let known: BTreeSet<&str> = other.lines().collect();
        one.lines().find(|line| !known.contains(line)).map(path_of)
    };
    let at = differing(&found, &sealed).or_else(|| differing(&sealed, &found)).unwrap_or_default();
    Err(Tampered { at })
}

pub(super) fn seal_of(version: &Path) -> PathBuf {
    version.with_added_extension("seal")
}

/// Takes the right to write from everything but the folder itself, which still has to be moved.
pub(super) fn close(root: &Path) -> io::Result<()> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_symlink() {
                continue;
            }
            let mode = if metadata.is_dir() || metadata.mode() & 0o111 != 0 { 0o555 } else { 0o444 };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
            }
        }
        if folder != root {
            fs::set_permissions(&folder, Permissions::from_mode(0o555))?;
        }
    }
    Ok(())
}

/// What the kernel knows of a folder and all in it, a line for each, by path.
fn facts(root: &Path) -> io::Result<String> {
    let mut lines = Vec::new();
    let mut folders = vec![PathBuf::new()];
    lines.push(line(Path::new("."), &fs::symlink_metadata(root)?));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            let metadata = entry.metadata()?;
            lines.push(line(&name, &metadata));
            if metadata.is_dir() {
                folders.push(name);
            }
        }
    }
    lines.sort_by_cached_key(|line| path_of(line));
    Ok(lines.concat())
}

fn line(name: &Path, facts: &fs::Metadata) -> String {
    let mut line = String::new();
    // A link's number of names and a folder's size are the file system's own business.
    let size = if facts.is_dir() { 0 } else { facts.size() };
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        line,
        "{:o} {} {size} {}.{} {}.{} {}",
        facts.mode(),
        facts.ino(),
        facts.mtime(),
        facts.mtime_nsec(),
        facts.ctime(),
        facts.ctime_nsec(),
        name.display().to_string().escape_debug()
    );
    line
}

fn path_of(line: &str) -> PathBuf {
    line.trim_end().splitn(6, ' ').last().map(PathBuf::from).unwrap_or_default()
}
