//! Take away what nobody needs any more.

use std::collections::BTreeSet;
use std::{fs, io};

use hayloft_model::{ContentHash, PluginId};

use super::{STAGING, STARTS, Shelf, Staging, folder_of, remove_file};

/// A version that nobody needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unused {
    pub(crate) plugin: PluginId,
    pub(crate) hash: ContentHash,
    /// Whether it could be started; else only something is known of it, such as why it could not be made.
    pub(crate) is_whole: bool,
}

impl Shelf {
    /// Takes a version away with all that is known of it. Nothing starts from it any more. Gives what it was.
    pub(crate) fn take_away(&self, plugin: &PluginId, hash: ContentHash) -> io::Result<Staging> {
        let aside = self.aside()?;
        self.take_out(plugin, hash, &aside)?;
        remove_file(&self.failure_of(plugin, hash))?;
        remove_file(&self.log_of(plugin, hash))?;
        Ok(aside)
    }

    /// Removes the folders of a plugin that has no version any more.
    pub(crate) fn sweep(&self, plugin: &PluginId) -> io::Result<()> {
        let _folders = self.folders();
        for folder in [self.plugin(plugin), self.root.join(STARTS).join(folder_of(plugin))] {
            match fs::remove_dir(folder) {
                // Other versions are there, or there never was one.
                Err(error)
                    if !matches!(
                        error.kind(),
                        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound
                    ) =>
                {
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The versions that are not used, but for the newest `keep` of each plugin.
    pub(crate) fn unused(
        &self,
        used: &BTreeSet<(PluginId, ContentHash)>,
        keep: usize,
    ) -> io::Result<Vec<Unused>> {
        let mut all = Vec::new();
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
            all.extend(unused.into_iter().skip(keep).map(|(sealed_at, hash)| Unused {
                plugin: plugin.clone(),
                hash,
                is_whole: sealed_at.is_some(),
            }));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};
    use std::time::SystemTime;

    use hayloft_model::Problems;

    use super::super::fixture::Fixture;
    use super::super::seal::seal_of;
    use super::super::{Closed, Failure};
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
            shelf.publish(plugin, hash(number), &Closed::of(whole).unwrap()).unwrap();
            shelf.keep_log(plugin, hash(number), "log").unwrap();
            let seal =
                File::options().write(true).open(seal_of(&shelf.version(plugin, hash(number)))).unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 + u64::from(number));
            seal.set_times(FileTimes::new().set_modified(at)).unwrap();
        }
        let failure = Failure { phase: Phase::Build, problems: Problems::new() };
        shelf.note_failure(plugin, hash(6), &failure).unwrap();
        let used = [(plugin.clone(), hash(1)), (plugin.clone(), hash(3))].into();
        let tidy = |used: &BTreeSet<_>, keep| {
            let unused = shelf.unused(used, keep).unwrap();
            for Unused { plugin, hash, .. } in &unused {
                drop(shelf.take_away(plugin, *hash).unwrap());
            }
            shelf.sweep(plugin).unwrap();
            unused.iter().filter(|unused| unused.is_whole).count()
        };
        let left = |keep| {
            let removed = tidy(&used, keep);
            let found = (1..=5).filter(|number| shelf.find(plugin, hash(*number)).is_some());
            (removed, found.collect::<Vec<_>>())
        };
        assert_eq!(left(1), (2, vec![1, 3, 5]));
        assert_eq!(shelf.failure(plugin, hash(6)), None, "a failure of a folder that is another one now");
        assert_eq!(left(0), (1, vec![1, 3]));
        assert_eq!((shelf.log(plugin, hash(5)), shelf.log(plugin, hash(3))), (None, Some("log".into())));
        assert_eq!(tidy(&BTreeSet::new(), 0), 2);
        assert!(!shelf.plugin(plugin).exists());
    }

    #[test]
    fn what_takes_its_time_is_done_before_and_after_the_version_goes() {
        let fixture = Fixture::new();
        let Fixture { shelf, plugin, hash, .. } = &fixture;
        let version = fixture.publish();
        let staged = || fs::read_dir(shelf.root.join(STAGING)).unwrap().count();
        let taken = shelf.take_away(plugin, *hash).unwrap();
        assert_eq!((shelf.find(plugin, *hash), version.exists()), (None, false), "it is gone");
        assert!(taken.path().join("version/dist/index.js").exists(), "before any of its files is");
        drop(taken);
        assert_eq!(staged(), 0);

        // The same where one takes the place of another.
        fixture.publish();
        let staging = shelf.stage("2").unwrap();
        let whole = staging.path().join("whole");
        fs::create_dir(&whole).unwrap();
        fs::write(whole.join("new"), "1").unwrap();
        let closed = Closed::of(whole).unwrap();
        assert!(version.join("package.json").exists(), "what is closed changes nothing yet");
        let before = shelf.publish(plugin, *hash, &closed).unwrap();
        assert!(version.join("new").exists() && before.path().join("version/package.json").exists());
        assert_eq!(fixture.verify(), Ok(()));
        drop((before, staging));
        assert_eq!((fixture.verify(), staged()), (Ok(()), 0));
    }

    #[test]
    fn what_a_version_takes_is_known_from_its_seal() {
        let fixture = Fixture::new();
        let Fixture { shelf, plugin, hash, .. } = &fixture;
        assert_eq!(shelf.bytes(plugin, *hash), None);
        fixture.publish();
        // The folder and another one, two files and a link.
        assert_eq!(shelf.bytes(plugin, *hash), Some(5 * 4096));
        let staging = shelf.stage("2").unwrap();
        let made = staging.path().join("start");
        fs::create_dir(&made).unwrap();
        shelf.keep_start(plugin, *hash, &Closed::of(made).unwrap()).unwrap();
        assert_eq!(shelf.bytes(plugin, *hash), Some(6 * 4096));
    }
}
