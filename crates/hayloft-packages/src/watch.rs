//! Tells when something changes in folders of plugins, once it has become quiet again.
//!
//! Each folder is watched by itself, and those that hold no code of a plugin's own are not: a single `node_modules` has
//! more folders than a user may watch.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// Folders of a plugin that are not watched.
const LEFT_OUT: [&str; 2] = ["node_modules", ".git"];

/// How far down folders are watched.
const DEEPEST: usize = 12;

/// Down to here a link to a folder is followed, as it is where plugins are looked for: authors link what they work on
/// into place.
const DEEPEST_LINK: usize = 3;

/// Most folders that are watched. The kernel counts them for all programs of a user.
const MOST: usize = 4096;

/// An editor, a compiler, a checkout: so long after its last write it is taken to be done. Who was only taking breath changes
/// the folder again, and what was read of it before is dropped: whoever makes it ready copies it and compares.
const QUIET: Duration = Duration::from_millis(100);

/// What never becomes quiet is looked at all the same.
const AT_LATEST: Duration = Duration::from_secs(5);

/// Watches folders.
pub struct Watch {
    roots: Vec<PathBuf>,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    changes: mpsc::UnboundedReceiver<Instant>,
}

impl Watch {
    /// Begins to watch. A folder that is not there is not watched.
    ///
    /// # Errors
    /// When the system has no more watches to give.
    pub fn begin(roots: Vec<PathBuf>) -> notify::Result<Self> {
        let (tell, changes) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is no change. An error means that events were lost, so there may be one.
            if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
                // Nobody listens any more when the host is going down.
                let _ = tell.send(Instant::now());
            }
        })?;
        let mut watch = Self { roots, watcher, watched: BTreeSet::new(), changes };
        watch.renew();
        Ok(watch)
    }

    /// Waits for a change and then until it is quiet, and gives when the last one was; nothing when nothing will ever be
    /// told again.
    pub async fn changed(&mut self) -> Option<Instant> {
        let mut last = self.changes.recv().await?;
        let latest = Instant::now() + AT_LATEST;
        let quiet = async {
            while let Ok(Some(change)) = timeout(QUIET, self.changes.recv()).await {
                last = change;
            }
        };
        // Either way somebody looks now.
        let _ = timeout_at(latest, quiet).await;
        self.renew();
        Some(last)
    }

    /// Watches the folders that are there now.
    fn renew(&mut self) {
        let mut now = BTreeSet::new();
        for root in &self.roots {
            collect(root, 0, &mut now);
        }
        for gone in self.watched.difference(&now) {
            // The kernel forgets a folder together with its watch.
            let _ = self.watcher.unwatch(gone);
        }
        for new in now.difference(&self.watched) {
            if let Err(error) = self.watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %new.display(), %error, "failed to watch a folder of plugins; what changes in it is seen at the next start");
            }
        }
        self.watched = now;
    }
}

fn collect(folder: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    if depth > DEEPEST || found.len() >= MOST || !folder.is_dir() || !found.insert(folder.to_owned()) {
        return;
    }
    // A folder that cannot be read has no changes to tell of.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let left_out = LEFT_OUT.iter().any(|name| entry.file_name() == *name);
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir())
            || depth < DEEPEST_LINK && entry.path().is_dir();
        if !left_out && is_folder {
            collect(&entry.path(), depth + 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_change_is_told_wherever_it_happens_and_reading_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        fs::create_dir_all(root.join("core/x/src")).unwrap();
        fs::create_dir_all(root.join("core/x/node_modules/y")).unwrap();
        fs::write(root.join("core/x/src/index.js"), "1").unwrap();
        let mut watch = Watch::begin(vec![root.clone()]).unwrap();
        let told = async |watch: &mut Watch| timeout(Duration::from_secs(20), watch.changed()).await.unwrap();

        fs::write(root.join("core/x/src/index.js"), "2").unwrap();
        let first = told(&mut watch).await.unwrap();
        // Folders that are new are watched from then on.
        fs::create_dir_all(root.join("custom/org/z")).unwrap();
        assert!(told(&mut watch).await.unwrap() > first);
        fs::write(root.join("custom/org/z/package.json"), "{}").unwrap();
        assert!(told(&mut watch).await.is_some());
        // And so are those that somebody links into place.
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir_all(elsewhere.path().join("src")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.join("core/linked")).unwrap();
        assert!(told(&mut watch).await.is_some());
        fs::write(elsewhere.path().join("src/index.js"), "1").unwrap();
        assert!(told(&mut watch).await.is_some());

        fs::read(root.join("core/x/src/index.js")).unwrap();
        fs::write(root.join("core/x/node_modules/y/index.js"), "1").unwrap();
        assert!(timeout(Duration::from_secs(1), watch.changed()).await.is_err(), "neither is a change");
    }
}
