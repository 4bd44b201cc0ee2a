//! What the kernel refuses a jail: data only.

use serde::{Deserialize, Serialize};

/// Resource limits. Core dumps are always off: they would hold secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of all its processes together, its temporary files included, in bytes.
    pub memory: u64,
    /// Private writable memory of one process, in bytes. It stops a JavaScript memory bomb at once, but not shared
    /// mappings.
    pub data_segment: u64,
    /// Tasks, that is processes and their threads.
    pub tasks: u64,
    /// Descriptors that one process may have open.
    pub open_files: u64,
    /// How large a file may become, in bytes.
    pub file_size: u64,
    /// Temporary files together, in bytes, where it has a root of its own.
    pub temporary: u64,
    /// Processor time, in percent of one core, where the machine has control groups.
    pub processor: u32,
}

/// What the temporary files of a jail with a root of its own may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Temporary {
    /// Data only: nothing that a process writes can be executed.
    #[default]
    Data,
    /// Programs too, where a jail is made to install them.
    Programs,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            data_segment: 8 << 30,
            tasks: 256,
            open_files: 1024,
            file_size: 256 << 20,
            temporary: 64 << 20,
            processor: 100,
        }
    }
}
