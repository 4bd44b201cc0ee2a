//! What a package needs before it can run, and how far it is.

use std::sync::PoisonError;

use hayloft_model::Problems;
use hayloft_model::plugin::Package;
use serde::Serialize;

use super::{Packages, Progress};
use crate::Phase;
use crate::shelf::Failure;

/// What a package needs before it can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Dependencies must be fetched.
    pub installation: bool,
    /// It must be built.
    pub building: bool,
}

/// How far a package is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum InstallState {
    /// Nobody asked for it yet.
    Waiting,
    /// It is being made ready.
    Installing {
        /// Which step, from 1 on; 0 while it waits or is copied.
        step: usize,
        /// How many there are.
        steps: usize,
        /// What runs, for people.
        title: String,
    },
    /// It runs from its own version.
    Installed,
    /// Its dependencies could not be had.
    InstallError {
        /// Why.
        problems: Problems,
    },
    /// It could not be built.
    BuildError {
        /// Why.
        problems: Problems,
    },
}

impl Packages {
    /// What a package's folder still needs. Looks at a few files.
    #[must_use]
    pub fn needs(&self, package: &Package) -> Needs {
        let steps = self.0.plan(package);
        let any = |phase: Phase| steps.iter().any(|step| step.phase == phase && !step.is_optional());
        Needs { installation: any(Phase::Install), building: any(Phase::Build) }
    }

    /// How far a package is.
    #[must_use]
    pub fn state(&self, package: &Package) -> InstallState {
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        if let Some(running) = self.running().get(&(plugin.clone(), hash)) {
            let progress = running.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Progress { step, steps, title } = progress;
            return InstallState::Installing { step, steps, title };
        }
        if self.0.is_ready_where_it_is(package) || self.0.shelf.find(plugin, hash).is_some() {
            return InstallState::Installed;
        }
        match self.0.shelf.failure(plugin, hash) {
            Some(Failure { phase: Phase::Install, problems }) => InstallState::InstallError { problems },
            Some(Failure { phase: Phase::Build, problems }) => InstallState::BuildError { problems },
            None => InstallState::Waiting,
        }
    }

    /// What was left undone when this package was made ready, and it is whole without.
    #[must_use]
    pub fn warnings(&self, package: &Package) -> Problems {
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        let shelf = &self.0.shelf;
        let left = shelf.find(plugin, hash).and_then(|_| shelf.failure(plugin, hash));
        left.map(|failure| failure.problems).unwrap_or_default()
    }

    /// What the programs wrote that made this package, or make it now.
    #[must_use]
    pub fn log(&self, package: &Package) -> Option<String> {
        let (plugin, hash) = (&package.descriptor.id, package.content_hash);
        let running = self.running().get(&(plugin.clone(), hash)).cloned();
        running.map(|running| running.log.text()).or_else(|| self.0.shelf.log(plugin, hash))
    }
}
