//! Take away what nobody needs any more.

use std::collections::BTreeSet;
use std::{fs, io};

use hayloft_model::{ContentHash, PluginId};

use super::seal::seal_of;
use super::{STAGING, STARTS, Shelf, folder_of, remove, remove_file};

impl Shelf {
    /// Takes a version away with all that is known of it. Nothing starts from it once its seal is gone.
    pub(crate) fn remove(&self, plugin: &PluginId, hash: ContentHash) -> io::Result<()> {
        self.take_away(plugin, hash)?;
        match fs::remove_dir(self.plugin(plugin)) {
            // Other versions are there, or there never was one.
            Err(error)
                if !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Removes versions that are not used, with all that lies beside them, but for the newest `keep` of each plugin.
    /// Gives how many versions.
    pub(crate) fn tidy(&self, used: &BTreeSet<(PluginId, ContentHash)>, keep: usize) -> io::Result<usize> {
        let mut removed = 0;
        for folder in fs::read_dir(&self.root)? {
            let folder = folder?;
            let name = folder.file_name();
            let plugin = name.to_str().and_then(|name| name.replace('+', "/").parse::<PluginId>().ok());
            let Some(plugin) = plugin.filter(|_| name != STAGING && name != STARTS) else { continue };
            let mut hashes = BTreeSet::new();
            for entry in fs::read_dir(folder.path())? {
                let name = entry?.file_name();
                let hash = name.to_str().and_then(|name| name.split('.').next()?.parse::<ContentHash>().ok());
                hashes.extend(hash);
            }
            let mut unused: Vec<_> = hashes
                .into_iter()
                .filter(|hash| !used.contains(&(plugin.clone(), *hash)))
                .map(|hash| (self.sealed_at(&plugin, hash), hash))
                .collect();
            unused.sort_by(|one, other| other.cmp(one));
            for (sealed_at, hash) in unused.into_iter().skip(keep) {
                self.take_away(&plugin, hash)?;
                removed += usize::from(sealed_at.is_some());
            }
            // Not empty, as a rule.
            let _ = fs::remove_dir(folder.path());
            let _ = fs::remove_dir(self.root.join(STARTS).join(folder_of(&plugin)));
        }
        Ok(removed)
    }

    fn take_away(&self, plugin: &PluginId, hash: ContentHash) -> io::Result<()> {
        let version = self.version(plugin, hash);
        // Without its seal it is no version, so whatever happens after that leaves none that is not whole.
        remove_file(&seal_of(&version))?;
        self.forget_start(plugin, hash)?;
        remove(&version)?;
        remove_file(&self.failure_of(plugin, hash))?;
        remove_file(&self.log_of(plugin, hash))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};
    use std::time::SystemTime;

    use hayloft_model::Problems;

    use super::super::Failure;
    use super::super::fixture::Fixture;
    use super::*;
    use crate::Phase;

    #[test]
    fn versions_that_nobody_needs_go_the_oldest_first() {
        let fixture = Fixture::new();
        let Fixture { shelf, plugin, .. } = &fixture;
        let hash = |number: u8| ContentHash::from_bytes([number; 32]);
        for number in 1..=5 {
            let staging = shelf.stage("1").unwrap();
            let whole = staging.path().join("whole");
            fs::create_dir_all(&whole).unwrap();
            shelf.publish(plugin, hash(number), &whole).unwrap();
            shelf.keep_log(plugin, hash(number), "log").unwrap();
            let seal =
                File::options().write(true).open(seal_of(&shelf.version(plugin, hash(number)))).unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 + u64::from(number));
            seal.set_times(FileTimes::new().set_modified(at)).unwrap();
        }
        let failure = Failure { phase: Phase::Build, problems: Problems::new() };
        shelf.note_failure(plugin, hash(6), &failure).unwrap();
        let used = [(plugin.clone(), hash(1)), (plugin.clone(), hash(3))].into();
        let left = |keep| {
            let removed = shelf.tidy(&used, keep).unwrap();
            let found = (1..=5).filter(|number| shelf.find(plugin, hash(*number)).is_some());
            (removed, found.collect::<Vec<_>>())
        };
        assert_eq!(left(1), (2, vec![1, 3, 5]));
        assert_eq!(shelf.failure(plugin, hash(6)), None, "a failure of a folder that is another one now");
        assert_eq!(left(0), (1, vec![1, 3]));
        assert_eq!((shelf.log(plugin, hash(5)), shelf.log(plugin, hash(3))), (None, Some("log".into())));
        assert_eq!(shelf.tidy(&BTreeSet::new(), 0).unwrap(), 2);
        assert!(!shelf.plugin(plugin).exists());
    }
}
