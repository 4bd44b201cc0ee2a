//! End to end: the real binary, real Node workers, real plugins. Each file defends one promise to users.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test reports by panicking")]

mod bad_plugins;
mod class_plugins;
mod command_line;
mod crashes;
mod defaults;
mod endpoint;
mod external;
mod fast_starts;
mod first_call;
mod hatago;
mod health;
mod held_back;
mod interleavings;
mod jail_features;
mod leaks;
mod many_calls;
mod mcp_servers;
mod migration;
mod network;
mod nodes;
mod organizations;
mod packages;
mod postgres;
mod procedures;
mod routes;
mod settings;
mod support;
mod traps;
mod uploads;
mod warm;
