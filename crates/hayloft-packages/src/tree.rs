//! Writes a folder of ours from what strangers say is in theirs.
//!
//! The folder is new, nobody else writes to it, and links are made last: so no path that is written to can lead through
//! one. Modes are ours; of what was said only "can be executed" stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use hayloft_model::Problem;

use crate::error::Fault;

/// How much a folder may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Files, folders and links together.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// A folder that is being written.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    room: Room,
    entries: u64,
    bytes: u64,
    folders: BTreeSet<PathBuf>,
    links: BTreeMap<PathBuf, Link>,
}

#[derive(Debug)]
struct Link {
    target: PathBuf,
    /// What it must not lead out of.
    within: PathBuf,
}

impl Tree {
    /// Makes the folder, which must not be there.
    pub(crate) fn create(root: &Path, room: Room) -> Result<Self, Fault> {
        let made = fs::DirBuilder::new().mode(0o755).create(root);
        made.map_err(Fault::host("make", root))?;
        // Whatever the mask for new files is: a jail's user must be able to read it.
        fs::set_permissions(root, Permissions::from_mode(0o755)).map_err(Fault::host("open", root))?;
        Ok(Self {
            root: root.to_owned(),
            room,
            entries: 0,
            bytes: 0,
            folders: BTreeSet::new(),
            links: BTreeMap::new(),
        })
    }

    /// Adds a folder and those above it.
    pub(crate) fn folder(&mut self, name: &Path) -> Result<(), Fault> {
        let mut folder = PathBuf::new();
        for part in name.components() {
            folder.push(part);
            if self.folders.contains(&folder) {
                continue;
            }
            self.count(&folder)?;
            let path = self.root.join(&folder);
            fs::DirBuilder::new().mode(0o755).create(&path).map_err(|error| self.taken(&folder, error))?;
            fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(Fault::host("open", &path))?;
            self.folders.insert(folder.clone());
        }
        Ok(())
    }

    /// Adds a file.
    pub(crate) fn file(
        &mut self,
        name: &Path,
        executable: bool,
        content: &mut dyn Read,
    ) -> Result<(), Fault> {
        self.count(name)?;
        self.folder(name.parent().unwrap_or(Path::new("")))?;
        let path = self.root.join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| self.taken(name, error))?;
        self.fill(name, &mut file, content)?;
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(Permissions::from_mode(mode)).map_err(Fault::host("open", &path))
    }

    fn fill(&mut self, name: &Path, file: &mut File, content: &mut dyn Read) -> Result<(), Fault> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(wrong(name, format!("cannot be read: {error}")).into()),
            };
            self.bytes += read as u64;
            if self.bytes > self.room.bytes {
                let problem = wrong(
                    name,
                    format!("is more than the {} that there is room for", mebibytes(self.room.bytes)),
                );
                return Err(problem
                    .hint("leave out what is not needed to run, or ask the operator for more room")
                    .into());
            }
            let written = file.write_all(buffer.get(..read).unwrap_or_default());
            written.map_err(Fault::host("write", &self.root.join(name)))?;
        }
    }

    /// Adds a symbolic link in the folder of a package, which it must not lead out of. It is made at the end.
    pub(crate) fn link(&mut self, within: &Path, name: &Path, target: &Path) -> Result<(), Fault> {
        self.count(name)?;
        if !stays_inside(name, target) {
            let problem = wrong(name, format!("is a link to `{}`, outside of the package", target.display()));
            return Err(problem.hint("put the file itself there").into());
        }
        let link = Link { target: target.to_owned(), within: within.to_owned() };
        match self.links.insert(within.join(name), link) {
            None => Ok(()),
            Some(_) => Err(wrong(name, "is there twice").into()),
        }
    }

    /// Makes the links and sees that each leads to something inside, or nowhere.
    pub(crate) fn finish(mut self) -> Result<PathBuf, Fault> {
        let links = std::mem::take(&mut self.links);
        for (name, Link { target, .. }) in &links {
            self.folder(name.parent().unwrap_or(Path::new("")))?;
            let path = self.root.join(name);
            symlink(target, &path).map_err(|error| self.taken(name, error))?;
        }
        let root = self.root.canonicalize().map_err(Fault::host("open", &self.root))?;
        for (name, Link { target, within }) in &links {
            // What each link's text says was looked at; what links say together is known only now.
            match root.join(name).canonicalize() {
                Ok(resolved) if resolved.starts_with(root.join(within)) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(_) | Err(_) => {
                    let message = format!(
                        "is a link to `{}`, which leads out of the package or in circles",
                        target.display()
                    );
                    let name = name.strip_prefix(within).unwrap_or(name);
                    return Err(wrong(name, message).hint("put the file itself there").into());
                }
            }
        }
        Ok(self.root)
    }

    fn count(&mut self, name: &Path) -> Result<(), Fault> {
        self.entries += 1;
        if self.entries > self.room.entries {
            let message = format!("is one more than the {} files that there is room for", self.room.entries);
            return Err(wrong(name, message).hint("leave out what is not needed to run").into());
        }
        Ok(())
    }

    fn taken(&self, name: &Path, error: io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::AlreadyExists => wrong(name, "is there twice").into(),
            io::ErrorKind::NotADirectory => wrong(name, "is inside of something that is no folder").into(),
            _ => Fault::host("write", &self.root.join(name))(error),
        }
    }
}

