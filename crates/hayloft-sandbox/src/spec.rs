//! What a jail and its processes shall be: data only, so that it can be built, compared and logged without any right.

use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

use hayloft_stage::{Limits, Temporary};

/// A jail to make.
#[derive(Clone, Debug, Default)]
pub struct JailSpec {
    /// What to call it in errors.
    pub label: String,
    /// Its own name among those of this host: letters, digits, `-` and `_`.
    pub name: String,
    /// Absolute paths of what it may read and execute, beside the system's own few files. They keep their places.
    pub paths: Vec<PathBuf>,
    /// Symbolic links that it finds, where it has a root of its own: place and target.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// An existing empty folder of the host, the only one that it may write to where it has no root of its own.
    pub home: PathBuf,
    /// Where the host listens for its connections, at every address that stands for a name: TCP ports, each once. With a
    /// network of its own.
    pub ports: Vec<u16>,
    /// What the kernel refuses it.
    pub limits: Limits,
    /// What its temporary files may be, where it has a root of its own.
    pub temporary: Temporary,
}

/// A process to start in a jail.
#[derive(Debug)]
pub struct Command {
    /// Absolute path of the executable. It is not searched for.
    pub program: PathBuf,
    /// The arguments after the program's own name.
    pub arguments: Vec<OsString>,
    /// Where it starts.
    pub working_directory: PathBuf,
    /// All variables that it gets; nothing is inherited. [`hayloft_stage::MARKER_VARIABLE`] belongs to the sandbox.
    pub environment: Vec<(OsString, OsString)>,
    /// Open descriptors and their numbers in the process, 3 to 15. All others are closed.
    pub descriptors: Vec<(OwnedFd, RawFd)>,
    /// Descriptor 0.
    pub stdin: Stdio,
    /// Descriptor 1.
    pub stdout: Stdio,
    /// Descriptor 2.
    pub stderr: Stdio,
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
