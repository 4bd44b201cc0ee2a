//! Who is asking: the principal behind a request and what it may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::InvalidId;
use crate::{OrganizationId, TokenId};

/// What a token of an organization stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Configures plugins and hands out tokens.
    Admin,
    /// Reads everything but secrets and calls tools.
    Member,
    /// An AI agent: lists and calls tools, nothing else.
    Agent,
}

impl Role {
    /// Every role, for help texts.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Member, Self::Agent];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Agent => "agent",
        }
    }

    const fn grants(self, scope: Scope) -> bool {
        match (self, scope) {
            (Self::Admin, _)
            | (_, Scope::ToolsRead | Scope::ToolsCall)
            | (Self::Member, Scope::PluginsRead) => true,
            (Self::Member | Self::Agent, _) => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| InvalidId {
            text: text.chars().take(80).collect(),
            expected: "a role (`admin`, `member` or `agent`)",
        })
    }
}

/// One kind of act inside an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// List plugins, their state, configuration (masked) and logs.
    PluginsRead,
    /// Enable, configure, disable plugins.
    PluginsWrite,
    /// List tools.
    ToolsRead,
    /// Call tools.
    ToolsCall,
    /// Make and revoke tokens, read the audit trail.
    Access,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] =
        [Self::PluginsRead, Self::PluginsWrite, Self::ToolsRead, Self::ToolsCall, Self::Access];

    /// The name that plugins read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PluginsRead => "plugins:read",
            Self::PluginsWrite => "plugins:write",
            Self::ToolsRead => "tools:read",
            Self::ToolsCall => "tools:call",
            Self::Access => "access",
        }
    }
}

/// The principal of a request, as its bearer token proved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The administrator of this Hayloft: may act for any organization.
    Administrator,
    /// A token of one organization.
    Organization {
        /// The only organization that it may see.
        organization: OrganizationId,
        /// What it may do there.
        role: Role,
        /// Which token, for the audit trail.
        token: TokenId,
    },
}

impl Caller {
    /// Whether the caller may do this in that organization.
    #[must_use]
    pub fn may(&self, organization: OrganizationId, scope: Scope) -> bool {
        match self {
            Self::Administrator => true,
            Self::Organization { organization: own, role, .. } => *own == organization && role.grants(scope),
        }
    }

    /// Whether the caller belongs to that organization at all. To others it does not exist.
    #[must_use]
    pub fn sees(&self, organization: OrganizationId) -> bool {
        match self {
            Self::Administrator => true,
            Self::Organization { organization: own, .. } => *own == organization,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Administrator => f.write_str("administrator"),
            Self::Organization { token, .. } => token.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn roles_grant_what_they_say_and_only_at_home() {
        let home = OrganizationId::from_uuid(Uuid::from_u128(1));
        let abroad = OrganizationId::from_uuid(Uuid::from_u128(2));
        let scopes =
            [Scope::PluginsRead, Scope::PluginsWrite, Scope::ToolsRead, Scope::ToolsCall, Scope::Access];
        let table = [
            (Role::Admin, [true, true, true, true, true]),
            (Role::Member, [true, false, true, true, false]),
            (Role::Agent, [false, false, true, true, false]),
        ];
        for (role, expected) in table {
            let token = TokenId::from_uuid(Uuid::from_u128(3));
            let caller = Caller::Organization { organization: home, role, token };
            assert_eq!(scopes.map(|scope| caller.may(home, scope)), expected, "{role}");
            assert_eq!(scopes.map(|scope| caller.may(abroad, scope)), [false; 5], "{role}");
        }
        assert!(Caller::Administrator.may(abroad, Scope::Access));
    }
}
