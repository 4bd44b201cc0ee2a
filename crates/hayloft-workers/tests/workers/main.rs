//! The life of workers, tried with real processes of a runner that does whatever a test wants, in the strongest jail that
//! this machine has. Beside this program, others run the same tests in weaker ones.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod any_order;
mod candidates;
mod compiled;
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
mod pool;
mod processes;
mod requests;
mod routes;
mod sampling;
mod secrets;
mod servers;
mod starts;
mod support;
mod warm;

/// No stronger jail is used.
const STRONGEST: hayloft_sandbox::Tier = hayloft_sandbox::Tier::A;
