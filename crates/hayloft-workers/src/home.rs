//! The folder that a worker may write to, from its making to its removal.
//!
//! The plugin decides what is in it: links, names of any bytes, folders without rights, folders nested deeper than a
//! path is long or a stack is. So what is removed here is never spelled by a path, and never followed down.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hayloft_model::WorkerId;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::path::Arg;

use crate::http::by_descriptor;

/// A worker's own folder. It goes with the worker.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
}

impl Home {
    pub(crate) fn make(scratch: &Path, worker: WorkerId) -> io::Result<Self> {
        let path = scratch.join(worker.to_string());
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes the folder, which is large when the worker wrote much.
    pub(crate) async fn remove(self) {
        // Dropping it does the work, off the threads that others wait for.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        match remove(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => warn(&self.path, &error),
            _ => {}
        }
    }
}

fn warn(path: &Path, error: &io::Error) {
    tracing::warn!(path = %path.display(), %error, "failed to remove a worker's folder");
}

/// Empties the folder of all homes: what is in it belongs to workers of an earlier host. What cannot be removed is
/// logged and left.
///
/// # Errors
/// When the folder itself cannot be read.
pub(crate) fn clear(scratch: &Path) -> io::Result<()> {
    for entry in fs::read_dir(scratch)? {
        let entry = entry?;
        let path = entry.path();
        let removed = entry
            .file_type()
            .and_then(|kind| if kind.is_dir() { remove(&path) } else { fs::remove_file(&path) });
        if let Err(error) = removed {
            warn(&path, &error);
        }
    }
    Ok(())
}

/// Deletes a folder whatever its owner did to what is in it. No process of the owner lives any more.
fn remove(folder: &Path) -> io::Result<()> {
    let mut removal = Removal { top: enter(CWD, folder)?, changes: 0, names: 0 };
    while removal.pass()? {}
    fs::remove_dir(folder)
}

/// The removal of a folder's contents. It neither recurses nor goes down: folders in the top one give all that is in
/// them to the top one and are removed, until nothing is left.
struct Removal {
    top: OwnedFd,
    /// How often something was removed or came nearer to it. There is an end to both.
    changes: u64,
    /// How many fresh names were tried.
    names: u64,
}

impl Removal {
    /// Takes every entry of the top folder once. Whether there may be more.
    fn pass(&mut self) -> io::Result<bool> {
        let before = self.changes;
        let mut failed = None;
        for entry in list(&self.top)? {
            if let Err(error) = entry.and_then(|entry| self.take_away(&entry)) {
                failed = Some(error);
            }
        }
        match failed {
            // Something else may have been in the way.
            _ if self.changes > before => Ok(true),
            Some(error) => Err(error),
            None => Ok(false),
        }
    }

    /// Removes an entry of the top folder, with one level of what is in it.
    fn take_away(&mut self, entry: &fs::DirEntry) -> io::Result<()> {
        let name = entry.file_name();
        if !entry.file_type()?.is_dir() {
            return self.unlink(None, &name, AtFlags::empty());
        }
        if self.unlink(None, &name, AtFlags::REMOVEDIR).is_ok() {
            return Ok(());
        }
        let folder = enter(&self.top, &name)?;
        let mut failed = None;
        for child in list(&folder)? {
            if let Err(error) = child.and_then(|child| self.empty_out(&folder, &child)) {
                failed = Some(error);
            }
        }
        // Why a child stays says more than that the folder is not empty.
        self.unlink(None, &name, AtFlags::REMOVEDIR).map_err(|error| failed.unwrap_or(error))
    }

    /// Removes an entry of a folder, or moves it up into the top one.
    fn empty_out(&mut self, folder: &OwnedFd, child: &fs::DirEntry) -> io::Result<()> {
        let name = child.file_name();
        if !child.file_type()?.is_dir() {
            return self.unlink(Some(folder), &name, AtFlags::empty());
        }
        if self.unlink(Some(folder), &name, AtFlags::REMOVEDIR).is_ok() {
            return Ok(());
        }
        let fresh = self.fresh_name();
        let move_up = || rustix::fs::renameat(folder, &name, &self.top, &fresh);
        if move_up().is_err() {
            // Only who may write to a folder may give it another parent.
            enter(folder, &name)?;
            move_up()?;
        }
        self.changes += 1;
        Ok(())
    }