/// Whether a link's text leads from where it is to somewhere below the top folder.
fn stays_inside(name: &Path, target: &Path) -> bool {
    let mut depth = name.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    !target.as_os_str().is_empty()
}

pub(crate) fn wrong(name: &Path, message: impl Into<String>) -> Problem {
    let shown: String = name.to_string_lossy().chars().flat_map(char::escape_debug).take(300).collect();
    Problem::error(shown, message)
}

pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { entries: 100, bytes: 1000 };

    fn message(outcome: Result<(), Fault>) -> String {
        match outcome {
            Ok(()) => String::from("fine"),
            Err(Fault::Wrong(problem)) => format!("{} {}", problem.at, problem.message),
            Err(Fault::Host { what, source }) => panic!("{what}: {source}"),
        }
    }

    fn tree() -> (tempfile::TempDir, Tree) {
        let scratch = tempfile::tempdir().unwrap();
        let tree = Tree::create(&scratch.path().join("tree"), ROOM).unwrap();
        (scratch, tree)
    }

    #[test]
    fn a_folder_is_written_with_modes_of_ours() {
        let (_scratch, mut tree) = tree();
        tree.file(Path::new("dist/index.js"), false, &mut &b"1"[..]).unwrap();
        tree.file(Path::new("bin/run"), true, &mut &b"2"[..]).unwrap();
        tree.link(Path::new(""), Path::new("bin/index.js"), Path::new("../dist/index.js")).unwrap();
        tree.link(Path::new(""), Path::new("nowhere"), Path::new("none")).unwrap();
        let root = tree.finish().unwrap();
        let mode = |name: &str| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("dist/index.js"), mode("bin/run"), mode("bin")), (0o644, 0o755, 0o755));
        assert_eq!(fs::read_to_string(root.join("bin/index.js")).unwrap(), "1");
    }

    #[test]
    fn links_stay_inside_alone_and_together() {
        for (name, target) in [
            ("x", "/etc"),
            ("x", ".."),
            ("a/x", "../../y"),
            ("x", "a/../../y"),
            ("x", ""),
            ("x", "../tree/y"),
        ] {
            let (_scratch, mut tree) = tree();
            let said = message(tree.link(Path::new(""), Path::new(name), Path::new(target)));
            assert!(said.contains("outside of the package"), "{name} → {target}: {said}");
        }
        // Each text alone stays inside; `b/..` is where `b` leads, and not where it stands.
        let (_scratch, mut tree) = tree();
        tree.folder(Path::new("c")).unwrap();
        tree.link(Path::new(""), Path::new("c/b"), Path::new("..")).unwrap();
        tree.link(Path::new(""), Path::new("c/a"), Path::new("b/../x")).unwrap();
        fs::write(_scratch.path().join("x"), "outside").unwrap();
        assert!(message(tree.finish().map(drop)).contains("leads out of the package"));

        let (_scratch, mut round) = self::tree();
        round.link(Path::new(""), Path::new("x"), Path::new("y")).unwrap();
        round.link(Path::new(""), Path::new("y"), Path::new("x")).unwrap();
        assert!(message(round.finish().map(drop)).contains("in circles"));
    }

    #[test]
    fn nothing_is_written_through_a_link_or_twice() {
        let (_scratch, mut tree) = tree();
        tree.link(Path::new(""), Path::new("out"), Path::new("in")).unwrap();
        tree.file(Path::new("out/x"), false, &mut &b""[..]).unwrap();
        assert_eq!(message(tree.finish().map(drop)), "out is there twice");

        let (_scratch, mut tree) = self::tree();
        tree.file(Path::new("x"), false, &mut &b""[..]).unwrap();
        assert_eq!(message(tree.file(Path::new("x"), false, &mut &b""[..])), "x is there twice");
        assert_eq!(message(tree.file(Path::new("x/y"), false, &mut &b""[..])), "x is there twice");
    }

    #[test]
    fn there_is_an_end_to_room() {
        let (_scratch, mut tree) = tree();
        let said = message(tree.file(Path::new("large"), false, &mut io::repeat(0)));
        assert!(said.starts_with("large is more than"), "{said}");
        let (_scratch, mut tree) = self::tree();
        let last =
            (0..200).map(|n| message(tree.folder(Path::new(&n.to_string())))).find(|said| said != "fine");
        assert!(last.unwrap().contains("100 files"));
    }
}
