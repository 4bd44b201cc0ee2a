//! Why a jail or a process could not be made or ended.

use std::io;
use std::path::PathBuf;

use hayloft_stage::Step;

/// A jail or a process that was not started. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[error("{step}{} for {label}", .path.as_ref().map(|path| format!(" `{}`", path.display())).unwrap_or_default())]
pub struct JailError {
    /// What failed.
    pub step: Step,
    /// What the jail or process was to be.
    pub label: String,
    /// The file or folder that the step was about.
    pub path: Option<PathBuf>,
    /// What the kernel said.
    pub source: io::Error,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

/// Why there is no sandbox at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The options are wrong.
    #[error("use `{0}` as the owner of processes: only letters, digits and `-` are allowed")]
    Owner(String),
    /// The machine gives no further thread.
    #[error("start the thread that starts processes")]
    Thread(#[source] io::Error),
    /// The kernel refuses what it said it allows.
    #[error("raise the limit of open files to what is allowed")]
    Descriptors(#[source] io::Error),
    /// Root must have ids for workers.
    #[error("take a block of ids for workers")]
    Ids(#[source] io::Error),
    /// Not even an unjailed process can be made.
    #[error("start a process")]
    Stage(#[source] JailError),
}
