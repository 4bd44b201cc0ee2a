//! The life of workers, tried with real processes of a runner that does whatever a test wants.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod candidates;
mod crashes;
mod ends;
mod host_crash;
mod isolation;
mod leaving;
mod routes;
mod secrets;
mod servers;
mod starts;
mod support;
