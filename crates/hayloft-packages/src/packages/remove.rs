//! Take versions away that nobody needs any more.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, PoisonError};

use hayloft_model::{ContentHash, PluginId};

use super::{Inner, Packages};
use crate::shelf::Unused;

impl Packages {
    /// Waits until nobody makes a version.
    pub async fn settled(&self, plugin: &PluginId, hash: ContentHash) {
        let running = self.running().get(&(plugin.clone(), hash)).map(|running| running.outcome.clone());
        if let Some(outcome) = running {
            drop(outcome.await);
        }
    }

    /// The versions that are being made.
    #[must_use]
    pub fn being_made(&self) -> Vec<(PluginId, ContentHash)> {
        self.running().keys().cloned().collect()
    }

    /// Nobody wants a version any more that is being made: its jail ends, and its place is somebody else's. Who waits for
    /// it is told so; who asks for it from now on has it made anew.
    pub fn call_off(&self, plugin: &PluginId, hash: ContentHash) {
        if let Some(running) = self.running().remove(&(plugin.clone(), hash)) {
            tracing::info!(%plugin, %hash, "an installation is called off: nobody wants it any more");
            running.log.note("(called off: nobody wants it any more)");
            running.called_off.cancel();
        }
    }

    /// Takes a version away, unless somebody makes it. Gives whether nobody did. Workers that run from it must have ended
    /// before.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn remove(&self, plugin: &PluginId, hash: ContentHash) -> io::Result<bool> {
        let plugin = plugin.clone();
        if self.running().contains_key(&(plugin.clone(), hash)) {
            return Ok(false);
        }
        self.working(move |inner| inner.remove(&plugin, hash)).await?;
        Ok(true)
    }

    /// Removes versions that are neither used nor being made, but for the newest of each plugin that the operator wants
    /// to keep. Gives how many.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn tidy(&self, mut used: BTreeSet<(PluginId, ContentHash)>) -> io::Result<usize> {
        used.extend(self.running().keys().cloned());
        self.working(move |inner| {
            let unused = inner.shelf.unused(&used, inner.options.keep)?;
            for Unused { plugin, hash, .. } in &unused {
                inner.remove(plugin, *hash)?;
            }
            Ok(unused.iter().filter(|unused| unused.is_whole).count())
        })
        .await
    }

    /// What versions take on the disk, in bytes. What is not there takes nothing.
    pub async fn bytes_of(&self, versions: BTreeSet<(PluginId, ContentHash)>) -> u64 {
        let inner = Arc::clone(&self.0);
        let sum = move || versions.iter().map(|(plugin, hash)| inner.bytes(plugin, *hash)).sum();
        // It reads a few small files.
        tokio::task::spawn_blocking(sum).await.unwrap_or(u64::MAX)
    }

    async fn working<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(io::Error::other).flatten()
    }
}

impl Inner {
    fn remove(&self, plugin: &PluginId, hash: ContentHash) -> io::Result<()> {
        self.exchange(plugin, hash, |shelf| shelf.take_away(plugin, hash))?;
        self.shelf.sweep(plugin)
    }

