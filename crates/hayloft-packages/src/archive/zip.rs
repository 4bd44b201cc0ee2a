//! Archives of the kind `.zip`, as browsers and desktops make them.
//!
//! Such an archive says everything twice: in front of each file, and in a directory at its end. Some programs believe
//! the one and some the other, so the two must agree, with nothing between, before or behind them that only one of the
//! ways of reading would find.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

use super::{MOST_RATIO, SMALL};
use crate::Room;
use crate::entry_name::entry_path;
use crate::error::Fault;
use crate::tree::{Tree, wrong};

/// The record at the very end: its bytes without the comment.
const END: usize = 22;

/// How that record begins.
const END_SIGNATURE: [u8; 4] = *b"PK\x05\x06";

/// What may stand behind a file's bytes: its sizes and checksum, where they were not known before.
const LONGEST_DESCRIPTOR: u64 = 16;

/// The longest target of a link, in bytes.
const LONGEST_TARGET: u64 = 4096;

/// The part of a mode that says what kind of thing it is.
const KIND: u32 = 0o170_000;

/// Writes what an archive holds to a tree.
pub(super) fn unpack(mut file: File, path: &Path, tree: &mut Tree, room: Room) -> Result<(), Fault> {
    let size = file.metadata().map_err(Fault::host("read", path))?.len();
    let end = end(&mut file, size).map_err(Fault::host("read", path))?;
    let end = end.ok_or_else(|| refused("its end is not the end of exactly one archive"))?;
    if end.entries > room.entries {
        return Err(refused(format!("holds more than the {} files that there is room for", room.entries)));
    }
    let mut archive =
        ZipArchive::with_config(Config { archive_offset: ArchiveOffset::Known(0) }, BufReader::new(file))
            .map_err(unreadable)?;
    if archive.len() as u64 != end.entries || archive.central_directory_start() != end.directory {
        return Err(refused("its directory does not hold what its end says"));
    }
    archive.validate_header_consistency().map_err(unreadable)?;
    let mut folded = BTreeSet::new();
    let mut places = Vec::new();
    let (mut packed, mut plain) = (0, 0);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(unreadable)?;
        let shown = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let name = entry_path(entry.name_raw()).map_err(|what| wrong(Path::new(&shown), what))?;
        let data =
            entry.data_start().ok_or_else(|| wrong(Path::new(&shown), "has no place in the archive"))?;
        places.push((entry.header_start(), data + entry.compressed_size()));
        packed += entry.compressed_size();
        plain += entry.size();
        if plain > SMALL && plain / MOST_RATIO > packed {
            return Err(wrong(
                &name,
                format!("cannot be read: more than {MOST_RATIO} bytes come out of each"),
            )
            .into());
        }
        let mode = entry.unix_mode().unwrap_or_default();
        let is_folder = entry.is_dir() || mode & KIND == 0o040_000;
        if is_folder {
            if entry.size() > 0 || !matches!(mode & KIND, 0 | 0o040_000) {
                return Err(wrong(&name, "is a folder and something else too").into());
            }
            tree.folder(&name)?;
            continue;
        }
        if name.as_os_str().is_empty() {
            return Err(wrong(Path::new(&shown), "has no name").into());
        }
        if !folded.insert(name.to_string_lossy().to_lowercase()) {
            let message = "is there twice, or differs from another only in capital letters";
            return Err(wrong(&name, message).into());
        }
        match mode & KIND {
            0 | 0o100_000 => tree.file(&name, mode & 0o111 != 0, &mut Exactly::new(&mut entry))?,
            0o120_000 => {
                let target =
                    target(&mut entry).map_err(|error| wrong(&name, format!("cannot be read: {error}")))?;
                tree.link(Path::new(""), &name, &target)?;
            }
            _ => {
                return Err(wrong(&name, "is neither a file nor a folder")
                    .hint("a package holds files, folders and links between them")
                    .into());
            }
        }
    }
    contiguous(places, end.directory)
}

/// What the record at the end says.
struct End {
    entries: u64,
    directory: u64,
}

/// Reads the record at the end, if there is exactly one that can be meant, and everything before it is its directory.
fn end(file: &mut File, size: u64) -> io::Result<Option<End>> {
    let tail = size.min((END + usize::from(u16::MAX)) as u64);
    file.seek(SeekFrom::Start(size - tail))?;
    let mut bytes = Vec::new();
    file.take(tail).read_to_end(&mut bytes)?;
    file.rewind()?;
    // Who reads from the end takes the last one that looks like it.
    let Some(at) = bytes.windows(END_SIGNATURE.len()).rposition(|window| window == END_SIGNATURE) else {
        return Ok(None);
    };
    let Some(record) = bytes.get(at..).filter(|record| record.len() >= END) else { return Ok(None) };
    let short = |at: usize| Some(u16::from_le_bytes([*record.get(at)?, *record.get(at + 1)?]));
    let long = |at: usize| Some(u32::from(short(at)?) | u32::from(short(at + 2)?) << 16);
    let read = || {
        let (disk, directory_disk, here, entries) = (short(4)?, short(6)?, short(8)?, short(10)?);
        let (length, start, comment) = (u64::from(long(12)?), u64::from(long(16)?), usize::from(short(20)?));
        let whole = record.len() == END + comment;
        // Larger archives say so by numbers that are all ones, and have a second record; nothing of ours needs that.
        let small = entries != u16::MAX && length != u64::from(u32::MAX) && start != u64::from(u32::MAX);
        let directly = start + length == size - record.len() as u64;
        let one_disk = disk == 0 && directory_disk == 0 && here == entries;
        (whole && small && directly && one_disk).then_some(End { entries: entries.into(), directory: start })
    };
    Ok(read())
}

