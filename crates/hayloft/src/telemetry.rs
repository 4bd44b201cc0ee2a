//! Logs on standard error: text on a terminal, JSON elsewhere.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, Telemetry};
use crate::failure::Failure;

/// Starts logging.
///
/// # Errors
/// When the filter is not one.
pub(crate) fn start(telemetry: &Telemetry) -> Result<(), Failure> {
    let filter = EnvFilter::builder().parse(&telemetry.log).map_err(|error| {
        Failure::wrong_use(format!("`telemetry.log` is not a filter: {error}"))
            .hint("write it like `info` or `hayloft_workers=debug,info`")
    })?;
    let text = match telemetry.log_format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let started = if text {
        registry.with(fmt::layer().with_writer(io::stderr)).try_init()
    } else {
        // Every field of a line, and of the request around it, on one line of JSON.
        registry.with(fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init()
    };
    started.map_err(|error| Failure::caused("failed to start logging", &error))
}
