//! The life of workers where there are no namespaces: Landlock and the system call filter are all that holds them.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod candidates;
mod crashes;
mod ends;
mod gate;
mod held;
mod host_crash;
mod isolation;
mod kept;
mod leaving;
mod memory;
mod network;
mod processes;
mod routes;
mod sampling;
mod secrets;
mod servers;
mod starts;
mod support;
mod warm;

/// No stronger jail is used.
const STRONGEST: hayloft_sandbox::Tier = hayloft_sandbox::Tier::C;
