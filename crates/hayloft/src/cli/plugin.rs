//! Commands about plugins.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::settings::SettingsArgs;
use super::shared::{FormatArgs, OrgArgs, PluginArgs};

/// Commands about plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Check a plugin's folder, or its archive, without running any of its code unless `--run` says so.
    Check(CheckArgs),
    /// Upload a plugin of the organization's own to the running server.
    Install(InstallArgs),
    /// Remove a plugin that the organization uploaded. Its settings stay.
    Uninstall {
        /// Delete its settings and credentials too, and what it kept, for good.
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        of: PluginArgs,
    },
    /// Pack a plugin's folder into one file. The same files always give the same bytes.
    Pack {
        /// The folder.
        folder: PathBuf,
        /// The file to write, instead of one in the current folder that is named after the plugin.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// List the plugins that an organization can have.
    List(OrgArgs),
    /// Show a plugin with its settings (secrets masked) and its state.
    Get(PluginArgs),
    /// Switch a plugin on, and give it settings and credentials.
    Enable(EnableArgs),
    /// Switch a plugin off. Its settings stay.
    Disable {
        /// Delete its settings and credentials too, for good.
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        of: PluginArgs,
    },
    /// Start a plugin anew. One that is held back because it crashed too often is released.
    Restart(PluginArgs),
    /// End a plugin's worker once its calls have ended. It stays switched on: the next call starts it again.
    Stop(PluginArgs),
    /// Show what a plugin may do, and what it asks for beyond that.
    Permissions {
        /// Grant all that it asks for now.
        #[arg(long)]
        grant: bool,
        #[command(flatten)]
        of: PluginArgs,
    },
    /// Call a tool and print its result. The exit code is 1 when the tool says no.
    Call {
        /// The tool's public name, such as `shopify__get_order`.
        tool: String,
        /// The arguments as a JSON object; `-` reads them from standard input.
        #[arg(value_name = "JSON", default_value = "{}")]
        arguments: String,
        #[command(flatten)]
        within: OrgArgs,
    },
    /// Tell whether a plugin is well, without starting it. The exit code is 1 when it is not.
    Health(PluginArgs),
    /// Show how much a plugin's tools were used, how long calls took, and how many broke.
    Statistics(PluginArgs),
    /// Print what a plugin's workers wrote last.
    Logs {
        /// How many lines.
        #[arg(long, value_name = "LINES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
        tail: u32,
        #[command(flatten)]
        of: PluginArgs,
    },
}

/// Flags of `plugin check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The folder, or the archive that `plugin pack` or `npm pack` made of it, or a `.zip`.
    #[arg(value_name = "DIR|ARCHIVE")]
    pub(crate) plugin: PathBuf,
    /// Install and build it if need be, start it in a jail without an organization, and say what it registers and where
    /// that differs from what it declares. No server is needed.
    #[arg(long)]
    pub(crate) run: bool,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Flags of `plugin install`.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// The archive that `plugin pack` or `npm pack` made, a `.zip`, or the plugin's folder.
    #[arg(value_name = "FILE|DIR")]
    pub(crate) plugin: PathBuf,
    /// Switch it on, and wait until it is installed.
    #[arg(long)]
    pub(crate) enable: bool,
    /// Take the place of a newer version.
    #[arg(long)]
    pub(crate) allow_downgrade: bool,
    #[command(flatten)]
    pub(crate) within: OrgArgs,
}

/// Flags of `plugin enable`.
#[derive(Debug, Args)]
pub(crate) struct EnableArgs {
    /// A setting; may be repeated. The value is JSON if it reads as such, else text.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Settings as a JSON object; `-` reads them from standard input, which keeps secrets out of the list of processes.
    #[arg(long = "settings", value_name = "JSON", conflicts_with = "settings")]
    pub(crate) settings_json: Option<String>,
    /// The id of the auth method to use.
    #[arg(long, value_name = "METHOD")]
    pub(crate) auth: Option<String>,
    /// What the auth method needs; may be repeated.
    #[arg(long = "credential", value_name = "NAME=VALUE", requires = "auth")]
    pub(crate) credentials: Vec<String>,
    #[command(flatten)]
    pub(crate) of: PluginArgs,
}
