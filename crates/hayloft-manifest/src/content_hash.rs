//! Which code a folder holds, whatever it calls itself.
//!
//! The hash covers, in the order of their paths, every regular file (path, executable bit, bytes) and every symbolic
//! link (path, target text; never followed). `node_modules` and `.git` are left out: the lockfile stands for the
//! first, and the second is not code. Empty folders, sockets, pipes and devices hold no code and do not count.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hayloft_model::ContentHash;
use sha2::{Digest as _, Sha256};

/// Most files that a plugin's folder may hold. A folder with more is not a plugin, but somebody's disk.
pub(crate) const MOST_FILES: usize = 200_000;

/// Names of folders that hold no code of the plugin's own.
pub(crate) const LEFT_OUT: [&str; 2] = ["node_modules", ".git"];

/// Why a folder has no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Something in it cannot be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// What cannot be read.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds far more files than any plugin.
    #[error("`{}` holds more than {MOST_FILES} files", path.display())]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
    },
}

enum Kind {
    File { executable: bool },
    Link { target: PathBuf },
}

/// The hash of a folder's files.
///
/// # Errors
/// If anything in the folder cannot be read, or there is far too much of it: half a hash would be none.
pub fn content_hash(folder: &Path) -> Result<ContentHash, HashError> {
    let mut files = Vec::new();
    walk(folder, &mut files)?;
    // By the bytes of the whole path, so that the order does not depend on the file system or the locale.
    files.sort_by(|(left, _), (right, _)| left.as_os_str().as_bytes().cmp(right.as_os_str().as_bytes()));
    let mut hash = Sha256::new();
    hash.update(b"hayloft content hash 1\0");
    let mut buffer = vec![0; 64 * 1024];
    for (path, kind) in files {
        let name = path.as_os_str().as_bytes();
        // Lengths stand before the parts, so that no two different folders feed the same bytes.
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
        match kind {
            Kind::Link { target } => {
                let target = target.as_os_str().as_bytes();
                hash.update(b"l");
                hash.update((target.len() as u64).to_be_bytes());
                hash.update(target);
            }
            Kind::File { executable } => {
                hash.update(if executable { b"x" } else { b"f" });
                hash.update(file_hash(&folder.join(&path), &mut buffer)?);
            }
        }
    }
    Ok(ContentHash::from_bytes(hash.finalize().into()))
}

/// The hash of one file's bytes, read piece by piece.
fn file_hash(path: &Path, buffer: &mut [u8]) -> Result<[u8; 32], HashError> {
    let failed = |source| HashError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    loop {
        match file.read(buffer).map_err(failed)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

fn walk(root: &Path, files: &mut Vec<(PathBuf, Kind)>) -> Result<(), HashError> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = if folder.as_os_str().is_empty() { root.to_owned() } else { root.join(&folder) };
        let failed = |source| HashError::Read { path: path.clone(), source };
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let relative = folder.join(entry.file_name());
            let failed = |source| HashError::Read { path: entry.path(), source };
            let metadata = entry.metadata().map_err(failed)?;
            if metadata.is_symlink() {
                files.push((relative, Kind::Link { target: fs::read_link(entry.path()).map_err(failed)? }));
            } else if metadata.is_dir() {
                if !LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
                    folders.push(relative);
                }
            } else if metadata.is_file() {
                let executable = metadata.permissions().mode() & 0o111 != 0;
                files.push((relative, Kind::File { executable }));
            }
            if files.len() > MOST_FILES {
                return Err(HashError::TooManyFiles { path: root.to_owned() });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_hash_follows_the_code_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("package.json", "{}");
        write("dist/index.js", "1");
        let hash = || content_hash(root).unwrap();
        let first = hash();

        write("node_modules/x/index.js", "1");
        write("mcp/node_modules/x/index.js", "1");
        write(".git/HEAD", "1");
        fs::create_dir(root.join("empty")).unwrap();
        File::open(root.join("package.json")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(hash(), first, "what is no code of its own does not count");

        write("dist/index.js", "2");
        assert_ne!(hash(), first, "bytes count");
        write("dist/index.js", "1");
        assert_eq!(hash(), first);
        fs::set_permissions(root.join("dist/index.js"), Permissions::from_mode(0o755)).unwrap();
        assert_ne!(hash(), first, "the executable bit counts");
        fs::set_permissions(root.join("dist/index.js"), Permissions::from_mode(0o644)).unwrap();
        fs::rename(root.join("dist"), root.join("lib")).unwrap();
        assert_ne!(hash(), first, "paths count");
        fs::rename(root.join("lib"), root.join("dist")).unwrap();
        assert_eq!(hash(), first);

        symlink("/etc/passwd", root.join("link")).unwrap();
        let linked = hash();
        assert_ne!(linked, first, "links count");
        fs::remove_file(root.join("link")).unwrap();
        symlink("/etc/shadow", root.join("link")).unwrap();
        assert_ne!(hash(), linked, "by their target's text, without following it");
        fs::remove_file(root.join("link")).unwrap();

        std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        assert_eq!(hash(), first, "sockets do not count");
    }

    #[test]
    fn moving_bytes_between_name_and_content_changes_the_hash() {
        let one = tempfile::tempdir().unwrap();
        fs::write(one.path().join("ab"), "c").unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("a"), "bc").unwrap();
        assert_ne!(content_hash(one.path()).unwrap(), content_hash(other.path()).unwrap());
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = content_hash(Path::new("/nonexistent/plugin")).unwrap_err();
        assert_eq!(error.to_string(), "failed to read `/nonexistent/plugin`");
    }
}
