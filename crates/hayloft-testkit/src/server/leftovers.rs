//! What a stopped server left behind: processes, temporary files, sockets.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use super::{DATA, TEMPORARY};
use crate::process::Offspring;

/// What a stopped server left behind, one line each.
pub(super) fn leftovers(offspring: &Offspring, folder: &Path, patience: Duration) -> Vec<String> {
    let processes = offspring.wait_gone(&[folder], patience);
    let mut found: Vec<_> =
        processes.iter().map(|process| format!("process {}: {}", process.pid, process.command)).collect();
    files(&folder.join(TEMPORARY), &mut |file, _| found.push(format!("temporary file {}", file.display())));
    files(&folder.join(DATA), &mut |file, kind| {
        if kind.is_socket() || kind.is_fifo() {
            found.push(format!("socket {}", file.display()));
        }
    });
    found
}

fn files(folder: &Path, visit: &mut dyn FnMut(&Path, fs::FileType)) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let Ok(kind) = entry.file_type() else { continue };
        visit(&entry.path(), kind);
        if kind.is_dir() {
            files(&entry.path(), visit);
        }
    }
}
