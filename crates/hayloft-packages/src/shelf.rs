//! Where versions are kept, beside each other: `<id>/<content hash>/`, each written once and sealed.
//!
//! The seal is what the kernel knows of each file: inode, size, mode, and when its content and its facts changed last.
//! No program can set the last one, so a version that somebody wrote to, as the same user or as root, no longer has
//! its seal, whatever was done to hide it. Comparing costs one look at each file and reads none.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hayloft_model::{ContentHash, PluginId, Problems};
use serde::{Deserialize, Serialize};

use crate::Phase;

/// Where versions are written before they are whole.
const STAGING: &str = ".staging";

/// Where what makes versions start faster is kept, as they are: `<id>/<content hash>/`.
const STARTS: &str = ".starts";

/// The folder of versions. Only the host's user can enter it.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    root: PathBuf,
}

/// A version that is not what was sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not what was installed: it was changed, added or taken away since", at.display())]
pub struct Tampered {
    /// The first file that differs, relative to the version's folder.
    pub at: PathBuf,
}

/// Why the last attempt to make a version came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    pub(crate) phase: Phase,
    pub(crate) problems: Problems,
}

/// A folder for one version that is being made. What is left in it goes with it.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
}

impl Staging {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "failed to remove what an installation left");
        }
    }
}

impl Shelf {
    /// Opens the folder, or makes it. What an earlier run was writing is removed.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let staging = root.join(STAGING);
        remove(&staging)?;
        fs::DirBuilder::new().mode(0o700).create(&staging)?;
        Ok(Self { root: root.canonicalize()? })
    }

    /// A version that is whole.
    #[must_use]
    pub(crate) fn find(&self, plugin: &PluginId, hash: ContentHash) -> Option<PathBuf> {
        let version = self.version(plugin, hash);
        (seal_of(&version).is_file() && version.is_dir()).then_some(version)
    }

    /// Whether a version is what was sealed. Looks at every file of it, so it blocks.
    ///
    /// # Errors
    /// The first file that is not.
    pub(crate) fn verify(&self, plugin: &PluginId, hash: ContentHash) -> Result<(), Tampered> {
        let version = self.version(plugin, hash);
        is_as_sealed(&version)?;
        // What runs in the place of the version's code is as much its code.
        match self.find_start(plugin, hash) {
            Some(start) => is_as_sealed(&start),
            None => Ok(()),
        }
    }

    /// A new folder to write a version in.
    pub(crate) fn stage(&self, name: &str) -> io::Result<Staging> {
        let path = self.root.join(STAGING).join(name);
        remove(&path)?;
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Staging { path })
    }

    /// Puts a folder that is whole in its place and seals it. There is never half of it to be seen.
    pub(crate) fn publish(&self, plugin: &PluginId, hash: ContentHash, whole: &Path) -> io::Result<PathBuf> {
        let version = self.version(plugin, hash);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.plugin(plugin))?;
        // An earlier one without its seal is not whole, and nothing runs from it.
        remove_file(&seal_of(&version))?;
        self.forget_start(plugin, hash)?;
        remove(&version)?;
        close(whole)?;
        fs::rename(whole, &version)?;
        fs::set_permissions(&version, Permissions::from_mode(0o555))?;
        seal(&version)?;
        remove_file(&self.failure_of(plugin, hash))?;
        Ok(version)
    }

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

    /// Takes a version away with all that is known of it. Nothing starts from it once its seal is gone.
    pub(crate) fn remove(&self, plugin: &PluginId, hash: ContentHash) -> io::Result<()> {
        let version = self.version(plugin, hash);
        self.forget_start(plugin, hash)?;
        remove_file(&seal_of(&version))?;
        remove(&version)?;
        remove_file(&self.failure_of(plugin, hash))?;
        remove_file(&self.log_of(plugin, hash))?;
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

    /// Why the last attempt to make this version came to nothing, if it did.
    pub(crate) fn failure(&self, plugin: &PluginId, hash: ContentHash) -> Option<Failure> {
        let text = fs::read(self.failure_of(plugin, hash)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(crate) fn note_failure(
        &self,
        plugin: &PluginId,
        hash: ContentHash,
        failure: &Failure,
    ) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.plugin(plugin))?;
        fs::write(self.failure_of(plugin, hash), serde_json::to_vec(failure)?)
    }

    /// What the programs that made this version wrote, the last time.
    pub(crate) fn log(&self, plugin: &PluginId, hash: ContentHash) -> Option<String> {
        fs::read_to_string(self.log_of(plugin, hash)).ok()
    }

    pub(crate) fn keep_log(&self, plugin: &PluginId, hash: ContentHash, text: &str) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.plugin(plugin))?;
        fs::write(self.log_of(plugin, hash), text)
    }

    /// When a version was sealed.
    pub(crate) fn sealed_at(&self, plugin: &PluginId, hash: ContentHash) -> Option<SystemTime> {
        self.find(plugin, hash)?;
        fs::metadata(seal_of(&self.version(plugin, hash))).ok()?.modified().ok()
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

    fn plugin(&self, plugin: &PluginId) -> PathBuf {
        self.root.join(folder_of(plugin))
    }

    fn version(&self, plugin: &PluginId, hash: ContentHash) -> PathBuf {
        self.plugin(plugin).join(hash.to_string())
    }

    /// Where what makes a version start faster lies.
    fn start(&self, plugin: &PluginId, hash: ContentHash) -> PathBuf {
        self.root.join(STARTS).join(folder_of(plugin)).join(hash.to_string())
    }

    fn failure_of(&self, plugin: &PluginId, hash: ContentHash) -> PathBuf {
        self.version(plugin, hash).with_added_extension("failure")
    }

    fn log_of(&self, plugin: &PluginId, hash: ContentHash) -> PathBuf {
        self.version(plugin, hash).with_added_extension("log")
    }
}

