//! The jail: the only crate that starts a process.
//!
//! A [`Sandbox`] makes a [`Jail`] from a [`JailSpec`] (data only), and a jail makes processes from [`Command`]s. What
//! runs in a jail sees its own processes, its own network with nothing on it, a file system of exactly the paths that
//! were named, and the part of the kernel's interface that the policy of system calls lists. Whatever it starts ends
//! with it. How much of that a machine offers is found out by trial, and [`IsolationReport`] says so.
//!
//! This crate runs in the host and has no `unsafe` code. The small program that turns itself into a jail's first
//! process, and has some, is the crate [`hayloft_stage`]. The two speak over one socket, the lifeline.
//!
//! It must not know what the processes are for: no plugin, no organization, no protocol.
//!
//! # Threat notes
//!
//! Everything after the first process of a jail is hostile. The first process itself is not, but it shares a
//! process namespace with them: it cannot be traced, it has no capability, and it reads from nobody but the host.
//! A host that ends, in whatever way, closes the lifelines, and that ends the jails.
#![forbid(unsafe_code)]

mod error;
mod isolation;
mod jail;
mod process;
mod sandbox;
mod spec;
mod system;

pub use error::{JailError, StartError};
pub use hayloft_cgroup::Priority;
pub use hayloft_stage::tree::{Swept, TreeError, sweep};
pub use hayloft_stage::{GATE_NAME, Limits, MARKER_VARIABLE, Step, Temporary, Tier, UnknownTier};
pub use isolation::{IsolationReport, Layer};
pub use jail::{Jail, Meter, Network, runs_in};
pub use process::{Exit, Process, Signal};
pub use sandbox::{Options, Sandbox};
pub use spec::{Command, JailSpec, Stdio};
