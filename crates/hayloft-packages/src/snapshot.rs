//! Copies a folder that others may write to, so that what is looked at is what is installed.
//!
//! Every step goes from an open folder to a name in it and never through a link, so that nobody can exchange a part of
//! the path meanwhile. What is no file, folder or link to the inside is refused: a pipe would wait for its writer.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};

use crate::error::Fault;
use crate::tree::{Tree, wrong};

/// Most folders within each other.
const DEEPEST: usize = 64;

const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// Copies what is in a folder to a place in a tree, but for what is left out: that is asked with each path and whether
/// it is a link.
pub(crate) fn copy(
    source: &Path,
    tree: &mut Tree,
    place: &Path,
    left_out: &dyn Fn(&Path, FileType) -> bool,
) -> Result<(), Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::openat(CWD, source, flags, Mode::empty())
        .map_err(|errno| Fault::host("open", source)(errno.into()))?;
    tree.folder(place)?;
    let copier = Copier { source, place, left_out };
    copier.folder(&top, Path::new(""), tree)
}

struct Copier<'a> {
    source: &'a Path,
    place: &'a Path,
    left_out: &'a dyn Fn(&Path, FileType) -> bool,
}

impl Copier<'_> {
    fn folder(&self, folder: &OwnedFd, name: &Path, tree: &mut Tree) -> Result<(), Fault> {
        if name.components().count() > DEEPEST {
            return Err(wrong(name, "is nested too deep").into());
        }
        let failed = |errno: rustix::io::Errno| Fault::host("read", &self.source.join(name))(errno.into());
        let mut entries = Vec::new();
        for entry in Dir::read_from(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let own = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            if own != "." && own != ".." {
                entries.push(own);
            }
        }
        entries.sort();
        for own in entries {
            self.entry(folder, &own, &name.join(&own), tree)?;
        }
        Ok(())
    }

    fn entry(&self, folder: &OwnedFd, own: &OsStr, name: &Path, tree: &mut Tree) -> Result<(), Fault> {
        let failed = |errno: rustix::io::Errno| Fault::host("read", &self.source.join(name))(errno.into());
        let facts = rustix::fs::statat(folder, own, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let kind = FileType::from_raw_mode(facts.st_mode);
        if (self.left_out)(name, kind) {
            return Ok(());
        }
        let place = self.place.join(name);
        match kind {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let inner = open(folder, own, flags).map_err(failed)?;
                tree.folder(&place)?;
                self.folder(&inner, name, tree)
            }
            FileType::RegularFile => {
                // What it is may have changed since: a pipe must not make us wait, and a device must not be read.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                let file = open(folder, own, flags).map_err(failed)?;
                let facts = rustix::fs::fstat(&file).map_err(failed)?;
                if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
                    return Err(wrong(name, "changed while it was read").into());
                }
                tree.file(&place, facts.st_mode & 0o111 != 0, &mut File::from(file))
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(folder, own, Vec::new()).map_err(failed)?;
                let target = PathBuf::from(OsStr::from_bytes(target.as_bytes()));
                tree.link(self.place, name, &target)
            }
            _ => Err(wrong(name, "is neither a file nor a folder")
                .hint("a package holds files, folders and links between them")
                .into()),
        }
    }
}

fn open(folder: impl AsFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, rustix::io::Errno> {
    rustix::fs::openat2(folder, name, flags, Mode::empty(), INSIDE)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::tree::Room;

    fn copied(source: &Path) -> Result<(tempfile::TempDir, PathBuf), String> {
        let scratch = tempfile::tempdir().unwrap();
        let mut tree =
            Tree::create(&scratch.path().join("copy"), Room { entries: 100, bytes: 1 << 20 }).unwrap();
        let left_out = |name: &Path, _: FileType| name.ends_with(".git");
        let place = Path::new("a/b");
        match copy(source, &mut tree, place, &left_out).and_then(|()| tree.finish()) {
            Ok(root) => Ok((scratch, root.join(place))),
            Err(Fault::Wrong(problem)) => Err(problem.to_string()),
            Err(Fault::Host { what, source }) => panic!("{what}: {source}"),
        }
    }

    #[test]
    fn files_folders_and_inner_links_are_copied() {
        let source = tempfile::tempdir().unwrap();
        let root = source.path();
        fs::create_dir_all(root.join("dist")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::write(root.join("dist/index.js"), "1").unwrap();
        fs::write(root.join(".git/HEAD"), "1").unwrap();
        symlink("dist/index.js", root.join("main.js")).unwrap();
        let (_scratch, copy) = copied(root).unwrap();
        assert_eq!(fs::read_to_string(copy.join("main.js")).unwrap(), "1");
        assert!(fs::symlink_metadata(copy.join("main.js")).unwrap().is_symlink());
        assert!(!copy.join(".git").exists());
    }

    #[test]
    fn what_is_no_package_is_refused_with_its_place() {
        let source = tempfile::tempdir().unwrap();
        let root = source.path();
        fs::create_dir(root.join("dist")).unwrap();
        let plant = |name: &str, make: &dyn Fn(&Path)| {
            make(&root.join(name));
            let said = copied(root).unwrap_err();
            fs::remove_file(root.join(name)).unwrap();
            said
        };
        let said = plant("dist/secret", &|path| symlink("/etc/shadow", path).unwrap());
        assert!(said.contains("dist/secret: is a link to `/etc/shadow`, outside of the package"), "{said}");
        let said = plant("dist/up", &|path| symlink("../..", path).unwrap());
        assert!(said.contains("dist/up: is a link to `../..`, outside"), "{said}");
        let said = plant("pipe", &|path| {
            rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        });
        assert!(said.contains("pipe: is neither a file nor a folder"), "{said}");
        let said = plant("socket", &|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()));
        assert!(said.contains("socket: is neither a file nor a folder"), "{said}");
        assert!(copied(root).is_ok(), "without them it is one");
    }
}
