//! Commands about organizations and what belongs to one of them: its tokens, its kept results, its audit trail.

use clap::{Args, Subcommand, ValueEnum};
use hayloft_model::{OrganizationId, TokenId};

use super::shared::{OrgArgs, ServerArgs};

/// Commands about organizations.
#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// Make an organization and print its id.
    Create {
        /// The name that people read.
        name: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Remove an organization for good, with all that it gave. Only its audit trail stays.
    Remove {
        /// The organization's id, `org_…`.
        org_id: OrganizationId,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// End all that runs of an organization. Its plugins stay switched on: the next calls start them again.
    Stop {
        /// The organization's id, `org_…`.
        org_id: OrganizationId,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List the organizations that the token can see.
    List(ServerArgs),
}

/// Commands about tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it. It cannot be shown again.
    Create {
        /// What it may do.
        #[arg(long, value_enum, default_value_t = RoleArg::Member)]
        role: RoleArg,
        /// A note on who uses it.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        within: OrgArgs,
    },
    /// List the tokens of an organization.
    List(OrgArgs),
    /// Give a token another role.
    Role {
        /// The token's public name, `tok_…`.
        token_id: TokenId,
        /// What it may do from now on.
        #[arg(value_enum)]
        role: RoleArg,
        #[command(flatten)]
        within: OrgArgs,
    },
    /// Take a token back.
    Revoke {
        /// The token's public name, `tok_…`.
        token_id: TokenId,
        #[command(flatten)]
        within: OrgArgs,
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

/// Commands about results that are kept.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show what counts for an organization.
    Show(OrgArgs),
    /// Keep results.
    On(OrgArgs),
    /// Keep none.
    Off(OrgArgs),
    /// Leave it to the operator.
    Default(OrgArgs),
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
    pub(crate) server: ServerArgs,
}
