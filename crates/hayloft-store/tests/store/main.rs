//! What the store promises. `contract` is the promise that every backend keeps; the rest is about files and processes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, wherever it is")]

mod backend;
mod contract;
mod crash;
mod files;
mod journal;
mod opening;
mod support;
