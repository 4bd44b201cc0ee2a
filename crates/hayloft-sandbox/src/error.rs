//! Why a process could not be started or ended.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A process that was not started. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[error("{step} `{}` for {label}", path.display())]
pub struct SpawnError {
    /// What failed.
    pub step: Step,
    /// What the process was to be.
    pub label: String,
    /// The file or folder that the step was about.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

/// The steps of a start, in their order. Each completes "failed to …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Checking the specification and making pipes.
    Prepare,
    /// Making the new process.
    Fork,
    /// A session of its own, without a terminal.
    Session,
    /// Default signal handling.
    Signals,
    /// Dying with the host, and adopting orphans.
    Lifeline,
    /// Only the descriptors that the specification names.
    Descriptors,
    /// Resource limits.
    Limits,
    /// No new privileges.
    Privileges,
    /// The working directory.
    WorkingDirectory,
    /// Becoming the program.
    Execute,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 10] = [
        Self::Prepare,
        Self::Fork,
        Self::Session,
        Self::Signals,
        Self::Lifeline,
        Self::Descriptors,
        Self::Limits,
        Self::Privileges,
        Self::WorkingDirectory,
        Self::Execute,
    ];

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u8 == byte)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "prepare the start of",
            Self::Fork => "make a process for",
            Self::Session => "open a session for",
            Self::Signals => "reset the signals of",
            Self::Lifeline => "tie to the host's life",
            Self::Descriptors => "pass the descriptors to",
            Self::Limits => "set the limits of",
            Self::Privileges => "give up privileges before",
            Self::WorkingDirectory => "enter the working directory",
            Self::Execute => "execute",
        })
    }
}

/// A tree of processes that could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The list of processes cannot be read.
    #[error("read the list of processes in `/proc`")]
    List(#[source] io::Error),
    /// They got `SIGKILL` and are still there; the kernel holds them, usually in a device or network file system.
    #[error("end the processes {pids:?} within {seconds} s of `SIGKILL`")]
    StillThere {
        /// Their ids.
        pids: Vec<i32>,
        /// How long was waited.
        seconds: u64,
    },
    /// The thread that was to do it is gone.
    #[error("run the clean-up")]
    Interrupted,
}
