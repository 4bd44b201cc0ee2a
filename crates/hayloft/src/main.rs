//! The binary: command line, configuration, wiring, start and stop. The only place where a backend is chosen, and the
//! only one that reads the environment, the clock and chance.

use std::collections::HashMap;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

mod admin_token;
mod announcement;
mod cli;
mod client;
mod commands;
mod config;
mod events;
mod failure;
mod isolation;
mod lifecycle;
mod outbound;
mod output;
mod place;
mod ports;
mod progress;
mod runtime_files;
mod telemetry;
mod wire;

use cli::Cli;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::run(cli, &environment()) {
        Ok(code) => code,
        Err(failure) => {
            if failure.is_reportable() {
                eprintln!("{failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}

/// The environment, without what is no text.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the environment comes in; everything below is handed it"
)]
fn environment() -> HashMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
