//! What makes a version start faster: whether its code is bundled, and what Node compiled of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use hayloft_model::plugin::Package;

use super::{Inner, Packages};
use crate::Phase;
use crate::bundle::{self, Bundled};
use crate::error::{Fault, InstallError};
use crate::install::Copied;
use crate::log::RunLog;
use crate::shelf::Closed;
use crate::start::{self, NewStart};
use crate::workshop::Workshop;

impl Packages {
    /// Whether nobody found out yet how a package that is ready starts fastest with this Node.
    #[must_use]
    pub fn lacks_start(&self, package: &Package, made_for: &str) -> bool {
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        let kept =
            self.0.shelf.find_start(plugin, hash).and_then(|start| start::read(&start, Some(made_for)));
        self.0.shelf.find(plugin, hash).is_some() && kept.is_none()
    }

    /// The module that may stand for the entry of a package that is ready.
    #[must_use]
    pub fn bundle(&self, package: &Package) -> Option<PathBuf> {
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        self.0.shelf.find(plugin, hash).and_then(|version| bundle::of(&version))
    }

    /// Keeps how a package that is ready starts fastest. From now on it starts so.
    ///
    /// # Errors
    /// When that cannot be written; the package starts as it did, or from its own files.
    pub async fn keep_start(&self, package: &Package, new: NewStart) -> Result<(), InstallError> {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        self.0
            .blocking(package, move |inner, package| {
                let (plugin, hash) = (&package.descriptor.id, package.content_hash);
                let kept = inner.shelf.stage(&number.to_string()).and_then(|staging| {
                    let made = staging.path().join("start");
                    new.write(&made)?;
                    let made = Closed::of(made)?;
                    inner.exchange(plugin, hash, |shelf| shelf.keep_start(plugin, hash, &made))
                });
                let at = &inner.options.shelf;
                kept.map_err(Fault::host("keep what starts fast in", at))
                    .map_err(|fault| fault.in_phase(Phase::Build))
            })
            .await
    }
}

impl Inner {
    /// What bundles a package, and the entry to bundle; nothing where a bundle would gain or be nothing.
    pub(super) fn to_bundle<'a>(
        &'a self,
        copied: &Copied,
        package: &'a Package,
    ) -> Option<(&'a Path, &'a Path)> {
        let esbuild = self.options.toolchain.esbuild.as_deref()?;
        let entry = bundle::entry(&package.descriptor)?;
        // A few files of its own are read as fast as one.
        let joins = !copied.steps.is_empty() || bundle::has_dependencies(&copied.root());
        (joins && Workshop::is_possible(&self.options.sandbox)).then_some((esbuild, entry))
    }

    /// Decides whether the bundle is used, and leaves nothing in its place that is none.
    pub(super) fn judge(
        &self,
        package: &Package,
        result: &Path,
        bundled: Option<Bundled>,
        log: &RunLog,
    ) -> io::Result<()> {
        let Some(bundled) = bundled else { return bundle::remove(result) };
        let plugin = &package.descriptor.id;
        match bundle::judge(result, bundled)? {
            Bundled::Of(files) => log.note(&format!("(its code is bundled: {files} files in one)")),
            Bundled::Not(reason) => {
                log.note(&format!("(its code is not bundled: {reason})"));
                tracing::info!(%plugin, reason, "the plugin runs from its own files, which takes longer to start");
            }
        }
        Ok(())
    }
}
