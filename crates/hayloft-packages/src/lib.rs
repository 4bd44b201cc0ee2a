//! What becomes of a plugin's folder before it runs: copied, installed, built, sealed and kept, version beside version.
//!
//! [`Packages`] takes a folder that somebody vouches for no further than that it is theirs, makes it ready in a jail
//! whose only way out is the registry, and puts what came of it on a shelf where nothing changes any more. Workers
//! run from there. What an author wrote wrong is never an error of ours: it is a [`Problem`](hayloft_model::Problem)
//! with its place.
//!
//! This crate alone knows npm, the folders of packages and their archives. It must not know organizations'
//! configuration, HTTP beyond the one line that asks for the registry, or SQL, and it never runs a plugin's code
//! outside of a jail.
#![forbid(unsafe_code)]

mod allowance;
pub mod archive;
mod bundle;
mod components;
mod entry_name;
mod error;
mod exchanging;
mod install;
mod log;
mod npm;
mod packages;
mod plan;
mod progress;
mod registry;
mod sdk;
mod shelf;
mod snapshot;
mod start;
mod tree;
mod turns;
mod uploads;
mod watch;
mod workshop;

pub use allowance::{Allowance, Allowed};
pub use components::ComponentCompiler;
pub use error::{InstallError, Phase};
pub use npm::find_npm;
pub use packages::{InstallState, Needs, Options, Packages};
pub use progress::{InstallEvent, Position};
pub use registry::{Dial, Registry, RegistryStream, UnusableRegistry};
pub use sdk::Provided;
pub use shelf::Tampered;
pub use start::{CompiledCode, NewStart};
pub use tree::Room;
pub use uploads::{Unpacked, Uploads};
pub use watch::Watch;
pub use workshop::{InstallLimits, Toolchain};