/// Whether the files fill the archive up to its directory. What lies between them some programs would find.
fn contiguous(mut places: Vec<(u64, u64)>, directory: u64) -> Result<(), Fault> {
    places.sort_unstable();
    let mut at = 0;
    for (start, end) in places {
        let gap = start.checked_sub(at).filter(|gap| *gap == 0 || at > 0 && *gap <= LONGEST_DESCRIPTOR);
        gap.ok_or_else(|| refused("has data between its files"))?;
        at = end;
    }
    match directory.checked_sub(at) {
        Some(gap) if gap <= LONGEST_DESCRIPTOR => Ok(()),
        _ => Err(refused("has data between its files")),
    }
}

fn target(entry: &mut zip::read::ZipFile<'_, BufReader<File>>) -> io::Result<PathBuf> {
    if entry.size() > LONGEST_TARGET {
        return Err(io::Error::other("the target of the link is too long"));
    }
    let mut target = Vec::new();
    Exactly::new(entry).read_to_end(&mut target)?;
    Ok(std::ffi::OsString::from_vec(target).into())
}

/// Reads a file that must be as long as it says, to the byte.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<'a, 'b> Exactly<&'a mut zip::read::ZipFile<'b, BufReader<File>>> {
    fn new(entry: &'a mut zip::read::ZipFile<'b, BufReader<File>>) -> Self {
        Self { left: entry.size(), inner: entry }
    }
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let differs = || io::Error::other("it is not as long as it says");
        self.left = self.left.checked_sub(read as u64).ok_or_else(differs)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(differs());
        }
        Ok(read)
    }
}

fn unreadable(error: ZipError) -> Fault {
    refused(format!("cannot be read: {error}"))
}