    fn unlink(&mut self, folder: Option<&OwnedFd>, name: &OsStr, flags: AtFlags) -> io::Result<()> {
        rustix::fs::unlinkat(folder.unwrap_or(&self.top), name, flags)?;
        self.changes += 1;
        Ok(())
    }

    /// A name that nothing in the top folder has.
    fn fresh_name(&mut self) -> OsString {
        loop {
            self.names += 1;
            let name = OsString::from(format!("{:x}", self.names));
            if rustix::fs::statat(&self.top, &name, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                return name;
            }
        }
    }
}

/// Opens a folder that is no link, and gives its owner all rights to it.
fn enter(parent: impl AsFd, name: impl Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    fs::set_permissions(by_descriptor(&folder), fs::Permissions::from_mode(0o700))?;
    Ok(folder)
}

fn list(folder: &OwnedFd) -> io::Result<fs::ReadDir> {
    fs::read_dir(by_descriptor(folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder for homes with one home in it, which a test fills.
    fn home() -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let home = scratch.path().join("home");
        fs::create_dir(&home).unwrap();
        (scratch, home)
    }

    /// Makes folders within each other, with something beside each.
    fn nest(folder: &Path, levels: u32, mode: u32) {
        let open = |parent: &OwnedFd, name: &str| {
            rustix::fs::openat(parent, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
        };
        let mut at = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        for level in 0..levels {
            rustix::fs::mkdirat(&at, "1", Mode::RWXU).unwrap();
            if level % 1000 == 0 {
                rustix::fs::symlinkat("/", &at, "link").unwrap();
                rustix::fs::mkdirat(&at, "empty", Mode::empty()).unwrap();
            }
            let inner = open(&at, "1");
            fs::set_permissions(by_descriptor(&at), fs::Permissions::from_mode(mode)).unwrap();
            at = inner;
        }
    }

    fn is_gone(home: &Path) -> bool {
        fs::symlink_metadata(home).is_err()
    }

    #[test]
    fn folders_nested_deeper_than_any_stack_or_path_are_removed() {
        // In memory if possible: disks take their time over so many folders.
        let memory = Path::new("/dev/shm");
        let scratch =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let home = scratch.path().join("home");
        fs::create_dir(&home).unwrap();
        nest(&home, 60_000, 0o700);
        // A test's own stack is small, as are those of the threads that remove homes.
        clear(scratch.path()).unwrap();
        assert!(is_gone(&home));
    }

    #[test]
    fn folders_that_are_closed_to_their_owner_are_removed() {
        let (_scratch, home) = home();
        nest(&home, 20, 0);
        remove(&home).unwrap();
        assert!(is_gone(&home));
    }

    #[test]
    fn what_links_point_to_is_untouched() {
        let (scratch, home) = home();
        let outside = scratch.path().join("outside");
        fs::create_dir_all(outside.join("inner")).unwrap();
        fs::write(outside.join("inner/file"), "precious").unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o750)).unwrap();
        fs::create_dir_all(home.join("a/b")).unwrap();
        for link in ["link", "a/link", "a/b/link"] {
            symlink(&outside, home.join(link)).unwrap();
        }
        remove(&home).unwrap();
        assert!(is_gone(&home));
        assert_eq!(fs::read_to_string(outside.join("inner/file")).unwrap(), "precious");
        assert_eq!(fs::metadata(&outside).unwrap().permissions().mode() & 0o777, 0o750);

        // A link in the place of a home is no home.
        symlink(&outside, &home).unwrap();
        assert!(remove(&home).is_err());
        clear(scratch.path()).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "all that is no folder goes, too");
    }

    #[test]
    fn wide_trees_are_removed_whatever_their_names_are() {
        let (_scratch, home) = home();
        for name in 0..300 {
            // Names that the removal would take for itself.
            let folder = home.join(format!("{name:x}"));
            fs::create_dir_all(folder.join("inner/most")).unwrap();
            for file in 0..20 {
                fs::write(folder.join(format!("inner/{file:x}")), "").unwrap();
                fs::write(folder.join(format!("{file}\n")), "").unwrap();
            }
        }
        remove(&home).unwrap();
        assert!(is_gone(&home));
    }

    #[test]
    fn a_folder_that_is_not_there_is_said() {
        let (_scratch, home) = home();
        assert_eq!(remove(&home.join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