    fn bytes(&self, plugin: &PluginId, hash: ContentHash) -> u64 {
        let key = (plugin.clone(), hash);
        let sizes = || self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = sizes().get(&key).copied() {
            return bytes;
        }
        let exchanging = self.exchanging.of(plugin, hash);
        let _whole = exchanging.read().unwrap_or_else(PoisonError::into_inner);
        let Some(bytes) = self.shelf.bytes(plugin, hash) else { return 0 };
        sizes().insert(key, bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use hayloft_model::plugin::Package;
    use hayloft_sandbox::{Options as SandboxOptions, Sandbox, Tier};
    use tempfile::TempDir;

    use super::super::Options;
    use super::*;
    use crate::shelf::Closed;
    use crate::{Dial, InstallLimits, Registry, RegistryStream, Toolchain};

    const PATIENCE: Duration = Duration::from_secs(30);

    struct Nowhere;

    impl Dial for Nowhere {
        fn dial<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<RegistryStream>> {
            async { Err(io::Error::other("nothing is fetched here")) }.boxed()
        }
    }

    fn packages(scratch: &TempDir) -> Packages {
        let test = std::env::current_exe().unwrap();
        let sandbox = SandboxOptions {
            stage: test.parent().unwrap().with_file_name("hayloft-stage"),
            programs: Vec::new(),
            paths: Vec::new(),
            owner: format!("shelf-{}", std::process::id()),
            strongest: Tier::A,
        };
        let options = Options {
            shelf: scratch.path().join("packages"),
            sandbox: Sandbox::start(sandbox).unwrap(),
            toolchain: Toolchain {
                node: "/nonexistent/node".into(),
                npm: None,
                esbuild: None,
                components: None,
            },
            provided: Vec::new(),
            at_hand: Vec::new(),
            registry: Registry::default(),
            dial: Arc::new(Nowhere),
            limits: InstallLimits::default(),
            keep: 0,
            script_grants: BTreeSet::new(),
        };
        Packages::open(options).unwrap()
    }

    /// A version that is ready.
    fn version(packages: &Packages, source: &Path, id: &str) -> Package {
        let root = source.join(id);
        fs::create_dir_all(&root).unwrap();
        let manifest = format!(
            r#"{{ "name": "{id}", "version": "1.0.0", "hay-plugin": {{ "entry": "./index.js", "displayName": "X", "category": "utility", "capabilities": [] }} }}"#
        );
        let inner = &packages.0;
        let staging = inner.shelf.stage(id).unwrap();
        let whole = staging.path().join("whole");
        fs::create_dir(&whole).unwrap();
        for folder in [&root, &whole] {
            fs::write(folder.join("package.json"), &manifest).unwrap();
            fs::write(folder.join("index.js"), "export default () => ({});").unwrap();
        }
        let (descriptor, problems) = hayloft_manifest::read_plugin(&root);
        let package = Package {
            content_hash: hayloft_manifest::content_hash(&root).unwrap(),
            root,
            descriptor: descriptor.unwrap_or_else(|| panic!("{problems}")),
            start: Default::default(),
        };
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        let closed = Closed::of(whole).unwrap();
        inner.exchange(plugin, hash, |shelf| shelf.publish(plugin, hash, &closed)).unwrap();
        package
    }

    #[tokio::test]
    #[expect(clippy::await_holding_lock, reason = "it is held by nobody who is waited for")]
    async fn nobody_waits_while_another_version_is_exchanged() {
        let scratch = tempfile::tempdir().unwrap();
        let packages = packages(&scratch);
        let [mine, theirs, old] =
            ["mine", "theirs", "old"].map(|id| version(&packages, &scratch.path().join("source"), id));
        let theirs_lock = packages.0.exchanging.of(&theirs.descriptor.id, theirs.content_hash);
        let exchanged = theirs_lock.write().unwrap();

        let ready = |package: &Package| {
            let (packages, package) = (packages.clone(), package.clone());
            async move { tokio::time::timeout(PATIENCE, packages.ready(&package)).await.unwrap().unwrap() }
        };
        assert!(ready(&mine).await.is_some(), "a start of another one");
        let removed = packages.remove(&old.descriptor.id, old.content_hash);
        assert!(tokio::time::timeout(PATIENCE, removed).await.unwrap().unwrap());
        assert!(ready(&old).await.is_none(), "and so does a removal");

        // Who wants the very one waits until it is there again.
        let waits = tokio::spawn(ready(&theirs));
        let at_it = async {
            while Arc::strong_count(&theirs_lock) == 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, at_it).await.unwrap();
        assert!(!waits.is_finished());
        drop(exchanged);
        assert!(waits.await.unwrap().is_some());
        assert_eq!(packages.tidy(BTreeSet::new()).await.unwrap(), 2);
    }
}
