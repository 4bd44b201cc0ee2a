//! The data folder: who may use it, and where things are in it.
//!
//! One process at a time: the holder of the lock on the file `lock`. The kernel gives the lock back when that process
//! ends, however it ends, so nothing has to be cleaned up by hand.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";

/// The data folder while this process has it for itself. Dropping it gives the folder back.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("failed to lock the data folder `{}`: {}", path.display(), holder(*pid))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process that has it, if it wrote its id already.
        pid: Option<u32>,
    },
    /// Anybody may write into it, and it is not a folder of ours.
    #[error("failed to use the data folder `{}`: its mode is {mode:03o}, so others may write into it", path.display())]
    TooOpen {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The system refused.
    #[error("failed to {doing} `{}`", path.display())]
    System {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || String::from("another process is using it"),
        |pid| format!("the process {pid} is using it"),
    )
}

impl DataDirError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::InUse { .. } => {
                Some("stop that process, talk to it with `--url`, or use another `--data-dir`")
            }
            Self::TooOpen { .. } => Some("name a folder that Hayloft has for itself"),
            Self::System { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some("let Hayloft's user write there, or name another folder with `--data-dir`")
                }
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    Some("a file is in the way: name another folder with `--data-dir`")
                }
                _ => None,
            },
        }
    }
}

impl DataDir {
    /// Makes the folder if it is missing, closes it to other users, and takes it for this process.
    ///
    /// # Errors
    /// When another process has it or the system does not let us.
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        let system = |doing| {
            let path = path.to_owned();
            move |source| DataDirError::System { doing, path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(system("make the data folder"))?;
        let path = &fs::canonicalize(path).map_err(system("find the data folder"))?;
        close_to_others(path)?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(system("open the lock of the data folder"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The pid is a courtesy; without it the message is only less exact.
                let _ = lock.read_to_string(&mut text);
                return Err(DataDirError::InUse { path: path.clone(), pid: text.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(system("lock the data folder")(source)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(system("write the lock of the data folder"))?;
        Ok(Self { path: path.clone(), _lock: lock })
    }

    /// The folder's absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the master key lives.
    #[must_use]
    pub fn master_key(&self) -> PathBuf {
        self.path.join("master-key")
    }

    /// The embedded database's file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path.join("hayloft.db")
    }

    /// Where the journal's segments lie.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }
}

/// A folder that is empty or that carries our lock is ours to close. Any other may be somebody's home, whose mode is
/// not ours to change: everything secret inside is closed on its own.
fn close_to_others(path: &Path) -> Result<(), DataDirError> {
    let system = |doing| move |source| DataDirError::System { doing, path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(system("look at the data folder"))?.permissions().mode() & 0o1777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let ours = path.join(LOCK).exists()
        || fs::read_dir(path).map_err(system("look into the data folder"))?.next().is_none();
    if ours {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(system("close the data folder to others"))
    } else if mode & 0o022 != 0 {
        Err(DataDirError::TooOpen { path: path.to_owned(), mode: mode & 0o777 })
    } else {
        tracing::warn!(path = %path.display(), "other users may look into the data folder");
        Ok(())
    }
}
