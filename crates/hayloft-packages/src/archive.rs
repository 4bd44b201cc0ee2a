//! Packages as one file: `.tgz`, as `npm pack` writes it, or `.zip`.
//!
//! Reading trusts nothing of it: names, links, sizes and how often something is there are all an author's word, and
//! the first thing that is ambiguous ends it. What is written is the same, byte for byte, for the same files.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use hayloft_model::{Problem, Problems};
use tar::EntryType;

use crate::Room;
use crate::entry_name::entry_path;
use crate::error::Fault;
use crate::tree::{Tree, wrong};

mod zip;

/// How many bytes may become of one. Text that was made to be small comes to a thousand.
const MOST_RATIO: u64 = 200;

/// What is small is not asked for its ratio.
const SMALL: u64 = 16 << 20;

/// The only folder at the top of an archive, as npm names it.
const TOP: &str = "package";

/// Folders that are no part of a package: the one is fetched, the other is history.
const LEFT_OUT: [&str; 2] = ["node_modules", ".git"];

/// Why a file did not become a folder, or a folder no file.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive, or the folder, cannot be used.
    #[error("{}", .0.iter().next().map_or_else(String::new, |problem| format!("{}: {}", problem.at, problem.message)))]
    Refused(Problems),
    /// We broke.
    #[error("failed to {what}")]
    Host {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl From<Fault> for ArchiveError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Wrong(problem) => Self::Refused(problem.into()),
            Fault::Host { what, source } => Self::Host { what, source },
        }
    }
}

/// Unpacks an archive into a new folder, and gives the folder of the package: that one, or the only one in it. Which
/// kind of archive it is stands in its first bytes, whatever its name. It blocks.
///
/// # Errors
/// When the archive is refused; what was written until then is the caller's to remove.
pub fn unpack(archive: &Path, into: &Path, room: Room) -> Result<PathBuf, ArchiveError> {
    let mut file = File::open(archive).map_err(Fault::host("open", archive))?;
    let mut magic = [0; 4];
    let known = file.read_exact(&mut magic).is_ok();
    file.rewind().map_err(Fault::host("read", archive))?;
    let mut tree = Tree::create(into, room)?;
    match magic {
        [0x1f, 0x8b, ..] if known => unpack_tgz(file, archive, &mut tree)?,
        [b'P', b'K', 3, 4] if known => zip::unpack(file, archive, &mut tree, room)?,
        _ => return Err(refused("is neither a `.tgz` nor a `.zip`")),
    }
    let root = tree.finish()?;
    Ok(only_folder(&root).unwrap_or(root))
}

fn unpack_tgz(file: File, archive: &Path, tree: &mut Tree) -> Result<(), ArchiveError> {
    let read = Rc::new(Cell::new(0));
    let counted = BufReader::new(Counted { inner: file, read: Rc::clone(&read) });
    let mut plain = Expanded { inner: GzDecoder::new(counted), packed: read, plain: 0 };
    unpack_tar(&mut plain, tree, &|_| None)?;
    // What follows the end is read by some programs and not by others.
    let mut rest = [0; 4096];
    loop {
        match plain.read(&mut rest) {
            Ok(0) => break,
            Ok(read) if rest.get(..read).is_some_and(|rest| rest.iter().all(|byte| *byte == 0)) => {}
            Ok(_) => return Err(refused("has data behind its end")),
            Err(error) => return Err(refused(&format!("cannot be read: {error}"))),
        }
    }
    let mut file = plain.inner.into_inner();
    if file.read(&mut rest).map_err(Fault::host("read", archive))? > 0 {
        return Err(refused("has data behind its end"));
    }
    Ok(())
}

/// Writes a folder as an archive, and gives how many files are in it. It blocks.
///
/// # Errors
/// When the folder holds what no package may hold, or cannot be read.
pub fn pack(folder: &Path, to: &mut dyn Write) -> Result<u64, ArchiveError> {
    let mut names = Vec::new();
    list(folder, Path::new(""), &mut names)?;
    // By their bytes, so that neither the file system nor the locale has a say.
    names.sort_by(|one, other| one.as_os_str().as_bytes().cmp(other.as_os_str().as_bytes()));
    // Without a name and a time the compressed file has neither.
    let compressed = GzEncoder::new(to, Compression::best());
    let mut archive = tar::Builder::new(compressed);
    for name in &names {
        let path = folder.join(name);
        let failed = Fault::host("read", &path);
        let facts = fs::symlink_metadata(&path).map_err(&failed)?;
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let inside = Path::new(TOP).join(name);
        if facts.is_symlink() {
            let target = fs::read_link(&path).map_err(&failed)?;
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            archive.append_link(&mut header, &inside, &target).map_err(&failed)?;
        } else {
            let executable = facts.permissions().mode() & 0o111 != 0;
            header.set_entry_type(EntryType::Regular);
            header.set_mode(if executable { 0o755 } else { 0o644 });
            header.set_size(facts.len());
            let file = File::open(&path).map_err(&failed)?;
            archive.append_data(&mut header, &inside, file.take(facts.len())).map_err(&failed)?;
        }
    }
    let finished = archive.into_inner().and_then(GzEncoder::finish);
    finished.and_then(|to| to.flush()).map_err(Fault::host("pack", folder))?;
    Ok(names.len() as u64)
}

