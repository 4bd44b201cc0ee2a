//! What a plugin needs from its host, and what it is content to go without.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What must hold before a plugin can start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Requirements {
    /// Environment variables that must have a value: the host's own, or a setting that is exported under the name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Rights that the plugin asks for, such as `org:<organizationId>:mcp:invoke`. Absent for plugins that say
    /// nothing of rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The versions of Node that its code runs on, as npm writes ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl Requirements {
    /// Whether people of an organization may call its tools. A plugin that speaks of rights must ask for this one.
    #[must_use]
    pub fn lets_tools_be_called(&self) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|scope| is_invoke(scope)))
    }

    /// Whether nothing is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The right without which a plugin's tools cannot be called, behind whatever organization it is written for.
const INVOKE: &str = "mcp:invoke";

/// Whether a right is this one.
pub(super) fn is_invoke(scope: &str) -> bool {
    scope.strip_suffix(INVOKE).is_some_and(|before| before.is_empty() || before.ends_with(':'))
}

/// What the host does for code that gets only what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Requests to the outside.
    Fetch,
    /// Values kept for an organization and a plugin.
    Kv,
    /// The worker's log.
    Logger,
    /// Work that is done later or again and again.
    Timer,
    /// Cryptography.
    Crypto,
}

impl Service {
    /// Every service, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Fetch, Self::Kv, Self::Logger, Self::Timer, Self::Crypto];

    /// The name in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Kv => "kv",
            Self::Logger => "logger",
            Self::Timer => "timer",
            Self::Crypto => "crypto",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_speaks_of_rights_asks_for_this_one() {
        for (scopes, expected) in [
            (None, true),
            (Some(vec!["org:<organizationId>:mcp:invoke"]), true),
            (Some(vec!["org:<orgId>:customers:read", "mcp:invoke"]), true),
            (Some(vec![]), false),
            (Some(vec!["org:<organizationId>:mcp:list", "xmcp:invoke"]), false),
        ] {
            let scopes = scopes.map(|scopes| scopes.into_iter().map(String::from).collect());
            let requirements = Requirements { scopes, ..Requirements::default() };
            assert_eq!(requirements.lets_tools_be_called(), expected, "{requirements:?}");
        }
    }
}
