//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod organization;
mod plugin;
mod settings;
mod shared;

pub(crate) use self::organization::{
    AuditCommand, AuditListArgs, CacheCommand, OrgCommand, RoleArg, TokenCommand,
};
pub(crate) use self::plugin::{CheckArgs, EnableArgs, InstallArgs, PluginCommand};
pub(crate) use self::settings::SettingsArgs;
pub(crate) use self::shared::{ConnectionArgs, FormatArgs, OrgArgs, PluginArgs, ServerArgs};

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
    Workers(ServerArgs),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::settings;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// The documents that tell people what to type.
    const DOCUMENTS: [&str; 11] = [
        "README.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "docs/decisions/0006-who-switches-on-grants.md",
        "docs/design/worker-life.md",
        "docs/operate/configuration.md",
        "docs/operate/hayloft.apparmor",
        "docs/operate/hayloft.service",
        "docs/operate/isolation.md",
        "docs/operate/network.md",
        "packages/plugin-sdk/README.md",
    ];

    /// What stands behind the program's name: in back-ticks, or on a line of its own.
    fn commands(text: &str) -> impl Iterator<Item = &str> {
        let inline = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let lines = text.lines().map(|line| line.trim_start_matches("ExecStart="));
        inline.chain(lines).filter_map(|line| {
            let (program, rest) = line.split_once(' ')?;
            (program == "hayloft" || program.ends_with("/hayloft")).then_some(rest)
        })
    }

    #[test]
    fn every_command_in_the_documents_is_one() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut seen = 0;
        for document in DOCUMENTS {
            let text = std::fs::read_to_string(root.join(document)).unwrap();
            for written in commands(&text).filter(|written| written.starts_with(char::is_alphabetic)) {
                seen += 1;
                let mut command = Cli::command();
                command.build();
                for word in written.split(' ').map(|word| word.trim_matches(['[', ']'])) {
                    if let Some(flag) = word.strip_prefix("--") {
                        let is_known = command.get_arguments().any(|known| known.get_long() == Some(flag));
                        assert!(is_known, "{document}: `{written}` has a flag that is none: `--{flag}`");
                    } else if command.has_subcommands() {
                        let below = command.find_subcommand(word).cloned();
                        command = below.unwrap_or_else(|| panic!("{document}: `{written}` is no command"));
                    }
                }
            }
        }
        assert!(seen > 30, "only {seen} commands were found");
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
