//! Remembering from which sources something was built, so that nothing is built twice.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// Folders that hold no sources.
const NO_SOURCES: [&str; 4] = ["node_modules", "dist", ".git", "target"];

/// The state of the sources of one thing.
#[derive(Debug)]
pub(crate) struct Stamp {
    file: PathBuf,
    now: String,
}

impl Stamp {
    /// The present state of files and folders, to be kept in `file`. A path that is not there counts as empty.
    pub(crate) fn of(file: PathBuf, sources: &[PathBuf]) -> Result<Self> {
        let mut hash = Sha256::new();
        for source in sources {
            add(source, &mut hash).with_context(|| format!("failed to read `{}`", source.display()))?;
        }
        Ok(Self { file, now: hex::encode(hash.finalize()) })
    }

    /// Whether the thing was built from just these sources.
    pub(crate) fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|kept| kept == self.now)
    }

    /// Remembers that it is built.
    pub(crate) fn keep(&self) -> Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder).with_context(|| format!("failed to make `{}`", folder.display()))?;
        }
        fs::write(&self.file, &self.now).with_context(|| format!("failed to write `{}`", self.file.display()))
    }
}

fn add(path: &Path, hash: &mut Sha256) -> std::io::Result<()> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    if metadata.is_dir() {
        let mut entries: Vec<_> =
            fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        entries.sort();
        let is_source = |entry: &&PathBuf| !NO_SOURCES.iter().any(|name| entry.ends_with(name));
        entries.iter().filter(is_source).try_for_each(|entry| add(entry, hash))
    } else if metadata.is_file() && path.extension().is_none_or(|extension| extension != "tsbuildinfo") {
        let bytes = fs::read(path)?;
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(&bytes);
        Ok(())
    } else {
        Ok(())
    }
}
