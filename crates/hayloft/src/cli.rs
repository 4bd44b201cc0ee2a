//! What can be written on the command line.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hayloft_model::{OrganizationId, PluginId, TokenId};
use hayloft_sandbox::Tier;
use hayloft_server::{AddressRange, PublicUrl};

use crate::config::{Flag, LogFormat};

/// A plugin host for many organizations.
///
/// Every flag of `serve` can also be set as `HAYLOFT_…` in the environment and in `hayloft.toml`; `hayloft config show`
/// prints what came of it.
#[derive(Debug, Parser)]
#[command(name = "hayloft", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// The configuration file [default: `hayloft.toml`, if it is there] [env: HAYLOFT_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve plugins to organizations.
    Serve(ServeArgs),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say what is enforced on this machine, what is missing, and how to get it.
    Doctor(DoctorArgs),
    /// Organizations.
    #[command(subcommand)]
    Org(OrgCommand),
    /// Bearer tokens of an organization.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Whether results of tools that only read are kept for a while.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Plugins.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Rewrite a plugin that declares everything as one that says it in TypeScript.
    MigratePlugin(MigrateArgs),
    /// List the workers that run.
    Workers(WorkersArgs),
    /// The audit trail.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print the OpenAPI document of the REST API.
    Openapi,
}

