//! `[telemetry]`: logs.

use std::fmt;
use std::str::FromStr;

use super::reader::SettingsReader;
use super::setting::Setting;

/// The settings of this section.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("telemetry.log", "HAYLOFT_LOG"),
    Setting::new("telemetry.log_format", "HAYLOFT_LOG_FORMAT"),
];

/// Enough to follow what happens; the migrations would tell a screen full of it at the first start.
const DEFAULT_FILTER: &str = "info,sea_orm_migration=warn";

/// Logs.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry {
    /// What is logged, in the syntax of `tracing`: `info`, `hayloft_workers=debug,info`.
    pub(crate) log: String,
    /// How a line looks.
    pub(crate) log_format: LogFormat,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be `auto`, `text` or `json`"),
        }
    }
}

impl Telemetry {
    pub(super) fn read(settings: &mut SettingsReader<'_>) -> Self {
        Self {
            log: settings.parsed("telemetry.log", String::from(DEFAULT_FILTER)),
            log_format: settings.parsed("telemetry.log_format", LogFormat::Auto),
        }
    }
}
