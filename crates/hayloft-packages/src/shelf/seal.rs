//! What the kernel knows of each file of a version, written down when it was made: its seal.
//!
//! A folder that somebody wrote to no longer has its seal, whatever was done to hide it. Comparing costs one look at each
//! file and reads none.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hayloft_manifest::facts::{Covered, FolderFacts, bytes_of, path_of, root_facts};

use super::remove_file;

/// A version that is not what was sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not what was installed: it was changed, added or taken away since", at.display())]
pub struct Tampered {
    /// The first file that differs, relative to the version's folder.
    pub at: PathBuf,
}

/// A folder in which nothing can be written to any more, with a seal that lacks the folder's own line: that is known when
/// it is in its place. However much is in the folder, moving it there is a few steps.
#[derive(Debug)]
pub(crate) struct Closed {
    folder: PathBuf,
    seal: PathBuf,
    bytes: u64,
}

impl Closed {
    /// Closes a folder. Its seal waits beside it.
    pub(crate) fn of(folder: PathBuf) -> io::Result<Self> {
        close(&folder)?;
        let (seal, facts) = (seal_of(&folder), FolderFacts::of(&folder, Covered::All)?);
        fs::write(&seal, facts.below)?;
        Ok(Self { folder, seal, bytes: facts.bytes })
    }

    /// What it takes on the disk.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Moves it to its place, where nothing may be, and seals it. It is whole when its seal is there.
    pub(super) fn put(&self, place: &Path) -> io::Result<()> {
        fs::rename(&self.folder, place)?;
        fs::set_permissions(place, Permissions::from_mode(0o555))?;
        OpenOptions::new().append(true).open(&self.seal)?.write_all(root_facts(place)?.as_bytes())?;
        fs::rename(&self.seal, seal_of(place))
    }
}

/// Moves a folder and its seal out of the way, and leaves neither. Without its seal it is nothing, so that goes first.
pub(super) fn take_out(folder: &Path, aside: &Path) -> io::Result<()> {
    remove_file(&seal_of(folder))?;
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    // A folder that cannot be written to cannot be moved to another one.
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    fs::rename(folder, aside)
}

pub(super) fn is_as_sealed(folder: &Path) -> Result<(), Tampered> {
    let sealed = fs::read_to_string(seal_of(folder)).unwrap_or_default();
    let facts = FolderFacts::of(folder, Covered::All).ok();
    if let Some(facts) = &facts
        && sealed.strip_suffix(&*facts.root) == Some(&*facts.below)
    {
        return Ok(());
    }
    // The folder itself comes first where it differs: what was added to it, or taken from it, shows there.
    let found = facts.map(|facts| facts.root + &facts.below).unwrap_or_default();
    let differing = |one: &str, other: &str| {
        let known: BTreeSet<&str> = other.lines().collect();
        one.lines().find(|line| !known.contains(line)).map(path_of)
    };
    match differing(&found, &sealed).or_else(|| differing(&sealed, &found)) {
        // The same lines in another order say the same.
        None if !sealed.is_empty() => Ok(()),
        at => Err(Tampered { at: at.unwrap_or_default() }),
    }
}

/// What a folder that is sealed takes on the disk, in bytes.
pub(super) fn sealed_bytes(folder: &Path) -> Option<u64> {
    Some(bytes_of(&fs::read_to_string(seal_of(folder)).ok()?))
}

pub(super) fn seal_of(version: &Path) -> PathBuf {
    version.with_added_extension("seal")
}

/// Takes the right to write from everything but the folder itself, which still has to be moved.
fn close(root: &Path) -> io::Result<()> {
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
