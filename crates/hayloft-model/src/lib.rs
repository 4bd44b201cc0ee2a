//! What things are: pure values, their legal states, and the ports to time and chance.
//!
//! This crate must not know tokio, SQL, HTTP or any plugin format. Everything in it can be made, compared and
//! printed in a test without a process, a file or a clock.

pub mod caller;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod host_name;
pub mod ids;
pub mod instance;
pub mod nesting;
pub mod plugin;
pub mod priority;
pub mod problem;
pub mod secret;
pub mod size;
pub mod worker_state;

pub use caller::{Caller, Role, Scope};
pub use clock::Clock;
pub use entropy::Entropy;
pub use host_name::{HostName, HostNameError};
pub use ids::{ContentHash, InstanceKey, OrganizationId, PluginId, Revision, ServerId, TokenId, WorkerId};
pub use instance::InstanceState;
pub use plugin::{PluginDescriptor, Registration};
pub use priority::{Priority, PriorityOutOfRange};
pub use problem::{Problem, Problems, Severity};
pub use secret::Secret;
pub use worker_state::WorkerState;
