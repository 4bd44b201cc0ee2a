//! The stage: a small program that turns itself into a jail and is then the jail's first process. All `unsafe` code of
//! the product is here.
//!
//! It reads an [`Entry`](lifeline::Entry) from the lifeline, its standard input; takes a straight line from an ordinary
//! process to a sealed one ([`enter`](run)), where each [`Step`] that fails is reported with its name; and serves as the
//! jail's factory: it starts what the host orders, collects what ends, and ends with the host. The library part is what
//! both ends of the lifeline say, for the host's side in `hayloft-sandbox`.
//!
//! It must not know what the processes are for, nor anything of the host but the lifeline: no runtime, no log, no
//! thread but its own.
//!
//! # Threat notes
//!
//! Everything that the factory starts is hostile. The stage itself is not: it runs before any of that, cannot be traced
//! (it is not dumpable), has no capability left, is under the same system call filter, and reads from nobody but the
//! host. A host that ends, in whatever way, closes the lifeline, and that ends the jail.
#![expect(
    unsafe_code,
    reason = "namespaces, mounts and the moment before exec have no safe wrapper; this crate is that wrapper"
)]

mod enter;
mod factory;
mod identity;
mod landlock;
pub mod lifeline;
mod limits;
mod network;
mod root;
mod seccomp;
mod step;
mod sys;
mod tier;
pub mod tree;

pub use enter::run;
pub use limits::{Limits, Temporary};
pub use step::Step;
pub use tier::{Tier, UnknownTier};

/// The name under which the gate is reached from inside a jail with a network of its own.
pub const GATE_NAME: &str = "hayloft.internal";

/// The variable that marks every process of a jail without namespaces and all its descendants, by inheritance.
pub const MARKER_VARIABLE: &str = "HAYLOFT_WORKER";
