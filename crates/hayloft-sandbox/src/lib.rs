//! The jail: the only crate with `unsafe` code and the only one that starts a process.
//!
//! It takes a [`Spec`] (data only) and gives back a [`Jailed`] process: started by one long-lived thread, with a
//! session of its own, exactly the environment and the descriptors that the specification names, limits, and no way
//! to new privileges. Whatever the process starts can be found again and ended with it. [`isolation`] says what is
//! enforced on this machine and what is not.
//!
//! It must not know what the processes are for: no plugin, no organization, no protocol.
#![expect(
    unsafe_code,
    reason = "fork, exec and signal dispositions have no safe wrapper; this crate is that wrapper"
)]

mod error;
mod isolation;
mod jailed;
mod spawner;
mod spec;
mod stage;
mod tree;

pub use error::{SpawnError, Step, TreeError};
pub use isolation::{IsolationReport, Layer, Tier, isolation};
pub use jailed::{Exit, Jailed, Signal, resident_bytes};
pub use spawner::Spawner;
pub use spec::{Limits, MARKER_VARIABLE, Spec, Stdio};
pub use tree::{Swept, sweep};
