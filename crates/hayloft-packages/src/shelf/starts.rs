//! What makes versions start faster, each beside its version and sealed like it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hayloft_model::{ContentHash, PluginId};

use super::seal::{close, seal, seal_of};
use super::{STARTS, Shelf, folder_of, remove, remove_file};

impl Shelf {
    /// Puts what makes a version start faster beside it and seals it, in the place of what was there.
    pub(crate) fn keep_start(&self, plugin: &PluginId, hash: ContentHash, made: &Path) -> io::Result<()> {
        let start = self.start(plugin, hash);
        self.forget_start(plugin, hash)?;
        let above = start.parent().unwrap_or(&self.root);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(above)?;
        close(made)?;
        fs::rename(made, &start)?;
        fs::set_permissions(&start, Permissions::from_mode(0o555))?;
        seal(&start)
    }

    /// What makes a version start faster, if that is there and whole.
    pub(crate) fn find_start(&self, plugin: &PluginId, hash: ContentHash) -> Option<PathBuf> {
        let start = self.start(plugin, hash);
        (seal_of(&start).is_file() && start.is_dir()).then_some(start)
    }

    /// Removes what makes a version start faster.
    pub(crate) fn forget_start(&self, plugin: &PluginId, hash: ContentHash) -> io::Result<()> {
        let start = self.start(plugin, hash);
        // Without its seal it is nothing, so that goes first.
        remove_file(&seal_of(&start))?;
        remove(&start)
    }

    /// Where what makes a version start faster lies.
    fn start(&self, plugin: &PluginId, hash: ContentHash) -> PathBuf {
        self.root.join(STARTS).join(folder_of(plugin)).join(hash.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::fixture::{Fixture, open};

    #[test]
    fn what_starts_fast_is_sealed_with_its_version() {
        let fixture = Fixture::new();
        let Fixture { shelf, plugin, hash, .. } = &fixture;
        fixture.publish();
        let keep = |text: &str| {
            let staging = shelf.stage("2").unwrap();
            let made = staging.path().join("start");
            fs::create_dir(&made).unwrap();
            fs::write(made.join("code"), text).unwrap();
            shelf.keep_start(plugin, *hash, &made).unwrap();
            shelf.find_start(plugin, *hash).unwrap()
        };
        keep("1");
        let start = keep("2");
        assert_eq!(fs::read_to_string(start.join("code")).unwrap(), "2");
        assert_eq!(fixture.verify(), Ok(()));
        open(&start, "code", "3");
        assert_eq!(fixture.verify(), Err(String::from("code")), "what Node compiled is code");
        // Made anew, the version has none until somebody finds out.
        fixture.publish();
        assert_eq!((fixture.verify(), shelf.find_start(plugin, *hash)), (Ok(()), None));
    }
}
