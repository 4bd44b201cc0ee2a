//! What the host says to a worker.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

#[cfg(doc)]
use super::{ProcedureAnswer, VERSION};
use super::{ProcedureCall, WireError};

/// Control messages from the host to the worker. It has no `Debug`, since some carry secrets.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum HostMessage {
    /// The first message, written before the process runs: what to load.
    Load(Load),
    /// Gives the worker its organization, once.
    Bind(Bind),
    /// Runs a hook of the organization.
    Hook(Hook),
    /// Runs a scheduled job.
    Cron {
        /// For the answer.
        id: u64,
        /// The job's name.
        name: String,
    },
    /// Calls a procedure of the plugin's own router. Answered with a [`ProcedureAnswer`].
    Procedure {
        /// For the answer.
        id: u64,
        /// The call.
        #[serde(flatten)]
        call: ProcedureCall,
    },
    /// Asks whether the event loop turns.
    Ping {
        /// Comes back in the answer.
        nonce: u64,
    },
    /// Asks the worker to end in order.
    Shutdown {
        /// After so many milliseconds it is killed.
        deadline_ms: u64,
    },
    /// A request of the worker succeeded.
    Result {
        /// The request's.
        id: u64,
        /// What it gives.
        value: Value,
    },
    /// A request of the worker failed.
    Failure {
        /// The request's.
        id: u64,
        /// Why.
        error: WireError,
    },
}

/// What to load.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// [`VERSION`].
    pub protocol: u32,
    /// The worker's name in logs.
    pub worker_id: String,
    /// The plugin.
    pub plugin: LoadedPlugin,
    /// How long its hooks may take.
    pub deadlines: HookDeadlines,
    /// The absolute path of a unix socket that takes connections to `hayloft.internal`, port 80. Absent where the
    /// worker's own network leads there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// The descriptor of a file to which the worker writes, before it says `ready`, what Node compiled. Absent where
    /// nobody wants that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compiled: Option<i32>,
}

/// The plugin to load.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadedPlugin {
    /// Its id.
    pub id: String,
    /// Its folder, an absolute path.
    pub root: String,
    /// The module to load, relative to the folder.
    pub entry: String,
    /// Whether that is a bundle of ours, with a map beside it that leads to the author's files.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bundled: bool,
    /// The format that its manifest has.
    pub format: String,
    /// Host variables that it may read.
    pub env: Vec<String>,
    /// What it declared.
    pub capabilities: Vec<String>,
}

/// Deadlines of hooks in milliseconds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookDeadlines {
    /// For `onInitialize`.
    pub on_initialize: u64,
    /// For `onStart`.
    pub on_start: u64,
    /// For `onValidateAuth` and `onConnected`.
    pub on_validate_auth: u64,
    /// For `onConfigUpdate`.
    pub on_config_update: u64,
    /// For `onDisable` and `onEnable`.
    pub on_disable: u64,
}

/// An organization and its values.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bind {
    /// For the answer.
    pub id: u64,
    /// Whose worker it becomes.
    pub organization: BoundOrganization,
    /// The organization's values by field.
    pub config: IndexMap<String, Value>,
    /// The method that it chose and its credentials.
    pub auth: Option<Auth>,
    /// Variables to set before any hook of the organization runs.
    pub environment: IndexMap<String, String>,
    /// Where the Plugin API is, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<Api>,
}

/// An organization.
#[derive(Serialize, JsonSchema)]
pub struct BoundOrganization {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A method and its credentials.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// The method's id.
    pub method_id: String,
    /// What it needs, by name.
    pub credentials: IndexMap<String, Value>,
}

/// Where the Plugin API is.
#[derive(Serialize, JsonSchema)]
pub struct Api {
    /// Its base address.
    pub url: String,
    /// The worker's own token for it.
    pub token: String,
}

/// A hook to run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// For the answer.
    pub id: u64,
    /// Which one.
    pub hook: HookKind,
    /// Values to use instead of the bound ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<IndexMap<String, Value>>,
    /// Credentials to use instead of the bound ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
}

/// The hooks of an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HookKind {
    /// `onStart`: `{}`.
    Start,
    /// `onValidateAuth`: `{valid, error?}`.
    ValidateAuth,
    /// `onConfigUpdate`: `{}`.
    ConfigUpdate,
    /// `onDisable`: `{}`.
    Disable,
    /// `onEnable`: `{}`.
    Enable,
    /// `onConnected`: what the hook returned.
    Connected,
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::super::{CallableKind, ProcedureCaller};
    use super::*;

    #[test]
    fn a_call_of_a_procedure_is_written_as_the_runner_reads_it() {
        let call = |input: Option<&str>, caller| ProcedureCall {
            path: "orders.list".into(),
            kind: CallableKind::Query,
            input: input.map(|text| RawValue::from_string(text.into()).unwrap()),
            caller,
        };
        let caller = ProcedureCaller { user_id: None, scopes: vec!["mcp:invoke".into()] };
        let written = |call| serde_json::to_string(&HostMessage::Procedure { id: 7, call }).unwrap();
        assert_eq!(
            written(call(Some(r#"{"b":1e400, "a":1}"#), Some(caller))),
            r#"{"type":"procedure","id":7,"path":"orders.list","kind":"query","input":{"b":1e400, "a":1},"caller":{"scopes":["mcp:invoke"]}}"#
        );
        assert_eq!(
            written(call(None, None)),
            r#"{"type":"procedure","id":7,"path":"orders.list","kind":"query","caller":null}"#
        );
    }
}
