//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod organization;
mod plugin;
mod settings;
mod shared;

pub(crate) use self::organization::{
    AuditCommand, AuditListArgs, CacheArgs, CacheCommand, OrgCommand, RoleArg, TokenCommand,
};
pub(crate) use self::plugin::{CheckArgs, EnableArgs, InstallArgs, PluginCommand};
pub(crate) use self::settings::SettingsArgs;
pub(crate) use self::shared::{ConnectionArgs, FormatArgs, OrgArgs};

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

/// Flags of `workers`.
#[derive(Debug, Args)]
pub(crate) struct WorkersArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
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