fn list(folder: &Path, name: &Path, names: &mut Vec<PathBuf>) -> Result<(), Fault> {
    let path = folder.join(name);
    let failed = Fault::host("read", &path);
    for entry in fs::read_dir(&path).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let own = entry.file_name();
        let name = name.join(&own);
        entry_path(name.as_os_str().as_bytes()).map_err(|what| wrong(&name, what))?;
        let kind = entry.file_type().map_err(&failed)?;
        match kind {
            folder if folder.is_dir() && LEFT_OUT.iter().any(|left_out| own == *left_out) => {}
            kind if kind.is_dir() => list(folder, &name, names)?,
            kind if kind.is_file() || kind.is_symlink() => names.push(name),
            _ => return Err(wrong(&name, "is neither a file nor a folder").into()),
        }
    }
    Ok(())
}

/// Writes what an archive without compression holds to a tree. What is asked for a path stands there instead.
pub(crate) fn unpack_tar(
    stream: &mut dyn Read,
    tree: &mut Tree,
    instead: &dyn Fn(&Path) -> Option<Vec<u8>>,
) -> Result<(), Fault> {
    let unreadable =
        |error: io::Error| Fault::Wrong(Problem::error("archive", format!("cannot be read: {error}")));
    let mut archive = tar::Archive::new(stream);
    // Names that a file system without cases would take for one.
    let mut folded = BTreeSet::new();
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let said = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&said).into_owned();
        let name = entry_path(&said).map_err(|what| wrong(Path::new(&shown), what))?;
        let kind = entry.header().entry_type();
        if name.as_os_str().is_empty() {
            match kind {
                EntryType::Directory => continue,
                _ => return Err(wrong(Path::new(&shown), "has no name").into()),
            }
        }
        if kind != EntryType::Directory && !folded.insert(name.to_string_lossy().to_lowercase()) {
            return Err(
                wrong(&name, "is there twice, or differs from another only in capital letters").into()
            );
        }
        match kind {
            EntryType::Directory => tree.folder(&name)?,
            EntryType::Regular | EntryType::Continuous => {
                let executable = entry.header().mode().map_err(unreadable)? & 0o111 != 0;
                match instead(&name) {
                    Some(content) => tree.file(&name, executable, &mut content.as_slice())?,
                    None => tree.file(&name, executable, &mut entry)?,
                }
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = Path::new(std::ffi::OsStr::from_bytes(&target)).to_owned();
                tree.link(Path::new(""), &name, &target)?;
            }
            EntryType::Link => {
                return Err(wrong(&name, "is a hard link").hint("put the file itself there").into());
            }
            _ => {
                return Err(wrong(&name, "is neither a file nor a folder")
                    .hint("a package holds files, folders and links between them")
                    .into());
            }
        }
    }
    Ok(())
}

fn refused(what: &str) -> ArchiveError {
    ArchiveError::Refused(Problem::error("archive", what).into())
}

/// The only thing in a folder, if that is a folder.
fn only_folder(root: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(root).ok()?;
    let only = entries.next()?.ok()?;
    (entries.next().is_none() && only.file_type().is_ok_and(|kind| kind.is_dir())).then(|| only.path())
}

