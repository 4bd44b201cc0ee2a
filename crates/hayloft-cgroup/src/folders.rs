//! Groups as the kernel shows them: folders that are made and removed, and files that take settings.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::processes::wait;

/// How long a host that just ended may seem to hold its groups.
const HANDOVER: Duration = Duration::from_millis(500);

pub(crate) fn tolerate(refusal: Option<ErrorKind>, result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if Some(error.kind()) == refusal { Ok(()) } else { Err(error) })
}

pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let made = fs::create_dir(folder).map_err(|error| explain("make", folder, &error));
    tolerate(Some(ErrorKind::AlreadyExists), made)
}

pub(crate) fn remove_folder(folder: &Path) -> io::Result<()> {
    let removed = fs::remove_dir(folder).map_err(|error| explain("remove", folder, &error));
    tolerate(Some(ErrorKind::NotFound), removed)
}

/// Writes without creating, so that a file that the kernel does not offer is reported as absent.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let written =
        OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| explain(&format!("write `{text}` to"), path, &error))
}

pub(crate) fn explain(act: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{act} `{}`: {error}", path.display()))
}

pub(crate) fn lock(folder: &Path) -> io::Result<File> {
    let (file, deadline) = (File::open(folder)?, Instant::now() + HANDOVER);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // A new process holds what its host held until it becomes another program, even if the host is gone.
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => wait(&mut [], Duration::from_millis(1)),
            result => return Ok(result.map(|()| file)?),
        }
    }
}

/// Locks a folder that nobody has locked; nothing, if somebody has or it is not there any more.
pub(crate) fn lock_if_free(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// The groups in a group. What cannot be listed keeps the group from being removed, and that is reported.
pub(crate) fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// A group and all below it, deepest first.
pub(crate) fn tree(folder: &Path) -> Vec<PathBuf> {
    children(folder).iter().flat_map(|child| tree(child)).chain([folder.to_owned()]).collect()
}
