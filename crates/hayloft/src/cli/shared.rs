//! Flags that many commands have.

use clap::Args;

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
