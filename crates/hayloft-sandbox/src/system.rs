//! What of the host's system every jail needs: the libraries of its programs, a shell, certificates.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `system` and many programs run.
pub(crate) const SHELL: &str = "/bin/sh";

/// What programs start scripts with, under both names that systems have for their folder.
const TOOLS: [&str; 4] = [SHELL, "/usr/bin/sh", "/bin/env", "/usr/bin/env"];

/// Parts of the C library that programs load by themselves when they need them.
const LOADED_LATER: [&str; 7] = [
    "libnss_files.so.2",
    "libnss_dns.so.2",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libpthread.so.0",
    "libdl.so.2",
];

/// Where the loader finds libraries outside of its own folders.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

/// Where certificates of authorities are on the systems that we know.
const CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where they are in a jail.
const CERTIFICATES_INSIDE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Files of the host and their places in a jail: the programs with all that they load.
pub(crate) fn files(programs: &[PathBuf]) -> Vec<(PathBuf, PathBuf)> {
    let tools = TOOLS.iter().map(PathBuf::from).filter(|tool| tool.exists());
    let programs: Vec<_> = programs.iter().cloned().chain(tools).collect();
    let mut files = BTreeSet::new();
    for program in &programs {
        files.extend(libraries(program));
    }
    let beside: Vec<_> = files
        .iter()
        .filter(|library: &&PathBuf| library.file_name().is_some_and(|name| name == "libc.so.6"))
        .filter_map(|library| library.parent().map(Path::to_owned))
        .collect();
    for (folder, name) in beside.iter().flat_map(|folder| LOADED_LATER.map(|name| (folder, name))) {
        files.insert(folder.join(name));
    }
    files.extend(programs);
    files.insert(LOADER_CACHE.into());
    let mut places: Vec<_> = files.into_iter().filter(|file| file.exists()).map(at_its_place).collect();
    let certificates = CERTIFICATES.iter().map(PathBuf::from).find(|file| file.exists());
    places.extend(certificates.map(|file| (at_its_place(file).0, CERTIFICATES_INSIDE.into())));
    places
}

/// What the loader loads for a program, itself included. Nothing for one that needs no loader.
fn libraries(program: &Path) -> Vec<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where processes start, and the loader itself answers"
    )]
    let listed = Command::new(program)
        .env_clear()
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let listed = listed.map(|listed| listed.stdout).unwrap_or_default();
    // `	libc.so.6 => /lib/libc.so.6 (0x…)`, and the loader and the kernel's own part without an arrow.
    String::from_utf8_lossy(&listed)
        .lines()
        .filter_map(|line| {
            let path = line.trim().rsplit("=> ").next()?.split(" (").next()?;
            path.starts_with('/').then(|| PathBuf::from(path))
        })
        .collect()
}

/// Sorts mounts so that parents come before children, and leaves out what a mounted folder shows anyway.
pub(crate) fn in_order(mut binds: Vec<(PathBuf, PathBuf)>) -> Vec<(PathBuf, PathBuf)> {
    binds.sort_by(|one, other| one.1.cmp(&other.1));
    let mut kept: Vec<(PathBuf, PathBuf)> = Vec::with_capacity(binds.len());
    for (source, place) in binds {
        let shown = kept.iter().any(|(_, folder)| place.starts_with(folder));
        if !shown {
            kept.push((source, place));
        }
    }
    kept
}

/// A path of the host by its real name, since links lead elsewhere once the root is another, and its place.
pub(crate) fn at_its_place(path: PathBuf) -> (PathBuf, PathBuf) {
    // What cannot be resolved is refused later, by the step that needs it.
    (fs::canonicalize(&path).unwrap_or_else(|_| path.clone()), path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_comes_with_what_it_loads() {
        let files = files(&[PathBuf::from("/bin/sh")]);
        let has = |name: &str| files.iter().any(|(_, place)| place.to_string_lossy().contains(name));
        assert!(has("/libc.so.6") && has("/ld-linux") && has("/bin/sh"), "{files:?}");
        assert!(files.iter().all(|(source, _)| source.exists()), "{files:?}");
    }

    #[test]
    fn parents_come_first_and_show_their_children() {
        let same = |paths: &[&str]| -> Vec<(PathBuf, PathBuf)> {
            paths.iter().map(|path| ((*path).into(), (*path).into())).collect()
        };
        let sorted = in_order(same(&["/b/c", "/a/x", "/b", "/a", "/ab", "/a"]));
        assert_eq!(sorted, same(&["/a", "/ab", "/b"]));
    }
}
