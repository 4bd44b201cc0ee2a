//! The processes of workers as the host sees them.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// The number of a process as the host sees it, from the one that it has for itself beside a worker.
pub(crate) fn beside(worker: u32, inside: u32) -> u32 {
    let namespace = |pid| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own_number = |pid| -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        numbers.split_whitespace().last()?.parse().ok()
    };
    let shared = namespace(worker);
    all()
        .find(|pid| own_number(*pid) == Some(inside) && namespace(*pid) == shared)
        .unwrap_or_else(|| panic!("nobody beside {worker} is its {inside}"))
}

/// The processes whose file system has something mounted that lies in this folder of the host.
pub(crate) fn that_see(folder: &Path) -> Vec<u32> {
    let folder = format!("{}/", folder.display());
    let sees = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/mountinfo")).is_ok_and(|mounts| mounts.contains(&folder))
    };
    all().filter(sees).collect()
}

/// A process and all that descend from it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<_> = all().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(parent) = tree.get(next).copied() {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    tree
}

pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

pub(crate) fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat[0] != "Z")
}

/// Waits until all of them have ended.
pub(crate) async fn until_gone(pids: &[u32], patience: Duration) {
    let gone = async {
        while pids.iter().any(|pid| is_running(*pid)) {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(patience, gone).await.is_err() {
        let left: Vec<_> = pids.iter().filter(|pid| is_running(**pid)).collect();
        panic!("{left:?} still run after {patience:?}");
    }
}

fn all() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// What follows the name in the process table, beginning with the state.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}
