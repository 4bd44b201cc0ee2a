//! One package's way through its workshop: from a copy of its folder to what came of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hayloft_model::Problem;
use hayloft_model::plugin::Package;

use super::{Inner, Progress};
use crate::bundle::{self, Bundled};
use crate::error::{Fault, InstallError};
use crate::install::{self, Copied};
use crate::log::RunLog;
use crate::npm::Scripts;
use crate::progress::InstallEvent;
use crate::shelf::Staging;
use crate::workshop::{Fittings, Workshop};
use crate::{Phase, plan};

impl Inner {
    /// What a package needs before it can run.
    pub(super) fn plan(&self, package: &Package) -> Vec<plan::Step> {
        let options = &self.options;
        let compiler = options.toolchain.components.as_ref();
        let compiler = compiler.filter(|_| Workshop::is_possible(&options.sandbox));
        plan::plan(&package.root, &package.descriptor, &options.provided, compiler, self.scripts_of(package))
    }

    /// Whether scripts of what a package depends on may run.
    fn scripts_of(&self, package: &Package) -> Scripts {
        match self.options.script_grants.contains(&package.descriptor.id) {
            true => Scripts::Granted,
            false => Scripts::Ignored,
        }
    }

    pub(super) fn copy(&self, package: &Package, number: u64) -> Result<(Staging, Copied), InstallError> {
        let options = &self.options;
        let staging = self.shelf.stage(&number.to_string());
        let staging = staging
            .map_err(Fault::host("make room in", &options.shelf))
            .map_err(|fault| fault.in_phase(Phase::Install))?;
        let copied = install::copy(
            package,
            self.plan(package),
            staging.path(),
            &options.provided,
            options.limits.room,
        )
        .and_then(|mut copied| {
            if !copied.steps.is_empty() {
                install::prepare(&mut copied, &options.provided)?;
            }
            Ok(copied)
        })
        .map_err(|fault| fault.in_phase(Phase::Install))?;
        Ok((staging, copied))
    }

    pub(super) async fn make(
        &self,
        copied: &Copied,
        package: &Package,
        staging: &Staging,
        number: u64,
        log: &Arc<RunLog>,
        progress: &Arc<Mutex<Progress>>,
    ) -> Result<(PathBuf, Option<Bundled>), InstallError> {
        let options = &self.options;
        if let Some(first) = copied.steps.first() {
            self.possible(first.phase)?;
        }
        let home = staging.path().join("home");
        std::fs::create_dir(&home)
            .map_err(Fault::host("make", &home))
            .map_err(|fault| fault.in_phase(Phase::Install))?;
        let workshop = Workshop::open(Fittings {
            sandbox: &options.sandbox,
            toolchain: &options.toolchain,
            provided: &options.provided,
            at_hand: &options.at_hand,
            registry: &options.registry,
            dial: &options.dial,
            limits: &options.limits,
            scripts: self.scripts_of(package),
            source: copied.top(),
            home: &home,
            name: format!("install-{number}"),
            log,
        })
        .await?;
        let steps = copied.steps.len();
        let report = |number: usize, step: &plan::Step| {
            let (title, percent) = (step.title(), 100 * number / steps);
            log.told.tell(InstallEvent::Step { step: number + 1, steps, percent, title: title.clone() });
            *progress.lock().unwrap_or_else(PoisonError::into_inner) =
                Progress { step: number + 1, steps, title };
        };
        let made = self.work(&workshop, copied, package, staging, &report).await;
        // Whatever came of it, nothing of the jail is left.
        workshop.close().await?;
        made
    }

    /// All that is done in a workshop. Gives where the package is then, and what came of bundling it.
    async fn work(
        &self,
        workshop: &Workshop,
        copied: &Copied,
        package: &Package,
        staging: &Staging,
        report: &(dyn Fn(usize, &plan::Step) + Send + Sync),
    ) -> Result<(PathBuf, Option<Bundled>), InstallError> {
        let options = &self.options;
        let room = options.limits.room;
        install::run(workshop, copied, report).await?;
        let bundled = match self.to_bundle(copied, package) {
            Some((esbuild, entry)) => Some(
                bundle::make(workshop, esbuild, Path::new(install::PLACE), entry, &options.provided).await,
            ),
            None => None,
        };
        if copied.steps.is_empty() {
            // It is as it was copied, so only the bundle comes out.
            let root = copied.root();
            let bundled = match bundled {
                Some(Bundled::Of(files)) => {
                    bundle::remove(&root)
                        .map_err(Fault::host("make room in", &root))
                        .map_err(|fault| fault.in_phase(Phase::Build))?;
                    let folder = root.join(bundle::FOLDER);
                    match install::fetch(workshop, copied, bundle::FOLDER, &folder, room).await {
                        Ok(()) => Some(Bundled::Of(files)),
                        Err(error) => Some(Bundled::Not(error.to_string())),
                    }
                }
                other => other,
            };
            return Ok((root, bundled));
        }
        let result = staging.path().join("result");
        install::fetch(workshop, copied, "", &result, room).await?;
        Ok((result, bundled))
    }

    /// Whether this machine can make packages at all. Where it cannot, that is the same for every package, and its
    /// author can still ship it whole.
    fn possible(&self, phase: Phase) -> Result<(), InstallError> {
        let wanting = if !Workshop::is_possible(&self.options.sandbox) {
            let tier = self.options.sandbox.isolation().tier;
            let verb = match phase {
                Phase::Install => "fetched",
                Phase::Build => "built",
            };
            let message = format!(
                "nothing can be {verb} here: that takes isolation A or B, and this machine gives `{tier}`"
            );
            let problem = Problem::error("isolation", message);
            problem.hint("`npm install` and `npm run build` in its folder make it whole; `hayloft doctor` says what isolation lacks here")
        } else if self.options.toolchain.npm.is_none() {
            Problem::error("npm", "there is no npm beside Node or in PATH")
                .hint("ask the operator to install npm, or make the package whole before it is shipped")
        } else {
            return Ok(());
        };
        Err(InstallError::Refused { phase, problems: wanting.into() })
    }
}
