//! Hashes of folders that are known, for as long as nothing in them changes.
//!
//! A hash is taken by reading every byte, and folders are looked at whenever anything changes in any of them: what is
//! known of one is used again while its facts are what they were when it was read.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hayloft_model::ContentHash;
use sha2::{Digest as _, Sha256};

use crate::content_hash::{HashError, content_hash};
use crate::facts::{Covered, FolderFacts};

/// So long after its last change a folder's facts are trusted: by then the clock of any file system has moved on, so
/// that a further change cannot have the time of the one before.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// A folder's code, and what it takes on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Which code it is.
    pub hash: ContentHash,
    /// What it takes on a disk, in bytes, without what the hash leaves out.
    pub bytes: u64,
}

/// What is known of folders.
#[derive(Debug, Default)]
pub struct KnownHashes(Mutex<HashMap<PathBuf, Known>>);

#[derive(Clone, Copy, Debug)]
struct Known {
    facts: [u8; 32],
    hash: ContentHash,
}

impl KnownHashes {
    /// The hash of a folder's files at a moment: read anew, unless nothing can have changed since it was read. It
    /// blocks.
    ///
    /// # Errors
    /// As [`content_hash`].
    pub fn of(&self, folder: &Path, now: SystemTime) -> Result<Measured, HashError> {
        // What cannot be looked at is named by whoever reads it.
        let facts = FolderFacts::of(folder, Covered::Code).ok();
        let bytes = facts.as_ref().map_or(0, |facts| facts.bytes);
        let before = facts.map(|facts| (digest(&facts), facts.changed));
        let known = self.known().get(folder).copied();
        if let (Some(known), Some((facts, _))) = (known, before)
            && known.facts == facts
        {
            return Ok(Measured { hash: known.hash, bytes });
        }
        self.known().remove(folder);
        let hash = content_hash(folder)?;
        if let Some((facts, changed)) = before
            && now.duration_since(changed).is_ok_and(|since| since >= SETTLED_AFTER)
            // Whoever wrote while it was read left that in the facts.
            && FolderFacts::of(folder, Covered::Code).is_ok_and(|after| digest(&after) == facts)
        {
            self.known().insert(folder.to_owned(), Known { facts, hash });
        }
        Ok(Measured { hash, bytes })
    }

    /// Forgets all folders but these.
    pub fn retain(&self, folders: &BTreeSet<&Path>) {
        self.known().retain(|folder, _| folders.contains(folder.as_path()));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(facts: &FolderFacts) -> [u8; 32] {
    Sha256::new().chain_update(&facts.root).chain_update(&facts.below).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, FileTimes};

    use super::*;

    fn later() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33)
    }

    #[test]
    fn what_did_not_change_keeps_its_hash_and_what_changed_has_another() {
        let folder = tempfile::tempdir().unwrap();
        let code = folder.path().join("index.js");
        fs::write(&code, "1").unwrap();
        let hashes = KnownHashes::default();
        let of = |now| hashes.of(folder.path(), now).unwrap().hash;
        let first = of(later());
        assert!(hashes.known().contains_key(folder.path()));
        assert_eq!(of(later()), first);

        // As long as before, and with the time of before.
        let time = fs::metadata(&code).unwrap().modified().unwrap();
        fs::write(&code, "2").unwrap();
        File::options()
            .write(true)
            .open(&code)
            .unwrap()
            .set_times(FileTimes::new().set_modified(time))
            .unwrap();
        let second = of(later());
        assert_ne!(second, first);
        assert_eq!(second, content_hash(folder.path()).unwrap());

        fs::create_dir_all(folder.path().join("node_modules/x")).unwrap();
        of(later());
        fs::write(folder.path().join("node_modules/x/index.js"), "1").unwrap();
        assert_eq!(of(later()), second, "what a hash leaves out changes nothing");
        hashes.retain(&BTreeSet::new());
        assert!(hashes.known().is_empty());
    }

    #[test]
    fn what_is_known_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("index.js"), "1").unwrap();
        let hashes = KnownHashes::default();
        let real = hashes.of(folder.path(), later()).unwrap().hash;
        // Only what is remembered can say this.
        let other = ContentHash::from_bytes([7; 32]);
        hashes.known().get_mut(folder.path()).unwrap().hash = other;
        assert_eq!(hashes.of(folder.path(), later()).unwrap().hash, other);
        fs::write(folder.path().join("more.js"), "1").unwrap();
        let read = hashes.of(folder.path(), later()).unwrap().hash;
        assert!(read != other && read != real, "and what changed is read");
    }

    #[test]
    fn what_changed_a_moment_ago_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("index.js"), "1").unwrap();
        let changed = FolderFacts::of(folder.path(), Covered::Code).unwrap().changed;
        let hashes = KnownHashes::default();
        for (now, is_known) in
            [(changed, false), (changed - Duration::from_secs(9), false), (changed + SETTLED_AFTER, true)]
        {
            hashes.of(folder.path(), now).unwrap();
            assert_eq!(hashes.known().contains_key(folder.path()), is_known);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = KnownHashes::default().of(Path::new("/nonexistent/plugin"), later()).unwrap_err();
        assert_eq!(error.to_string(), "failed to read `/nonexistent/plugin`");
    }
}
