//! One file per command. A command reads its input, asks the server or the machine, and prints.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{
    AuditCommand, Cli, Command, ConfigCommand, ConnectionArgs, OrgArgs, OrgCommand, PluginArgs,
    PluginCommand, TokenCommand,
};
use crate::client::{Client, Reached};
use crate::config::{self, Flag, Loaded, Sources};
use crate::failure::Failure;
use crate::place::Place;

mod audit_list;
mod cache;
mod config_show;
mod doctor;
mod migrate_plugin;
mod offline;
mod openapi;
mod org_create;
mod org_list;
mod org_remove;
mod org_stop;
mod plugin_call;
mod plugin_check;
mod plugin_disable;
mod plugin_enable;
mod plugin_get;
mod plugin_health;
mod plugin_install;
mod plugin_list;
mod plugin_logs;
mod plugin_pack;
mod plugin_permissions;
mod plugin_restart;
mod plugin_statistics;
mod plugin_stop;
mod plugin_uninstall;
mod serve;
mod token_create;
mod token_list;
mod token_revoke;
mod token_role;
mod workers;

/// What every command can reach.
pub(crate) struct Context<'a> {
    /// The environment.
    pub(crate) environment: &'a HashMap<String, String>,
    /// The configuration file that was named.
    pub(crate) config_file: Option<PathBuf>,
}

impl Context<'_> {
    /// The configuration with these flags. What is odd about it goes to standard error.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn load(&self, flags: Vec<Flag>) -> Result<Loaded, Failure> {
        let sources = Sources { file: self.config_file.as_deref(), environment: self.environment, flags };
        let loaded = config::load(sources)
            .map_err(|problems| Failure::wrong_use("the configuration is not valid").problems(problems))?;
        for warning in &loaded.warnings {
            eprintln!("{warning}");
        }
        Ok(loaded)
    }

    /// The configuration as far as a client of the server needs it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn load_for(&self, connection: &ConnectionArgs) -> Result<Loaded, Failure> {
        let flag = |data_dir: &String| Flag {
            key: "storage.data_dir",
            name: "--data-dir",
            values: vec![data_dir.clone()],
        };
        self.load(connection.data_dir.iter().map(flag).collect())
    }

    /// The server, if somebody serves.
    ///
    /// # Errors
    /// When an address or a token cannot be used.
    pub(crate) async fn reach(&self, connection: &ConnectionArgs) -> Result<Reached, Failure> {
        let loaded = self.load_for(connection)?;
        Client::find(connection, &loaded.config.storage, self.environment).await
    }

    /// The running server.
    ///
    /// # Errors
    /// When nobody serves.
    pub(crate) async fn client(&self, connection: &ConnectionArgs) -> Result<Client, Failure> {
        match self.reach(connection).await? {
            Reached::Server(client) => Ok(client),
            Reached::Nobody { data_dir } => Err(Failure::new(format!(
                "no server is running for the data folder `{}`",
                data_dir.display()
            ))
            .hint("start one with `hayloft serve`, or name one with `--url`")),
        }
    }

    /// An organization on the running server.
    ///
    /// # Errors
    /// When nobody serves, and when it is not clear which one is meant.
    pub(crate) async fn organization(&self, args: &OrgArgs) -> Result<Place, Failure> {
        let client = self.client(&args.server.connection).await?;
        let id = client.organization(args.org.as_deref()).await?;
        Ok(Place::organization(client, &id))
    }

    /// A plugin of an organization on the running server.
    ///
    /// # Errors
    /// When nobody serves, and when it is not clear which organization is meant.
    pub(crate) async fn plugin(&self, args: &PluginArgs) -> Result<Place, Failure> {
        Ok(self.organization(&args.within).await?.plugin(args.plugin.as_str()))
    }
}

/// Runs a command.
///
/// # Errors
/// When it fails.
pub(crate) fn run(cli: Cli, environment: &HashMap<String, String>) -> Result<ExitCode, Failure> {
    let context = Context { environment, config_file: cli.config };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build()
        .map_err(|error| Failure::caused("failed to start", &error))?;
    runtime.block_on(dispatch(&context, cli.command))
}

/// How many threads answer requests: half of the machine's processors, since workers need the others. A call goes through
/// several tasks; where there are more threads than work, most of what a call costs is waking them for each other.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}

async fn dispatch(context: &Context<'_>, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(args) => serve::run(context, args).await?,
        Command::Config(ConfigCommand::Show { settings, format }) => {
            config_show::run(context, settings, format)?
        }
        Command::Doctor(args) => return doctor::run(context, args).await,
        Command::Openapi => openapi::run()?,
        Command::Cache(command) => cache::run(context, command).await?,
        Command::Workers(server) => workers::run(context, &server).await?,
        Command::Audit(AuditCommand::List(args)) => audit_list::run(context, args).await?,
        Command::Org(OrgCommand::Create { name, server }) => org_create::run(context, &name, &server).await?,
        Command::Org(OrgCommand::Remove { org_id, server }) => {
            org_remove::run(context, org_id, &server).await?;
        }
        Command::Org(OrgCommand::Stop { org_id, server }) => org_stop::run(context, org_id, &server).await?,
        Command::Org(OrgCommand::List(server)) => org_list::run(context, &server).await?,
        Command::Token(TokenCommand::Create { role, name, within }) => {
            token_create::run(context, role, name, &within).await?;
        }
        Command::Token(TokenCommand::List(within)) => token_list::run(context, &within).await?,
        Command::Token(TokenCommand::Role { token_id, role, within }) => {
            token_role::run(context, token_id, role, &within).await?;
        }
        Command::Token(TokenCommand::Revoke { token_id, within }) => {
            token_revoke::run(context, token_id, &within).await?;
        }
        Command::Plugin(command) => return plugin(context, command).await,
        Command::MigratePlugin(args) => return migrate_plugin::run(&args),
    }
    Ok(ExitCode::SUCCESS)
}

async fn plugin(context: &Context<'_>, command: PluginCommand) -> Result<ExitCode, Failure> {
    match command {
        PluginCommand::Check(args) => return plugin_check::run(context, args).await,
        PluginCommand::Pack { folder, to } => return plugin_pack::run(&folder, to),
        PluginCommand::Install(args) => return plugin_install::run(context, args).await,
        PluginCommand::Uninstall { purge, of } => plugin_uninstall::run(context, purge, &of).await?,
        PluginCommand::Permissions { grant, of } => plugin_permissions::run(context, grant, &of).await?,
        PluginCommand::List(within) => plugin_list::run(context, &within).await?,
        PluginCommand::Get(of) => plugin_get::run(context, &of).await?,
        PluginCommand::Enable(args) => plugin_enable::run(context, args).await?,
        PluginCommand::Disable { purge, of } => plugin_disable::run(context, purge, &of).await?,
        PluginCommand::Restart(of) => plugin_restart::run(context, &of).await?,
        PluginCommand::Stop(of) => plugin_stop::run(context, &of).await?,
        PluginCommand::Call { tool, arguments, within } => {
            return plugin_call::run(context, &tool, &arguments, &within).await;
        }
        PluginCommand::Health(of) => return plugin_health::run(context, &of).await,
        PluginCommand::Statistics(of) => plugin_statistics::run(context, &of).await?,
        PluginCommand::Logs { tail, of } => plugin_logs::run(context, tail, &of).await?,
    }
    Ok(ExitCode::SUCCESS)
}
