//! End to end: the real binary, real Node workers, real plugins. Each file defends one promise to users.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test reports by panicking")]

mod bad_plugins;
mod command_line;
mod crashes;
mod endpoint;
mod first_call;
mod interleavings;
mod jail_features;
mod network;
mod nodes;
mod organizations;
mod packages;
mod postgres;
mod routes;
mod settings;
mod support;
