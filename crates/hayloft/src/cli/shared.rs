//! What many commands take.

use clap::Args;
use hayloft_model::PluginId;

/// A plugin of an organization.
#[derive(Clone, Debug, Args)]
pub(crate) struct PluginArgs {
    /// The plugin's id.
    pub(crate) plugin: PluginId,
    #[command(flatten)]
    pub(crate) within: OrgArgs,
}

/// An organization on a server.
#[derive(Clone, Debug, Args)]
pub(crate) struct OrgArgs {
    /// The organization's id or name; may be left out when the token sees only one
    #[arg(long, value_name = "ORG")]
    pub(crate) org: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// A server, and how its answer is printed.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
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