fn seal(folder: &Path) -> io::Result<()> {
    let written = seal_of(folder).with_extension("new");
    fs::write(&written, facts(folder)?)?;
    fs::rename(&written, seal_of(folder))
}

fn is_as_sealed(folder: &Path) -> Result<(), Tampered> {
    let sealed = fs::read_to_string(seal_of(folder)).unwrap_or_default();
    let found = facts(folder).unwrap_or_default();
    if sealed == found && !sealed.is_empty() {
        return Ok(());
    }
    let differing = |one: &str, other: &str| {
        let known: BTreeSet<&str> = other.lines().collect();
        one.lines().find(|line| !known.contains(line)).map(path_of)
    };
    let at = differing(&found, &sealed).or_else(|| differing(&sealed, &found)).unwrap_or_default();
    Err(Tampered { at })
}

/// The name of a plugin's folder.
fn folder_of(plugin: &PluginId) -> String {
    // A scope's `/` would make two folders; no id has a `+`.
    plugin.as_str().replace('/', "+")
}

fn seal_of(version: &Path) -> PathBuf {
    version.with_added_extension("seal")
}

/// What the kernel knows of a folder and all in it, a line for each, by path.
fn facts(root: &Path) -> io::Result<String> {
    let mut lines = Vec::new();
    let mut folders = vec![PathBuf::new()];
    lines.push(line(Path::new("."), &fs::symlink_metadata(root)?));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            let metadata = entry.metadata()?;
            lines.push(line(&name, &metadata));
            if metadata.is_dir() {
                folders.push(name);
            }
        }
    }
    lines.sort_by_cached_key(|line| path_of(line));
    Ok(lines.concat())
}

fn line(name: &Path, facts: &fs::Metadata) -> String {
    let mut line = String::new();
    // A link's number of names and a folder's size are the file system's own business.
    let size = if facts.is_dir() { 0 } else { facts.size() };
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        line,
        "{:o} {} {size} {}.{} {}.{} {}",
        facts.mode(),
        facts.ino(),
        facts.mtime(),
        facts.mtime_nsec(),
        facts.ctime(),
        facts.ctime_nsec(),
        name.display().to_string().escape_debug()
    );
    line
}

fn path_of(line: &str) -> PathBuf {
    line.trim_end().splitn(6, ' ').last().map(PathBuf::from).unwrap_or_default()
}

/// Takes the right to write from everything but the folder itself, which still has to be moved.
fn close(root: &Path) -> io::Result<()> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_symlink() {
                continue;
            }
            let mode = if metadata.is_dir() || metadata.mode() & 0o111 != 0 { 0o555 } else { 0o444 };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
            }
        }
        if folder != root {
            fs::set_permissions(&folder, Permissions::from_mode(0o555))?;
        }
    }
    Ok(())
}