/// Flags of `serve`.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// Flags that are settings.
#[derive(Debug, Default, Args)]
pub(crate) struct SettingsArgs {
    /// The address to listen on; port 0 takes a free one [default: 127.0.0.1:3001]
    #[arg(long, value_name = "ADDRESS", value_parser = checked::<std::net::SocketAddr>)]
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

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting with its value and where that came from; secrets are masked.
    Show {
        #[command(flatten)]
        settings: SettingsArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Commands about organizations.
#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// Make an organization and print its id.
    Create {
        /// The name that people read.
        name: String,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Remove an organization for good, with all that it gave. Only its audit trail stays.
    Remove {
        /// The organization's id, `org_…`.
        org_id: OrganizationId,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// List the organizations that the token can see.
    List {
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
}

/// Commands about tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it. It cannot be shown again.
    Create {
        #[command(flatten)]
        org: OrgArgs,
        /// What it may do.
        #[arg(long, value_enum, default_value_t = RoleArg::Member)]
        role: RoleArg,
        /// A note on who uses it.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// List the tokens of an organization.
    List {
        #[command(flatten)]
        org: OrgArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Give a token another role.
    Role {
        /// The token's public name, `tok_…`.
        token_id: TokenId,
        /// What it may do from now on.
        #[arg(value_enum)]
        role: RoleArg,
        #[command(flatten)]
        org: OrgArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Take a token back.
    Revoke {
        /// The token's public name, `tok_…`.
        token_id: TokenId,
        #[command(flatten)]
        org: OrgArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

/// What a token may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleArg {
    /// Configures plugins and hands out tokens.
    Admin,
    /// Reads everything but secrets and calls tools.
    Member,
    /// An AI agent: lists and calls tools, nothing else.
    Agent,
}

impl From<RoleArg> for hayloft_model::Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Admin => Self::Admin,
            RoleArg::Member => Self::Member,
            RoleArg::Agent => Self::Agent,
        }
    }
}

/// Flags of `migrate-plugin`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// The plugin's folder.
    pub(crate) folder: PathBuf,
    /// Print what would be written, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Commands about results that are kept.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show what counts for an organization.
    Show(CacheArgs),
    /// Keep results.
    On(CacheArgs),
    /// Keep none.
    Off(CacheArgs),
    /// Leave it to the operator.
    Default(CacheArgs),
}

/// Flags of `cache`.
#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    #[command(flatten)]
    pub(crate) org: OrgArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Commands about plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Check a plugin's folder, or its archive, without running any of its code unless `--run` says so.
    Check(CheckArgs),
    /// Upload a plugin of the organization's own to the running server.
    Install(InstallArgs),
    /// Remove a plugin that the organization uploaded. Its settings stay.
    Uninstall {
        /// The plugin's id.
        plugin: PluginId,
        #[command(flatten)]
        org: OrgArgs,
        /// Delete its settings and credentials too, and what it kept, for good.
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
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
    List {
        #[command(flatten)]
        org: OrgArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show a plugin with its settings (secrets masked) and its state.
    Get {
        /// The plugin's id.
        plugin: PluginId,
        #[command(flatten)]
        org: OrgArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Switch a plugin on, and give it settings and credentials.
    Enable(EnableArgs),
    /// Switch a plugin off. Its settings stay.
    Disable {
        /// The plugin's id.
        plugin: PluginId,
        #[command(flatten)]
        org: OrgArgs,
        /// Delete its settings and credentials too, for good.
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Start a plugin anew. One that is held back because it crashed too often is released.
    Restart {
        /// The plugin's id.
        plugin: PluginId,
        #[command(flatten)]
        org: OrgArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show what a plugin may do, and what it asks for beyond that.
    Permissions {
        /// The plugin's id.
        plugin: PluginId,
        #[command(flatten)]
        org: OrgArgs,
        /// Grant all that it asks for now.
        #[arg(long)]
        grant: bool,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Call a tool and print its result. The exit code is 1 when the tool says no.
    Call {
        /// The tool's public name, such as `shopify__get_order`.
        tool: String,
        /// The arguments as a JSON object; `-` reads them from standard input.
        #[arg(value_name = "JSON", default_value = "{}")]
        arguments: String,
        #[command(flatten)]
        org: OrgArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
        /// Print the whole result as JSON instead of its text.
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Tell whether a plugin is well, without starting it. The exit code is 1 when it is not.
    Health {
        /// The plugin's id.
        plugin: PluginId,
        #[command(flatten)]
        org: OrgArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show how much a plugin's tools were used, how long calls took, and how many broke.
    Statistics {
        /// The plugin's id.
        plugin: PluginId,
        #[command(flatten)]
        org: OrgArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Print what a plugin's workers wrote last.
    Logs {
        /// The plugin's id.
        plugin: PluginId,
        #[command(flatten)]
        org: OrgArgs,
        /// How many lines.
        #[arg(long, value_name = "LINES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
        tail: u32,
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(flatten)]
        format: FormatArgs,
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
    #[command(flatten)]
    pub(crate) org: OrgArgs,
    /// Switch it on, and wait until it is installed.
    #[arg(long)]
    pub(crate) enable: bool,
    /// Take the place of a newer version.
    #[arg(long)]
    pub(crate) allow_downgrade: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Flags of `plugin enable`.
#[derive(Debug, Args)]
pub(crate) struct EnableArgs {
    /// The plugin's id.
    pub(crate) plugin: PluginId,
    #[command(flatten)]
    pub(crate) org: OrgArgs,
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
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Flags of `workers`.
#[derive(Debug, Args)]
pub(crate) struct WorkersArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Commands about the audit trail.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List what happened, newest first: to an organization, or to the host itself if none is named.
    List(AuditListArgs),
}

/// Flags of `audit list`.
#[derive(Debug, Args)]
pub(crate) struct AuditListArgs {
    /// The organization's id or name; the host's own trail if left out
    #[arg(long, value_name = "ORG")]
    pub(crate) org: Option<String>,
    /// At most so many entries.
    #[arg(long, value_name = "ENTRIES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Which organization.
#[derive(Clone, Debug, Args)]
pub(crate) struct OrgArgs {
    /// The organization's id or name; may be left out when the token sees only one
    #[arg(long, value_name = "ORG")]
    pub(crate) org: Option<String>,
}

/// How to reach the server.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ConnectionArgs {
    /// The server's address [default: the one that serves the data folder] [env: HAYLOFT_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A bearer token [default: the administrator's, from the data folder] [env: HAYLOFT_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// The data folder of the server [default: ./data]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
}

/// How the answer is printed.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct FormatArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Checks a value where it is written, and keeps it as text for the merge with the other sources.
fn checked<T: FromStr<Err: Display>>(text: &str) -> Result<String, String> {
    text.parse::<T>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::settings;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_a_setting_under_its_own_name() {
        let args = [
            "hayloft",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "d",
            "--plugins-dir",
            "p",
            "--plugins-dir",
            "q",
            "--database-url",
            "sqlite:x",
            "--public-url",
            "https://x.example",
            "--trusted-proxies",
            "::1",
            "--isolation",
            "off",
            "--runtime-dir",
            "r",
            "--node",
            "n",
            "--log",
            "debug",
            "--log-format",
            "json",
        ];
        let Command::Serve(serve) = Cli::parse_from(args).command else {
            panic!("it is `serve`");
        };
        let flags = serve.settings.flags();
        assert_eq!(flags.len(), 11);
        for flag in &flags {
            let setting = settings().find(|setting| setting.key == flag.key);
            let variable = format!("HAYLOFT_{}", flag.name[2..].replace('-', "_").to_uppercase());
            assert_eq!(setting.map(|setting| setting.variable), Some(variable.as_str()), "{}", flag.name);
            assert!(args.contains(&flag.name));
        }
        assert_eq!(flags[2].values, ["p", "q"]);
    }
}