struct Counted<R> {
    inner: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

/// Ends with an error where far more comes out than went in.
struct Expanded<R> {
    inner: R,
    packed: Rc<Cell<u64>>,
    plain: u64,
}

impl<R: Read> Read for Expanded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.plain += read as u64;
        if self.plain > SMALL && self.plain / MOST_RATIO > self.packed.get() {
            return Err(io::Error::other(format!("more than {MOST_RATIO} bytes come out of each")));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const ROOM: Room = Room { entries: 1000, bytes: 64 << 20 };

    type Make<'a> = &'a dyn Fn(&mut tar::Builder<Vec<u8>>);

    fn header(kind: EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(size);
        header
    }

    /// A name as it is, whatever a careful library thinks of it.
    fn named(kind: EntryType, name: &[u8], target: &[u8], size: u64) -> tar::Header {
        let mut header = header(kind, size);
        let raw = header.as_old_mut();
        raw.name[..name.len()].copy_from_slice(name);
        raw.linkname[..target.len()].copy_from_slice(target);
        header.set_cksum();
        header
    }

    fn packed(make: Make<'_>) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        make(&mut builder);
        compressed(&builder.into_inner().unwrap())
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> Result<Vec<String>, String> {
        let scratch = tempfile::tempdir().unwrap();
        let canary = scratch.path().join("canary");
        fs::write(&canary, "safe").unwrap();
        let file = scratch.path().join("x.tgz");
        fs::write(&file, bytes).unwrap();
        let into = scratch.path().join("into");
        let outcome = unpack(&file, &into, ROOM);
        let mut beside: Vec<_> =
            fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        beside.sort();
        assert_eq!(beside, ["canary", "into", "x.tgz"], "nothing is written anywhere else");
        assert_eq!(fs::read_to_string(canary).unwrap(), "safe");
        match outcome {
            Ok(root) => {
                let mut names = Vec::new();
                list(&root, Path::new(""), &mut names).unwrap();
                names.sort();
                Ok(names.iter().map(|name| name.display().to_string()).collect())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_folder_comes_out_as_it_went_in_and_always_as_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (name, text) in [
            ("package.json", "{}"),
            ("dist/index.js", "1"),
            ("node_modules/x/index.js", "1"),
            (".git/HEAD", "1"),
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        symlink("dist/index.js", root.join("main.js")).unwrap();
        let mut one = Vec::new();
        assert_eq!(pack(root, &mut one).unwrap(), 3);
        File::open(root.join("package.json")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        let mut other = Vec::new();
        pack(root, &mut other).unwrap();
        assert!(one == other, "times are no part of it");
        assert_eq!(unpacked(&one).unwrap(), ["dist/index.js", "main.js", "package.json"]);
    }

    #[test]
    fn what_leads_out_or_is_no_file_is_refused() {
        use EntryType as Kind;
        let evil: [(Kind, &[u8], &[u8], &str); 14] = [
            (Kind::Regular, b"../canary", b"", "leads out of the folder by `..`"),
            (Kind::Regular, b"x/../../canary", b"", "leads out of the folder by `..`"),
            (Kind::Regular, b"./..//canary", b"", "leads out of the folder by `..`"),
            (Kind::Regular, b"/etc/canary", b"", "absolute path"),
            (Kind::Regular, b"C:canary", b"", "drive"),
            (Kind::Regular, b"..\\canary", b"", "separates folders"),
            (Kind::Regular, b"x\ny", b"", "control characters"),
            (Kind::Regular, b"\xc0\xae\xc0\xae/canary", b"", "not UTF-8"),
            (Kind::Symlink, b"x", b"../canary", "outside of the package"),
            (Kind::Symlink, b"x", b"/etc/shadow", "outside of the package"),
            (Kind::Link, b"x", b"../canary", "hard link"),
            (Kind::Char, b"x", b"", "neither a file nor a folder"),
            (Kind::Block, b"x", b"", "neither a file nor a folder"),
            (Kind::Fifo, b"x", b"", "neither a file nor a folder"),
        ];
        for (kind, name, target, expected) in evil {
            let archive = packed(&|builder| {
                builder.append(&named(Kind::Regular, b"package.json", b"", 2), &b"{}"[..]).unwrap();
                builder.append(&named(kind, name, target, 0), &b""[..]).unwrap();
            });
            let said = unpacked(&archive).unwrap_err();
            assert!(said.contains(expected), "{}: {said}", String::from_utf8_lossy(name));
        }
        let good = packed(&|builder| {
            builder.append(&named(Kind::Regular, b"package.json", b"", 2), &b"{}"[..]).unwrap();
            builder.append(&named(Kind::Symlink, b"x", b"package.json", 0), &b""[..]).unwrap();
        });
        assert_eq!(unpacked(&good).unwrap(), ["package.json", "x"]);
    }

    #[test]
    fn what_two_programs_would_read_differently_is_refused() {
        use EntryType as Kind;
        for names in [
            ["manifest.json", "manifest.json"],
            ["manifest.json", "Manifest.json"],
            ["x/manifest.json", "x/./manifest.json"],
        ] {
            let archive = packed(&|builder| {
                for name in names {
                    builder.append(&named(Kind::Regular, name.as_bytes(), b"", 2), &b"{}"[..]).unwrap();
                }
            });
            assert!(unpacked(&archive).unwrap_err().contains("is there twice"), "{names:?}");
        }
        // A link, and then a file through it.
        let archive = packed(&|builder| {
            builder.append(&named(Kind::Symlink, b"x", b"y", 0), &b""[..]).unwrap();
            builder.append(&named(Kind::Regular, b"x/z", b"", 1), &b"1"[..]).unwrap();
        });
        assert!(unpacked(&archive).unwrap_err().contains("is there twice"));
        let mut two = packed(&|builder| {
            builder.append(&named(Kind::Regular, b"package.json", b"", 2), &b"{}"[..]).unwrap();
        });
        assert!(unpacked(&two).is_ok());
        two.extend(two.clone());
        assert!(unpacked(&two).unwrap_err().contains("behind its end"));
    }

    #[test]
    fn bombs_do_not_go_off() {
        let bomb = packed(&|builder| {
            let size = 60 << 20;
            builder
                .append(&named(EntryType::Regular, b"zeros", b"", size), io::repeat(0).take(size))
                .unwrap();
        });
        assert!(unpacked(&bomb).unwrap_err().contains("more than 200 bytes come out of each"));
        let many = packed(&|builder| {
            for number in 0..2000 {
                let name = format!("{number}");
                builder.append(&named(EntryType::Regular, name.as_bytes(), b"", 0), &b""[..]).unwrap();
            }
        });
        assert!(unpacked(&many).unwrap_err().contains("one more than the 1000 files"));
        for broken in [&b""[..], b"no archive", &packed(&|_| {})[..20], &compressed(b"no archive at all")] {
            assert!(unpacked(broken).is_err());
        }
    }
}
