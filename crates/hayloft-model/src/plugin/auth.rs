//! Ways in which an organization can give a plugin its credentials.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A way to authenticate that a plugin offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum AuthMethod {
    /// A key that a person pastes; it lives in a configuration field.
    ApiKey(ApiKeyAuth),
    /// A token (RFC 7519) that a person pastes; it lives in a configuration field. Servers elsewhere get it as a
    /// bearer token.
    Jwt(ApiKeyAuth),
    /// OAuth 2, run by the host.
    Oauth2(Box<OAuth2>),
}

impl AuthMethod {
    /// The id under which the plugin registered it.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::ApiKey(method) | Self::Jwt(method) => &method.id,
            Self::Oauth2(method) => &method.id,
        }
    }
}

/// A key or a token in a configuration field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyAuth {
    /// Unique among the plugin's methods.
    pub id: String,
    /// What a person reads.
    pub label: String,
    /// The field of the configuration schema that holds the key.
    pub config_field: String,
}

/// OAuth 2 with the endpoints of one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2 {
    /// Unique among the plugin's methods.
    pub id: String,
    /// What a person reads.
    pub label: String,
    /// Where the browser is sent. Absent: the plugin's remote MCP server names its own authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_url: Option<String>,
    /// Where the code is exchanged. Absent: the plugin's remote MCP server names its own authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
    /// Scopes that are always asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Scopes that the organization may leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub optional_scopes: Vec<String>,
    /// Whether the provider takes PKCE (RFC 7636).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pkce: Option<bool>,
    /// The client id. Absent: the host registers itself with the authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientCredential>,
    /// The client secret. Absent for public clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<ClientCredential>,
    /// Extra parameters of the authorization request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorization_params: BTreeMap<String, String>,
    /// What stands between two scopes, a space by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope_separator: Option<String>,
    /// How the provider turns a short-lived token into a long-lived one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_exchange: Option<TokenCall>,
    /// How the provider renews a long-lived token that is no refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_refresh: Option<TokenCall>,
}

/// A provider's own way to trade one token for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenCall {
    /// Where to ask.
    pub url: String,
    /// The value of `grant_type`.
    pub grant_type: String,
    /// The parameter that carries the present token.
    pub token_param: String,
    /// Whether the client secret goes along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_client_secret: Option<bool>,
}

/// Where a client id or a client secret comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClientCredential {
    /// A configuration field, so each organization brings its own.
    Field(FieldReference),
    /// A variable of the host's environment. It is read by the host alone and never enters the plugin.
    Host {
        /// The variable's name.
        env: String,
    },
}

/// A configuration field, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldReference {
    /// The field's name in the configuration schema.
    pub name: String,
}
