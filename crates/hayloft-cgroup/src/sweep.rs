//! Groups of hosts that are gone and will not come back: those of a data folder that was removed, or of a host that was killed
//! and is not started again.
//!
//! Only what is empty goes, in folders that are named as those of a host and that no living host has locked. The kernel
//! removes no group in which there is a process.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::folders::{children, lock_if_free};
use crate::place::HOST;
use crate::{Folders, Groups, MEMORY, folders_of, is_name, names};

/// What the names of owners' folders begin with.
const PREFIX: &[u8] = b"hayloft-";

impl Groups {
    /// Removes the empty groups of other owners that are gone. Gives how many owners that were.
    pub fn sweep_gone(&self) -> usize {
        let beside = self.folders[MEMORY].parent().map(children).unwrap_or_default();
        let names = beside.iter().filter_map(|folder| folder.file_name()).filter(|name| self.is_other(name));
        names.filter(|name| self.remove_gone(name)).count()
    }

    /// Whether a folder is named as that of another owner.
    fn is_other(&self, name: &OsStr) -> bool {
        let owner = name.as_bytes().strip_prefix(PREFIX).and_then(|owner| std::str::from_utf8(owner).ok());
        let is_own = self.folders[MEMORY].file_name() == Some(name);
        name != HOST && !is_own && owner.is_some_and(is_name)
    }

    fn remove_gone(&self, name: &OsStr) -> bool {
        let folders: Folders = self.folders.each_ref().map(|folder| folder.with_file_name(name));
        // Held until all of them are removed: whoever starts under this name meanwhile waits, and makes them anew.
        let Some(_lock) = lock_if_free(&folders[MEMORY]) else { return false };
        let groups = names(&folders).into_iter().map(|group| folders_of(self.layout, &folders, &group));
        let all: Vec<Folders> = groups.collect();
        // The folder that is locked goes last.
        all.iter()
            .flat_map(|group| group.iter().rev())
            .chain(folders.iter().rev())
            .all(|folder| remove_empty(folder))
    }
}

/// Removes a group without processes and groups. Gives whether it is not there any more.
fn remove_empty(folder: &Path) -> bool {
    match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}
