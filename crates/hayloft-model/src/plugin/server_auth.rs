//! How the host authenticates to an MCP server elsewhere, on behalf of an organization.

use crate::Secret;

/// What the host adds to the requests to a server elsewhere, beside the headers that the plugin gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServerAuth {
    /// Nothing.
    #[default]
    Nothing,
    /// Whatever the organization gave the plugin, as a bearer token (RFC 6750, section 2.1); nothing if it gave nothing.
    Organization,
    /// A bearer token.
    Bearer(AuthValue),
    /// A key in a header, behind a text such as `Token `, which may be empty.
    Key {
        /// The key.
        value: AuthValue,
        /// The header that it is sent in.
        header: String,
        /// What stands before it.
        prefix: String,
    },
    /// A name and a password (RFC 7617).
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: AuthValue,
    },
    /// The access token of a connection that the organization made by OAuth 2.
    Connection,
}

/// Where a secret comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuthValue {
    /// The plugin said it.
    Given(Secret<String>),
    /// It is the organization's value of this setting.
    Setting(String),
    /// It is what the organization authenticates with, by the method that it chose.
    #[default]
    Credentials,
}
