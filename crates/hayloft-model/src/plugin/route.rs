//! HTTP routes of a plugin.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The methods that a route can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// GET, and HEAD with it.
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl HttpMethod {
    /// The method token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for HttpMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A route that a plugin registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteDeclaration {
    /// The method.
    pub method: HttpMethod,
    /// The path pattern, Express style: `/orders/:id`, `/files/*path`.
    pub path: String,
    /// Who may call it.
    #[serde(default, skip_serializing_if = "RouteAccess::is_open")]
    pub access: RouteAccess,
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RouteAccess {
    /// Anybody: the plugin itself judges, by a provider's signature for example.
    #[default]
    Open,
    /// Whoever holds a valid token of the organization. Others never reach the worker.
    Organization,
}

impl RouteAccess {
    /// Whether anybody may call.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::Open
    }
}

/// Whether a decoded-nothing, as-received path is one that the pattern means. A trailing slash does not matter;
/// `:name` is one non-empty segment, `*name` is one segment or more.
#[must_use]
pub fn path_matches(pattern: &str, path: &str) -> bool {
    let mut wanted = segments(pattern);
    let mut given = segments(path);
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(want), Some(_)) if want.starts_with('*') => return true,
            (Some(want), Some(have)) if want.starts_with(':') && !have.is_empty() => {}
            // Express compares literal segments without regard to case unless told otherwise.
            (Some(want), Some(have)) if want.eq_ignore_ascii_case(have) => {}
            _ => return false,
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path).split('/')
}

#[cfg(test)]
mod tests {
    use super::path_matches;

    #[test]
    fn patterns_match_as_express_does() {
        let table = [
            ("/webhook", "/webhook", true),
            ("/webhook", "/webhook/", true),
            ("/webhook", "/WebHook", true),
            ("/webhook", "/webhook2", false),
            ("/webhook", "/webhook/x", false),
            ("/orders/:id", "/orders/7", true),
            ("/orders/:id", "/orders/", false),
            ("/orders/:id", "/orders", false),
            ("/orders/:id/lines", "/orders/7/lines", true),
            ("/files/*path", "/files/a/b/c", true),
            ("/files/*path", "/files", false),
            ("/", "/", true),
            ("/", "", true),
            ("/", "/x", false),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(path_matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
