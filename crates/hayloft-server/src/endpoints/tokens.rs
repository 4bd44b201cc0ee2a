//! Bearer tokens of an organization.

pub(crate) mod change_role;
pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;

use hayloft_model::{Problem, Role};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::body::object;

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

/// Reads a role out of a body.
fn role(value: Value) -> Result<Role, Problem> {
    object::text(value)?
        .parse()
        .map_err(|_| Problem::error("", "is not a role").hint("choose one of `admin`, `member`, `agent`"))
}
