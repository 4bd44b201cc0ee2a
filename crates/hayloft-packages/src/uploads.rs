//! Packages that organizations upload: received, unpacked, and put where their plugins are found.
//!
//! What is unpacked is what is checked, and what was checked is what is put in its place: whole, and in one step.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hayloft_model::{OrganizationId, PluginId, Problem, Problems};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use tempfile::{NamedTempFile, TempDir};

use crate::Room;
use crate::archive::{self, ArchiveError};
use crate::error::Fault;

/// The folder in which each organization has a folder of its own.
const CUSTOM: &str = "custom";

/// Folders that are no part of a package, wherever they are: dependencies are fetched anew, and history runs nothing.
const LEFT_OUT: [&str; 2] = ["node_modules", ".git"];

/// The folders of uploaded packages.
#[derive(Clone, Debug)]
pub struct Uploads {
    folder: PathBuf,
    staging: PathBuf,
    room: Room,
}

/// An archive that was unpacked. What is left of it goes with it.
#[derive(Debug)]
pub struct Unpacked {
    staging: TempDir,
    root: PathBuf,
    /// What was left out of it, as warnings.
    pub problems: Problems,
}

impl Unpacked {
    /// The package's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Uploads {
    /// Opens the folders, or makes them; the two must be on one file system. What an earlier run left unfinished is
    /// removed.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(folder: PathBuf, staging: PathBuf, room: Room) -> io::Result<Self> {
        let make = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        match fs::remove_dir_all(&staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => make(&staging)?,
        }
        make(&folder)?;
        Ok(Self { folder: folder.canonicalize()?, staging: staging.canonicalize()?, room })
    }

    /// The folder to find the packages in, as in any folder of plugins.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A new file for an archive that arrives.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn receive(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix("archive-").tempfile_in(&self.staging)
    }

    /// Unpacks an archive. It blocks.
    ///
    /// # Errors
    /// When it is refused. Nothing is left of it then.
    pub fn unpack(&self, archive: &Path) -> Result<Unpacked, ArchiveError> {
        let made = tempfile::Builder::new().prefix("package-").tempdir_in(&self.staging);
        let staging = made.map_err(Fault::host("make room in", &self.staging))?;
        let root = archive::unpack(archive, &staging.path().join("whole"), self.room)?;
        let mut problems = Problems::new();
        leave_out(&root, Path::new(""), &mut problems).map_err(Fault::host("read", &root))?;
        Ok(Unpacked { staging, root, problems })
    }

    /// Where an organization's package of this id is, or would be.
    #[must_use]
    pub fn place_of(&self, owner: OrganizationId, plugin: &PluginId) -> PathBuf {
        // A scope's `/` would make two folders; no id has a `+`.
        self.of(owner).join(plugin.as_str().replace('/', "+"))
    }

    /// Puts a package in its place, instead of the one that is there. Whoever looks sees the one or the other. On the
    /// disk it is when this returns. It blocks.
    ///
    /// # Errors
    /// When the system refuses. What was there is there still.
    pub fn place(&self, unpacked: Unpacked, owner: OrganizationId, plugin: &PluginId) -> io::Result<()> {
        let Unpacked { staging, root, .. } = unpacked;
        let place = self.place_of(owner, plugin);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.of(owner))?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
        let flags = match fs::symlink_metadata(&place) {
            Ok(_) => RenameFlags::EXCHANGE,
            Err(error) if error.kind() == io::ErrorKind::NotFound => RenameFlags::NOREPLACE,
            Err(error) => return Err(error),
        };
        rustix::fs::renameat_with(CWD, &root, CWD, &place, flags)?;
        self.sync()?;
        staging.close()
    }

    /// Takes a package away, in one step. Gives whether there was one. It blocks.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(&self, owner: OrganizationId, plugin: &PluginId) -> io::Result<bool> {
        let aside = tempfile::Builder::new().prefix("removed-").tempdir_in(&self.staging)?;
        match fs::rename(self.place_of(owner, plugin), aside.path().join("whole")) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        self.sync()?;
        aside.close()?;
        Ok(true)
    }

    fn of(&self, owner: OrganizationId) -> PathBuf {
        self.folder.join(CUSTOM).join(owner.to_string())
    }

    fn sync(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, &self.folder, flags, Mode::empty())?;
        Ok(rustix::fs::syncfs(folder)?)
    }
}

