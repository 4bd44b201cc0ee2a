//! What Node compiled of a plugin's code, as a worker hands it over: its compile cache, made with the flags of a worker.
//!
//! The worker writes it to a file in memory before it says `ready`: a head with names and lengths, then all bytes. It is
//! the plugin's word, like everything that comes out of its jail. The file is the only one of its kind that a worker ever
//! has, so its size is settled before it is handed over: no memory can be hidden in it beyond that.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use serde::Deserialize;

use crate::settings::Settings;
use hayloft_model::PluginDescriptor;

/// The file's descriptor in the worker.
pub(crate) const DESCRIPTOR: RawFd = 5;

/// Where Node writes while it collects, in the worker's home.
pub(crate) const FOLDER: &str = "compiled";

/// How Node is told where.
pub(crate) const VARIABLE: &str = "NODE_COMPILE_CACHE";

/// The size of the file, in bytes. What is not written takes no memory.
const SIZE: u64 = 64 << 20;

/// Most files: more modules than a plugin loads before it registers.
const MOST_FILES: usize = 10_000;

/// The longest head, in bytes.
const LONGEST_HEAD: usize = 4 << 20;

/// What Node compiled. The names are the worker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The name of the folder that Node made, which says for which Node and which flags.
    pub folder: String,
    /// The names of the files in it, and what they hold.
    pub files: Vec<(String, Vec<u8>)>,
}

#[derive(Deserialize)]
struct Head {
    folder: String,
    files: Vec<(String, usize)>,
}

/// A file for a worker to write to, and the same file for the host.
pub(crate) fn file() -> io::Result<(OwnedFd, File)> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match memfd_create("compiled", flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3 it could be executed, which gives no more than the jail has.
        Err(Errno::INVAL) => memfd_create("compiled", flags)?,
        file => file?,
    };
    rustix::fs::ftruncate(&file, SIZE)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok((file.try_clone()?, File::from(file)))
}

/// What a worker wrote; nothing if it wrote nothing. It may go on writing, so nothing is read twice.
pub(crate) fn read(file: &File) -> io::Result<Option<Compiled>> {
    let odd = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
    let mut length = [0; 4];
    file.read_exact_at(&mut length, 0)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length == 0 {
        return Ok(None);
    }
    if length > LONGEST_HEAD {
        return Err(odd("its head is too long"));
    }
    let mut head = vec![0; length];
    file.read_exact_at(&mut head, 4)?;
    let head: Head = serde_json::from_slice(&head)?;
    if head.files.len() > MOST_FILES {
        return Err(odd("it has more files than anybody wants"));
    }
    let names: BTreeSet<&str> = head.files.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() < head.files.len() {
        return Err(odd("it names a file twice"));
    }
    let mut files = Vec::with_capacity(head.files.len());
    let mut at = 4 + length as u64;
    for (name, length) in head.files {
        let end = at.checked_add(length as u64).filter(|end| *end <= SIZE);
        let end = end.ok_or_else(|| odd("it holds less than it says"))?;
        let mut content = vec![0; length];
        file.read_exact_at(&mut content, at)?;
        files.push((name, content));
        at = end;
    }
    Ok(Some(Compiled { folder: head.folder, files }))
}

/// What compiled code depends on beside the code: Node, its flags, and the runner.
pub(crate) fn made_for(settings: &Settings, plugin: &PluginDescriptor) -> String {
    let facts = |path: &Path| match path.metadata() {
        Ok(facts) => format!("{} {} {}.{}", path.display(), facts.size(), facts.mtime(), facts.mtime_nsec()),
        Err(_) => path.display().to_string(),
    };
    let old_space = settings.resources_of(plugin).old_space_mib;
    format!("{} | {} | {old_space}", facts(&settings.runtime.node), facts(&settings.runtime.runner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(head: &str, rest: &[u8]) -> io::Result<Option<Compiled>> {
        let (_worker, host) = file().unwrap();
        let length = u32::try_from(head.len()).unwrap().to_be_bytes();
        host.write_all_at(&[&length, head.as_bytes(), rest].concat(), 0).unwrap();
        read(&host)
    }

    #[test]
    fn what_was_written_is_read() {
        let (_worker, host) = file().unwrap();
        assert_eq!(read(&host).unwrap(), None);
        let compiled = written(r#"{"folder":"v24","files":[["a",2],["b",0],["c",3]]}"#, b"12345").unwrap();
        let files = [("a", "12"), ("b", ""), ("c", "345")];
        let files = files.map(|(name, bytes)| (name.to_owned(), bytes.as_bytes().to_vec())).into();
        assert_eq!(compiled, Some(Compiled { folder: "v24".into(), files }));
    }

    #[test]
    fn a_worker_that_lies_gives_nothing() {
        assert!(written(r#"{"folder":"v24","files":[["a",67108864]]}"#, b"12").is_err());
        assert!(written("no json", b"").is_err());
        assert!(written(r#"{"folder":"v24","files":[["a",1],["a",1]]}"#, b"12").is_err());
        let many = |count: usize| {
            let names: Vec<String> = (0..count).map(|number| format!(r#"["{number}",0]"#)).collect();
            written(&format!(r#"{{"folder":"v24","files":[{}]}}"#, names.join(",")), b"")
        };
        assert!(many(MOST_FILES).is_ok() && many(MOST_FILES + 1).is_err());
        assert!(written(r#"{"folder":"v24","files":[["a",18446744073709551615]]}"#, b"12").is_err());
        let (_worker, host) = file().unwrap();
        host.write_all_at(&[255, 255, 255, 255, 0], 0).unwrap();
        assert!(read(&host).is_err());
    }

    #[test]
    fn it_holds_no_more_than_it_is_for() {
        let (worker, host) = file().unwrap();
        host.write_all_at(b"x", SIZE - 1).unwrap();
        for worker in [File::from(worker.try_clone().unwrap()), File::from(worker)] {
            assert!(worker.write_all_at(b"x", SIZE).is_err());
            assert!(worker.set_len(SIZE + 1).is_err() && worker.set_len(0).is_err());
        }
    }
}
