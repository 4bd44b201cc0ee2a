//! Why a package was not made ready.

use std::io;
use std::path::Path;

use hayloft_model::{Problem, Problems};
use serde::{Deserialize, Serialize};

/// The part of the way that a package did not get past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its files, its dependencies.
    Install,
    /// What is made of them.
    Build,
}

/// Why a package was not made ready. Nothing of it is left then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InstallError {
    /// What its author wrote, or what came of it, cannot be used.
    #[error("the package cannot be {}: {}", match phase { Phase::Install => "installed", Phase::Build => "built" }, first(problems))]
    Refused {
        /// How far it came.
        phase: Phase,
        /// Everything that is known to be wrong.
        problems: Problems,
    },
    /// Something that it takes is not to be had at the moment: the registry, or room on the host's disk.
    #[error("the package cannot be {} now: {}", match phase { Phase::Install => "installed", Phase::Build => "built" }, first(problems))]
    Unavailable {
        /// How far it came.
        phase: Phase,
        /// What is missing.
        problems: Problems,
    },
    /// Nobody wants it any more.
    #[error("the package is not made ready: nobody wants it any more")]
    CalledOff,
    /// We broke.
    #[error("failed to {what}: {reason}")]
    Host {
        /// What was tried.
        what: String,
        /// Why it failed.
        reason: String,
    },
}

impl InstallError {
    /// Where it is shown: what an author can mend, or that it is not theirs to mend.
    #[must_use]
    pub fn problems(&self) -> Problems {
        match self {
            Self::Refused { problems, .. } | Self::Unavailable { problems, .. } => problems.clone(),
            Self::CalledOff => Problem::error("package", "is not made ready: nobody wants it any more")
                .hint("switch the plugin on")
                .into(),
            Self::Host { what, .. } => {
                Problem::error("package", format!("failed to {what}, for a reason of the host")).into()
            }
        }
    }

    /// Whether it is nothing that the package's author could mend, so that it may be over another time.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Refused { .. } => false,
            Self::Unavailable { .. } | Self::CalledOff | Self::Host { .. } => true,
        }
    }
}

fn first(problems: &Problems) -> String {
    problems.iter().next().map_or_else(String::new, |problem| format!("{}: {}", problem.at, problem.message))
}

/// What is wrong while files are handled: with them, or with the host.
#[derive(Debug)]
pub(crate) enum Fault {
    Wrong(Problem),
    Host { what: String, source: io::Error },
}

impl Fault {
    pub(crate) fn host(what: &str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Host { what: format!("{what} `{}`", path.display()), source }
    }

    pub(crate) fn in_phase(self, phase: Phase) -> InstallError {
        match self {
            Self::Wrong(problem) => InstallError::Refused { phase, problems: problem.into() },
            Self::Host { what, source } if is_full(&source) => {
                let message = format!("there is no room left on the host to {what}: {source}");
                let problem = Problem::error("packages", message)
                    .hint("ask the operator to make room for the data folder, or to keep fewer versions: `packages.keep`");
                InstallError::Unavailable { phase, problems: problem.into() }
            }
            Self::Host { what, source } => InstallError::Host { what, reason: source.to_string() },
        }
    }
}

/// Whether the disk, or the host's share of it, is full.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Wrong(problem)
    }
}
