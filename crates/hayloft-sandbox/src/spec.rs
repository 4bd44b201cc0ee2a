//! What a process shall be: data only, so that it can be built, compared and logged without any right.

use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

/// The variable that marks every process of a jail and all its descendants, by inheritance.
pub const MARKER_VARIABLE: &str = "HAYLOFT_WORKER";

/// A process to start.
#[derive(Debug)]
pub struct Spec {
    /// Absolute path of the executable. It is not searched for.
    pub program: PathBuf,
    /// The arguments after the program's own name.
    pub arguments: Vec<OsString>,
    /// Where it starts.
    pub working_directory: PathBuf,
    /// All variables that it gets; nothing is inherited. [`MARKER_VARIABLE`] is added to them.
    pub environment: Vec<(OsString, OsString)>,
    /// The value of [`MARKER_VARIABLE`]: `<owner>/<process>`, with further parts for what belongs to that process.
    /// A process whose marker continues another one's with `/…` belongs to its tree.
    pub marker: String,
    /// Open descriptors and their numbers in the child, 3 to 15. All others are closed.
    pub descriptors: Vec<(OwnedFd, RawFd)>,
    /// Descriptor 0.
    pub stdin: Stdio,
    /// Descriptor 1.
    pub stdout: Stdio,
    /// Descriptor 2.
    pub stderr: Stdio,
    /// What the kernel refuses it.
    pub limits: Limits,
    /// What to call it in errors.
    pub label: String,
}

/// One of the three standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdio {
    /// `/dev/null`.
    Null,
    /// A pipe whose other end the caller takes.
    Piped,
}

/// Resource limits; `None` leaves what the host itself has. Core dumps are always off: they would hold secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How many descriptors it may have open.
    pub open_files: Option<u64>,
    /// How large a file it may write, in bytes.
    pub file_size: Option<u64>,
    /// Private writable memory, in bytes. It stops every JavaScript memory bomb, but not shared mappings.
    pub data_segment: Option<u64>,
    /// How many tasks, threads included. The kernel counts them per user, so that it is only of use where each
    /// jail has a user of its own.
    pub tasks: Option<u64>,
}