/// Removes a folder of ours with all that is in it, closed or not.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    let mut folders = vec![folder.to_owned()];
    while let Some(open) = folders.pop() {
        fs::set_permissions(&open, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&open)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(folder)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};
    use std::os::unix::fs::symlink;

    use super::*;

    struct Fixture {
        _scratch: tempfile::TempDir,
        shelf: Shelf,
        plugin: PluginId,
        hash: ContentHash,
    }

    impl Fixture {
        fn new() -> Self {
            let scratch = tempfile::tempdir().unwrap();
            let shelf = Shelf::open(&scratch.path().join("packages")).unwrap();
            let plugin = "@scope/orders".parse().unwrap();
            Self { _scratch: scratch, shelf, plugin, hash: ContentHash::from_bytes([7; 32]) }
        }

        fn publish(&self) -> PathBuf {
            let staging = self.shelf.stage("1").unwrap();
            let whole = staging.path().join("whole");
            fs::create_dir_all(whole.join("dist")).unwrap();
            fs::write(whole.join("dist/index.js"), "1").unwrap();
            fs::write(whole.join("package.json"), "{}").unwrap();
            symlink("dist/index.js", whole.join("main.js")).unwrap();
            self.shelf.publish(&self.plugin, self.hash, &whole).unwrap()
        }

        fn verify(&self) -> Result<(), String> {
            self.shelf.verify(&self.plugin, self.hash).map_err(|tampered| tampered.at.display().to_string())
        }
    }

    #[test]
    fn a_version_is_whole_or_not_there() {
        let fixture = Fixture::new();
        let Fixture { shelf, plugin, hash, .. } = &fixture;
        assert_eq!(shelf.find(plugin, *hash), None);
        let version = fixture.publish();
        assert_eq!(shelf.find(plugin, *hash), Some(version.clone()));
        assert_eq!(fixture.verify(), Ok(()));
        let mode = |name: &str| fs::metadata(version.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("."), mode("dist"), mode("package.json")), (0o555, 0o555, 0o444));

        // A host that ended between the folder and its seal has no version, and makes it anew.
        fs::remove_file(seal_of(&version)).unwrap();
        assert_eq!(shelf.find(plugin, *hash), None);
        assert!(fixture.verify().is_err());
        fixture.publish();
        assert_eq!(fixture.verify(), Ok(()));
    }

    #[test]
    fn a_version_that_was_touched_is_no_longer_what_was_sealed() {
        type Act = fn(&Path);
        let acts: [(&str, Act, &str); 7] = [
            ("written to", |root| open(root, "dist/index.js", "2"), "dist/index.js"),
            (
                "written to, with its old time",
                |root| {
                    let path = root.join("dist/index.js");
                    let before = fs::metadata(&path).unwrap().modified().unwrap();
                    open(root, "dist/index.js", "2");
                    let file = File::options().write(true).open(&path).unwrap();
                    file.set_times(FileTimes::new().set_modified(before)).unwrap();
                    drop(file);
                    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
                },
                "dist/index.js",
            ),
            (
                "exchanged for a copy",
                |root| {
                    let path = root.join("package.json");
                    loosen(root);
                    fs::copy(&path, root.join("copy")).unwrap();
                    fs::rename(root.join("copy"), &path).unwrap();
                },
                ".",
            ),
            ("added to", |root| open(root, "dist/more.js", "1"), "dist"),
            (
                "taken from",
                |root| {
                    loosen(root);
                    fs::remove_file(root.join("package.json")).unwrap();
                },
                ".",
            ),
            (
                "given another mode",
                |root| fs::set_permissions(root.join("package.json"), Permissions::from_mode(0o555)).unwrap(),
                "package.json",
            ),
            (
                "given another link",
                |root| {
                    loosen(root);
                    fs::remove_file(root.join("main.js")).unwrap();
                    symlink("package.json", root.join("main.js")).unwrap();
                },
                ".",
            ),
        ];
        for (what, act, at) in acts {
            let fixture = Fixture::new();
            let version = fixture.publish();
            assert_eq!(fixture.verify(), Ok(()), "{what}");
            act(&version);
            assert_eq!(fixture.verify(), Err(at.to_owned()), "{what}");
        }
        // Reading is no change.
        let fixture = Fixture::new();
        let version = fixture.publish();
        assert_eq!(fs::read_to_string(version.join("main.js")).unwrap(), "1");
        assert_eq!(fixture.verify(), Ok(()));
    }

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

    fn loosen(root: &Path) {
        fs::set_permissions(root, Permissions::from_mode(0o755)).unwrap();
    }

    fn open(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        if path.exists() {
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        } else {
            fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(path, text).unwrap();
    }
}
