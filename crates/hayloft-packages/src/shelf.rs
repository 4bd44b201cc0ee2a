//! Where versions are kept, beside each other: `<id>/<content hash>/`, each written once and sealed.
//!
//! However large a version is, it comes and goes in a few steps: what takes its time is done before, in a folder that
//! nobody else knows, and after, with what was moved aside. Whoever calls sees to it that nobody else looks at the same
//! version meanwhile.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use hayloft_model::{ContentHash, PluginId};

use self::seal::{is_as_sealed, seal_of, sealed_bytes, take_out};

#[cfg(test)]
mod fixture;
mod notes;
mod seal;
mod starts;
mod tidy;

pub(crate) use self::notes::Failure;
pub(crate) use self::seal::Closed;
pub use self::seal::Tampered;
pub(crate) use self::tidy::Unused;

/// Where versions are written before they are whole.
const STAGING: &str = ".staging";

/// Where what makes versions start faster is kept, as they are: `<id>/<content hash>/`.
const STARTS: &str = ".starts";

/// The folder of versions. Only the host's user can enter it.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    root: PathBuf,
    /// Whoever makes a plugin's own folder, to put something into it, and whoever removes it because it is empty.
    folders: Arc<Mutex<()>>,
    /// Counts what was moved aside.
    aside: Arc<AtomicU64>,
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
        Ok(Self { root: root.canonicalize()?, folders: Arc::default(), aside: Arc::default() })
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

    /// A new folder for what is moved out of the way. It goes when that is dropped, which takes as long as there is much.
    fn aside(&self) -> io::Result<Staging> {
        self.stage(&format!("old-{}", self.aside.fetch_add(1, Ordering::Relaxed)))
    }

    /// Puts a folder that is whole in its place. There is never half of it to be seen. Gives what was there before.
    pub(crate) fn publish(
        &self,
        plugin: &PluginId,
        hash: ContentHash,
        whole: &Closed,
    ) -> io::Result<Staging> {
        let (version, aside) = (self.version(plugin, hash), self.aside()?);
        // An earlier one without its seal is not whole, and nothing runs from it.
        self.take_out(plugin, hash, &aside)?;
        let _folders = self.folders();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.plugin(plugin))?;
        whole.put(&version)?;
        remove_file(&self.failure_of(plugin, hash))?;
        Ok(aside)
    }

    /// Moves a version and what makes it start faster out of the way.
    fn take_out(&self, plugin: &PluginId, hash: ContentHash, aside: &Staging) -> io::Result<()> {
        take_out(&self.version(plugin, hash), &aside.path.join("version"))?;
        take_out(&self.start(plugin, hash), &aside.path.join("start"))
    }

    fn folders(&self) -> MutexGuard<'_, ()> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a version takes on the disk, with what makes it start faster, in bytes; nothing, where there is none. Reads
    /// what was written down when it was made.
    pub(crate) fn bytes(&self, plugin: &PluginId, hash: ContentHash) -> Option<u64> {
        let version = sealed_bytes(&self.find(plugin, hash)?)?;
        Some(
            version
                + self.find_start(plugin, hash).and_then(|start| sealed_bytes(&start)).unwrap_or_default(),
        )
    }

    /// When a version was sealed.
    pub(crate) fn sealed_at(&self, plugin: &PluginId, hash: ContentHash) -> Option<SystemTime> {
        self.find(plugin, hash)?;
        fs::metadata(seal_of(&self.version(plugin, hash))).ok()?.modified().ok()
    }

    fn plugin(&self, plugin: &PluginId) -> PathBuf {
        self.root.join(folder_of(plugin))
    }

    fn version(&self, plugin: &PluginId, hash: ContentHash) -> PathBuf {
        self.plugin(plugin).join(hash.to_string())
    }
}

/// The name of a plugin's folder.
fn folder_of(plugin: &PluginId) -> String {
    // A scope's `/` would make two folders; no id has a `+`.
    plugin.as_str().replace('/', "+")
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

    use super::fixture::{Fixture, loosen, open};
    use super::*;

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
}