/// Removes what is no part of a package. The hash that stands for a package does not cover it, so it must not be there:
/// two packages that differ in it alone would be taken for one.
fn leave_out(root: &Path, name: &Path, problems: &mut Problems) -> io::Result<()> {
    for entry in fs::read_dir(root.join(name))? {
        let entry = entry?;
        let (own, kind) = (entry.file_name(), entry.file_type()?);
        let name = name.join(&own);
        if LEFT_OUT.iter().any(|left_out| own == *left_out) {
            match kind.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
            let problem = Problem::warning(name.display().to_string(), "was left out");
            problems
                .push(problem.hint("dependencies are installed by the host: leave them out of the archive"));
        } else if kind.is_dir() {
            leave_out(root, &name, problems)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { entries: 100, bytes: 1 << 20 };

    struct Fixture {
        _scratch: TempDir,
        uploads: Uploads,
        source: PathBuf,
        owner: OrganizationId,
        plugin: PluginId,
    }

    impl Fixture {
        fn new() -> Self {
            let scratch = tempfile::tempdir().unwrap();
            let root = scratch.path();
            let uploads = Uploads::open(root.join("plugins"), root.join("uploads"), ROOM).unwrap();
            let (owner, plugin) =
                (format!("org_{:032x}", 7).parse().unwrap(), "@acme/tickets".parse().unwrap());
            let source = root.join("source");
            fs::create_dir_all(source.join("lib/node_modules/evil")).unwrap();
            Self { uploads, source, owner, plugin, _scratch: scratch }
        }

        /// Unpacks an archive whose file `package.json` has this text.
        fn unpacked(&self, text: &str) -> Unpacked {
            fs::write(self.source.join("package.json"), text).unwrap();
            let mut archive = self.uploads.receive().unwrap();
            archive::pack(&self.source, &mut archive).unwrap();
            self.uploads.unpack(archive.path()).unwrap()
        }

        fn text(&self) -> Option<String> {
            fs::read_to_string(self.uploads.place_of(self.owner, &self.plugin).join("package.json")).ok()
        }

        fn staged(&self) -> usize {
            fs::read_dir(&self.uploads.staging).unwrap().count()
        }
    }

    #[test]
    fn a_package_is_placed_exchanged_and_removed() {
        let fixture = Fixture::new();
        let Fixture { uploads, owner, plugin, .. } = &fixture;
        uploads.place(fixture.unpacked("1"), *owner, plugin).unwrap();
        assert_eq!(fixture.text().as_deref(), Some("1"));
        uploads.place(fixture.unpacked("2"), *owner, plugin).unwrap();
        assert_eq!(fixture.text().as_deref(), Some("2"));
        drop(fixture.unpacked("3"));
        assert_eq!((fixture.text().as_deref(), fixture.staged()), (Some("2"), 0), "nothing is left lying");
        assert!(uploads.remove(*owner, plugin).unwrap());
        assert!(!uploads.remove(*owner, plugin).unwrap());
        assert_eq!((fixture.text(), fixture.staged()), (None, 0));
    }

    #[test]
    fn what_the_hash_does_not_cover_is_not_there() {
        let fixture = Fixture::new();
        let archive = fixture.uploads.receive().unwrap();
        let inner = tempfile::tempdir().unwrap();
        // `pack` leaves it out by itself, so another program packs it.
        for name in ["package.json", "node_modules/evil/index.js", "lib/node_modules/evil.js", "lib/index.js"]
        {
            let path = inner.path().join("p").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "1").unwrap();
        }
        let gz = flate2::write::GzEncoder::new(archive.reopen().unwrap(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gz);
        tar.append_dir_all("p", inner.path().join("p")).unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        let unpacked = fixture.uploads.unpack(archive.path()).unwrap();
        assert!(unpacked.root().join("lib/index.js").exists());
        assert!(!unpacked.root().join("node_modules").exists());
        assert!(!unpacked.root().join("lib/node_modules").exists());
        assert_eq!(unpacked.problems.len(), 2);
    }

    #[test]
    fn what_an_earlier_run_left_is_removed() {
        let fixture = Fixture::new();
        fs::write(fixture.uploads.staging.join("archive-1"), "x").unwrap();
        let Uploads { folder, staging, room } = fixture.uploads.clone();
        Uploads::open(folder, staging, room).unwrap();
        assert_eq!(fixture.staged(), 0);
    }
}
