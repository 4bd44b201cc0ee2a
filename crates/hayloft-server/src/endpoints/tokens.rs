//! Bearer tokens of an organization.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;

use hayloft_model::Role;
use serde::Serialize;
use utoipa::ToSchema;

/// What a token may do.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Role)]
pub(crate) enum RoleName {
    /// Configures plugins and hands out tokens.
    Admin,
    /// Reads everything but secrets and calls tools.
    Member,
    /// An AI agent: lists and calls tools, nothing else.
    Agent,
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
            Role::Agent => Self::Agent,
        }
    }
}
