//! Settings as flags.

use std::fmt::Display;
use std::str::FromStr;

use clap::Args;
use hayloft_sandbox::Tier;
use hayloft_server::{AddressRange, PublicUrl};

use crate::config::{Flag, LogFormat, listen_address};

/// Flags that are settings.
#[derive(Debug, Default, Args)]
pub(crate) struct SettingsArgs {
    /// The address to listen on; port 0 takes a free one [default: 127.0.0.1:3001]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) listen: Option<String>,
    /// The folder that Hayloft has for itself [default: ./data]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
    /// A folder with plugins; may be repeated [default: ./plugins]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) plugins_dir: Vec<String>,
    /// The database [default: the embedded one in the data folder]
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// The address under which the outside reaches this server
    #[arg(long, value_name = "URL", value_parser = checked::<PublicUrl>)]
    pub(crate) public_url: Option<String>,
    /// Proxies whose `x-forwarded-host` and `x-forwarded-proto` count; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = checked::<AddressRange>)]
    pub(crate) trusted_proxies: Vec<String>,
    /// The weakest isolation of plugins that is accepted: A, B, C or off [default: B]
    #[arg(long, value_name = "TIER", value_parser = checked::<Tier>)]
    pub(crate) isolation: Option<String>,
    /// The folder with the worker's runner [default: `runtime` beside this program]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) runtime_dir: Option<String>,
    /// The Node executable for workers [default: the one in the runtime folder, else `node` in PATH]
    #[arg(long, value_name = "FILE")]
    pub(crate) node: Option<String>,
    /// What is logged, such as `info` or `hayloft_workers=debug,info` [default: info]
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How a log line looks: auto, text or json [default: auto]
    #[arg(long, value_name = "FORMAT", value_parser = checked::<LogFormat>)]
    pub(crate) log_format: Option<String>,
}

impl SettingsArgs {
    /// The flags that were given.
    pub(crate) fn flags(self) -> Vec<Flag> {
        let one = |key, name, value: Option<String>| Flag { key, name, values: value.into_iter().collect() };
        let many = |key, name, values| Flag { key, name, values };
        let mut flags = vec![
            one("server.listen", "--listen", self.listen),
            one("storage.data_dir", "--data-dir", self.data_dir),
            many("plugins.dirs", "--plugins-dir", self.plugins_dir),
            one("storage.database_url", "--database-url", self.database_url),
            one("server.public_url", "--public-url", self.public_url),
            many("server.trusted_proxies", "--trusted-proxies", self.trusted_proxies),
            one("runtime.isolation", "--isolation", self.isolation),
            one("runtime.dir", "--runtime-dir", self.runtime_dir),
            one("runtime.node", "--node", self.node),
            one("telemetry.log", "--log", self.log),
            one("telemetry.log_format", "--log-format", self.log_format),
        ];
        flags.retain(|flag| !flag.values.is_empty());
        flags
    }
}

/// As [`checked`], for an address with its port.
fn address(text: &str) -> Result<String, String> {
    listen_address(text).map(|_| text.to_owned())
}

/// Checks a value where it is written, and keeps it as text for the merge with the other sources.
fn checked<T: FromStr<Err: Display>>(text: &str) -> Result<String, String> {
    text.parse::<T>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}
