//! What makes versions start faster, each beside its version and sealed like it.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use hayloft_model::{ContentHash, PluginId};

use super::seal::{Closed, seal_of, take_out};
use super::{STARTS, Shelf, Staging, folder_of};

impl Shelf {
    /// Puts what makes a version start faster beside it. Gives what was there before.
    pub(crate) fn keep_start(
        &self,
        plugin: &PluginId,
        hash: ContentHash,
        made: &Closed,
    ) -> io::Result<Staging> {
        let (start, aside) = (self.start(plugin, hash), self.aside()?);
        take_out(&start, &aside.path().join("start"))?;
        let _folders = self.folders();
        let above = start.parent().unwrap_or(&self.root);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(above)?;
        made.put(&start)?;
        Ok(aside)
    }

    /// What makes a version start faster, if that is there and whole.
    pub(crate) fn find_start(&self, plugin: &PluginId, hash: ContentHash) -> Option<PathBuf> {
        let start = self.start(plugin, hash);
        (seal_of(&start).is_file() && start.is_dir()).then_some(start)
    }

    /// Where what makes a version start faster lies.
    pub(super) fn start(&self, plugin: &PluginId, hash: ContentHash) -> PathBuf {
        self.root.join(STARTS).join(folder_of(plugin)).join(hash.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::fixture::{Fixture, open};
    use super::Closed;

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
            let made = Closed::of(made).unwrap();
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
