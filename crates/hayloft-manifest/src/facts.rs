//! What the kernel knows of each file of a folder: inode, size, mode, and when its content and its facts changed last.
//!
//! No program can set the last one, so whoever wrote to a folder, as the same user or as root, left its facts different,
//! whatever was done to hide it. Taking them costs one look at each file and reads none.

use std::fmt::Write as _;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::content_hash::{LEFT_OUT, MOST_FILES};

/// What the smallest file takes on a disk, in bytes: each counts as so many of these as it needs.
const BLOCK: u64 = 4096;

/// Which part of a folder is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// All of it.
    All,
    /// What its content hash covers, with the folders that it lies in; no more of it than could have a hash.
    Code,
}

/// What the kernel knows of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderFacts {
    /// A line for the folder itself.
    pub root: String,
    /// A line for each file, folder and link in it, by path.
    pub below: String,
    /// What all of that takes on a disk, in bytes.
    pub bytes: u64,
    /// When the last of it changed.
    pub changed: SystemTime,
}

impl FolderFacts {
    /// Takes a folder's facts. It blocks.
    ///
    /// # Errors
    /// If anything in it cannot be looked at, or there is far too much of it.
    pub fn of(root: &Path, covered: Covered) -> io::Result<Self> {
        let own = fs::symlink_metadata(root)?;
        let (mut bytes, mut changed) = (on_disk(&own), changed_at(&own));
        let mut lines = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder))? {
                let entry = entry?;
                let name = folder.join(entry.file_name());
                let metadata = entry.metadata()?;
                if covered == Covered::Code {
                    if metadata.is_dir() && LEFT_OUT.iter().any(|left_out| entry.file_name() == *left_out) {
                        continue;
                    }
                    if lines.len() > MOST_FILES {
                        return Err(io::Error::other("it holds more files than any plugin"));
                    }
                }
                bytes += on_disk(&metadata);
                changed = changed.max(changed_at(&metadata));
                lines.push(line(&name, &metadata));
                if metadata.is_dir() {
                    folders.push(name);
                }
            }
        }
        lines.sort_by_cached_key(|line| path_of(line));
        Ok(Self { root: line(Path::new("."), &own), below: lines.concat(), bytes, changed })
    }
}

/// The line for a folder itself, as it is now.
///
/// # Errors
/// If it cannot be looked at.
pub fn root_facts(root: &Path) -> io::Result<String> {
    Ok(line(Path::new("."), &fs::symlink_metadata(root)?))
}

/// The path in a line.
#[must_use]
pub fn path_of(line: &str) -> PathBuf {
    line.trim_end().splitn(6, ' ').last().map(PathBuf::from).unwrap_or_default()
}

fn line(name: &Path, facts: &Metadata) -> String {
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

/// What a file, a link or a folder takes at least: one that is empty takes room, too.
fn on_disk(facts: &Metadata) -> u64 {
    let size = if facts.is_file() { facts.size() } else { 0 };
    size.div_ceil(BLOCK).max(1).saturating_mul(BLOCK)
}

/// What lines of facts say that their files take on a disk, in bytes.
#[must_use]
pub fn bytes_of(lines: &str) -> u64 {
    let size = |line: &str| line.split(' ').nth(2)?.parse::<u64>().ok();
    let blocks = lines.lines().map(|line| size(line).unwrap_or_default().div_ceil(BLOCK).max(1));
    blocks.fold(0, u64::saturating_add).saturating_mul(BLOCK)
}

fn changed_at(facts: &Metadata) -> SystemTime {
    let (seconds, nanoseconds) = (facts.ctime(), facts.ctime_nsec());
    let since = Duration::new(
        u64::try_from(seconds).unwrap_or_default(),
        u32::try_from(nanoseconds).unwrap_or_default(),
    );
    SystemTime::UNIX_EPOCH + since
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_on_the_disk_is_counted_by_whole_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("node_modules/x")).unwrap();
        fs::write(root.join("empty"), "").unwrap();
        fs::write(root.join("one"), "1").unwrap();
        fs::write(root.join("node_modules/x/two"), vec![0; 4097]).unwrap();
        let bytes = |covered| FolderFacts::of(root, covered).unwrap().bytes;
        assert_eq!(bytes(Covered::Code), 3 * BLOCK, "the folder itself and two files");
        assert_eq!(bytes(Covered::All), 7 * BLOCK, "with two folders, and a file of two blocks");
        let facts = FolderFacts::of(root, Covered::All).unwrap();
        assert_eq!(bytes_of(&(facts.root + &facts.below)), 7 * BLOCK, "what was written down says the same");
    }
}