fn refused(what: impl Into<String>) -> Fault {
    Fault::Wrong(hayloft_model::Problem::error("archive", what))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Cursor, Write as _};
    use std::os::unix::fs::PermissionsExt as _;

    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::super::{ArchiveError, unpack};
    use super::*;

    const ROOM: Room = Room { entries: 1000, bytes: 64 << 20 };

    /// An archive of files with their modes.
    fn packed(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, mode, content) in files {
            let options = SimpleFileOptions::default().unix_permissions(*mode);
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        with_modes(writer.finish().unwrap().into_inner(), files)
    }

    /// The library writes modes of plain files only; what others write is put in its place.
    fn with_modes(mut bytes: Vec<u8>, files: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut from = 0;
        for (_, mode, _) in files {
            let at = from + find(&bytes[from..], b"PK\x01\x02");
            bytes[at + 5] = 3;
            let kind = if mode & KIND == 0 { 0o100_000 } else { 0 };
            bytes[at + 38..at + 42].copy_from_slice(&((mode | kind) << 16).to_le_bytes());
            from = at + 4;
        }
        bytes
    }

    fn find(bytes: &[u8], what: &[u8]) -> usize {
        bytes.windows(what.len()).position(|window| window == what).unwrap()
    }

    fn unpacked(bytes: &[u8]) -> Result<(tempfile::TempDir, PathBuf), String> {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("canary"), "safe").unwrap();
        let file = scratch.path().join("x.zip");
        fs::write(&file, bytes).unwrap();
        let outcome = unpack(&file, &scratch.path().join("into"), ROOM);
        assert_eq!(fs::read_to_string(scratch.path().join("canary")).unwrap(), "safe");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 3, "nothing is written anywhere else");
        match outcome {
            Ok(root) => Ok((scratch, root)),
            Err(ArchiveError::Refused(problems)) => Err(problems.to_string()),
            Err(error) => panic!("{error}"),
        }
    }

    fn refusal(bytes: &[u8]) -> String {
        unpacked(bytes).map(|_| ()).expect_err("it is refused")
    }

    #[test]
    fn what_was_packed_comes_out() {
        let bytes = packed(&[
            ("plugin/package.json", 0o644, b"{}"),
            ("plugin/bin/run", 0o4755, b"#!/bin/sh"),
            ("plugin/link", 0o120_777, b"bin/run"),
        ]);
        let (_scratch, root) = unpacked(&bytes).unwrap();
        assert!(root.ends_with("plugin"), "the only folder in it is the package");
        assert_eq!(fs::read_to_string(root.join("package.json")).unwrap(), "{}");
        assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("bin/run"));
        let mode = |name: &str| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("package.json"), mode("bin/run")), (0o644, 0o755), "rights are ours");
    }

    #[test]
    fn what_leads_out_or_is_no_file_is_refused() {
        for (name, mode, content, expected) in [
            ("../canary", 0o644, "", "leads out of the folder"),
            ("/etc/canary", 0o644, "", "absolute path"),
            ("..\\canary", 0o644, "", "separates folders"),
            ("C:canary", 0o644, "", "drive"),
            ("x\ny", 0o644, "", "control characters"),
            ("x", 0o120_777, "../canary", "outside of the package"),
            ("x", 0o120_777, "/etc/shadow", "outside of the package"),
            ("x", 0o020_644, "", "neither a file nor a folder"),
            ("x", 0o060_644, "", "neither a file nor a folder"),
            ("x", 0o010_644, "", "neither a file nor a folder"),
            ("Package.json", 0o644, "", "differs from another only in capital letters"),
        ] {
            let bytes = packed(&[("package.json", 0o644, b"{}"), (name, mode, content.as_bytes())]);
            let said = refusal(&bytes);
            assert!(said.contains(expected), "{name:?}: {said}");
        }
        // A link to a folder, and a file through it.
        let said = refusal(&packed(&[("out", 0o120_777, b"in"), ("out/x", 0o644, b"1")]));
        assert!(said.contains("is there twice"), "{said}");
    }

    #[test]
    fn what_two_programs_would_read_differently_is_refused() {
        let good = packed(&[("package.json", 0o644, b"{}"), ("index.js", 0o644, b"1")]);
        assert!(unpacked(&good).is_ok());
        let central = find(&good, b"PK\x01\x02");
        let end = find(&good, &END_SIGNATURE);
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            refusal(&bytes)
        };
        // The name in front of the file and the one in the directory.
        let said = changed(&|bytes| bytes[30] = b'P');
        assert!(said.contains("inconsistency"), "{said}");
        let said = changed(&|bytes| bytes[central + 46] = b'P');
        assert!(said.contains("inconsistency"), "{said}");
        // The same name twice in the directory.
        let twice = packed(&[("a.json", 0o644, b"1"), ("b.json", 0o644, b"2")]);
        let twice: Vec<u8> = String::from_utf8_lossy(&twice)
            .contains("b.json")
            .then(|| {
                let mut bytes = twice.clone();
                while let Some(at) = bytes.windows(6).position(|window| window == b"b.json") {
                    bytes[at] = b'a';
                }
                bytes
            })
            .unwrap();
        assert!(unpacked(&twice).is_err());
        // Two ends, one hidden in the comment of the other.
        let said = changed(&|bytes| {
            let second = bytes[end..].to_vec();
            let length = u16::try_from(second.len()).unwrap();
            bytes[end + 20..end + 22].copy_from_slice(&length.to_le_bytes());
            bytes.extend(second);
        });
        assert!(said.contains("is not the end of exactly one archive"), "{said}");
        // Something before, between, and behind.
        let said = changed(&|bytes| bytes.extend(b"more"));
        assert!(said.contains("is not the end"), "{said}");
        let said = changed(&|bytes| bytes.extend(good.clone()));
        assert!(said.contains("is not the end"), "{said}");
        let hidden = [0; 40];
        let said = changed(&|bytes| {
            bytes.splice(central..central, hidden);
            let end = end + hidden.len();
            let start = u32::try_from(central + hidden.len()).unwrap();
            bytes[end + 16..end + 20].copy_from_slice(&start.to_le_bytes());
        });
        assert!(said.contains("has data between its files"), "{said}");
        // Fewer files than the directory has.
        let said = changed(&|bytes| {
            bytes[end + 8] = 1;
            bytes[end + 10] = 1;
        });
        assert!(said.contains("archive"), "{said}");
        // A comment alone is nothing bad.
        let mut commented = good.clone();
        commented[end + 20] = 2;
        commented.extend(b"hi");
        assert!(unpacked(&commented).is_ok());
        for broken in [&good[..good.len() - 1], &good[..40], b"PK\x03\x04"] {
            refusal(broken);
        }
    }

    #[test]
    fn bombs_do_not_go_off() {
        let zeros = vec![0; 60 << 20];
        let said = refusal(&packed(&[("zeros", 0o644, &zeros)]));
        assert!(said.contains("more than 200 bytes come out of each"), "{said}");
        let names: Vec<String> = (0..1001).map(|number| number.to_string()).collect();
        let files: Vec<(&str, u32, &[u8])> =
            names.iter().map(|name| (name.as_str(), 0o644, &b""[..])).collect();
        assert!(refusal(&packed(&files)).contains("more than the 1000 files"));
        assert!(unpacked(&packed(&files[..999])).is_ok());
        // A file that says that it is small, and is not.
        let mut liar = packed(&[("x", 0o644, &[b'x'; 5000])]);
        let central = find(&liar, b"PK\x01\x02");
        for at in [22, central + 24] {
            liar[at..at + 4].copy_from_slice(&10_u32.to_le_bytes());
        }
        let said = refusal(&liar);
        assert!(!said.is_empty(), "{said}");
    }
}
