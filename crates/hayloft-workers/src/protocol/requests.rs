//! What a worker asks of the host beside MCP servers that it opens for itself, and procedures that the host asks of it.
//!
//! Nothing here was checked but its shape: whoever uses a value judges it.

use std::fmt;

use hayloft_model::plugin::{DeclaredTool, McpTransport};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// An MCP server that a plugin hands to the host for good: the host keeps it, starts or connects it when it is needed,
/// and lists its declared tools until then. It has no `Debug`, since environments and headers carry secrets.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RegisterServer {
    /// Programs of the plugin's folder.
    Local {
        /// Unique within the plugin.
        id: String,
        /// The folder that the commands run in, relative to the plugin.
        #[serde(default)]
        cwd: String,
        /// A shell's line.
        start_command: String,
        /// A shell's line.
        #[serde(default)]
        install_command: Option<String>,
        /// A shell's line.
        #[serde(default)]
        build_command: Option<String>,
        /// In the plugin's order of preference.
        #[serde(default)]
        transports: Vec<McpTransport>,
        /// Variables beside those of the plugin's settings.
        #[serde(default)]
        env: IndexMap<String, String>,
        /// What it will have.
        #[serde(default)]
        tools: Vec<DeclaredTool>,
    },
    /// Elsewhere.
    Remote {
        /// Unique within the plugin.
        id: String,
        /// Its address.
        url: String,
        /// In the plugin's order of preference.
        #[serde(default)]
        transports: Vec<McpTransport>,
        /// Headers of each request.
        #[serde(default)]
        headers: IndexMap<String, String>,
        /// How it is authenticated to.
        #[serde(default)]
        auth: Option<Box<RemoteAuth>>,
        /// What it will have.
        #[serde(default)]
        tools: Vec<DeclaredTool>,
    },
}

impl RegisterServer {
    /// The id, as the plugin wrote it.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Local { id, .. } | Self::Remote { id, .. } => id,
        }
    }
}

/// How a remote MCP server is authenticated to. The names of variables are those of the host. It has no `Debug`, since
/// it carries secrets.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RemoteAuth {
    /// The kind of authentication: `oauth2`, `bearer`, `jwt`, `apiKey`, `basic`, `headers` or `none`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The token of `bearer` and `jwt`. Absent: what the organization authenticates with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The key of `apiKey`. Absent: what the organization authenticates with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// The setting that holds the token, key or password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_field: Option<String>,
    /// The header of `apiKey`. Absent: `Authorization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// What stands before the key of `apiKey`. Absent: `Bearer ` in `Authorization`, nothing elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The name of `basic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password of `basic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The headers of `headers`.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// Where the browser is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_url: Option<String>,
    /// Where the code is exchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
    /// Scopes that are always asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Scopes that the organization may leave out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub optional_scopes: Vec<String>,
    /// Whether the provider takes PKCE (RFC 7636).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkce: Option<bool>,
    /// The variable with the client id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id_env_var: Option<String>,
    /// The variable with the client secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_env_var: Option<String>,
}

/// One operation on the texts that the host keeps for each organization and plugin. It has no `Debug`, since values
/// may be secrets.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum KvOperation {
    /// `{value}`, which is `null` for a key that is not kept.
    Get {
        /// Which.
        key: String,
    },
    /// `{}`, once the value is kept.
    Set {
        /// Which.
        key: String,
        /// What.
        value: String,
        /// For how long, in seconds; absent: until it is deleted.
        #[serde(default)]
        ttl_seconds: Option<u64>,
    },
    /// `{}`, whether there was one or not.
    Delete {
        /// Which.
        key: String,
    },
}

/// How often a worker says that a service was used since its last report.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct CapabilityUse {
    /// The service's name, as the worker wrote it.
    pub capability: String,
    /// Uses that were allowed.
    pub count: u64,
    /// Uses that were refused, since the plugin does not declare the service.
    pub denied: u64,
}

/// A call of a procedure of the plugin's own router.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcedureCall {
    /// Its name within the router.
    pub path: String,
    /// What calling it does.
    pub kind: CallableKind,
    /// What it is given, as the caller wrote it; absent for a call without input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    pub input: Option<Box<RawValue>>,
    /// Who calls, as the host checked it; `null` for nobody.
    pub caller: Option<ProcedureCaller>,
}

/// What calling a procedure does, of the kinds that have one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CallableKind {
    /// It reads.
    Query,
    /// It changes something.
    Mutation,
}

impl fmt::Display for CallableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
        })
    }
}

/// Who calls a procedure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcedureCaller {
    /// A person's id; absent for a token that belongs to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// What the caller may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

/// What a procedure answers.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct ProcedureAnswer {
    /// The HTTP status that belongs to it.
    pub status: u16,
    /// `{result}` or `{error}`, as the router's own tRPC wrote it.
    pub body: Value,
}
