//! The messages of the worker protocol, version 1: the source of `schemas/worker-protocol.json`.
//!
//! A frame is a `u32` length in network order, a `u8` kind (1 control, 2 MCP) and a JSON payload. The types here are
//! the payloads. They know nothing of sockets, and nothing of what an MCP message says.

use indexmap::IndexMap;
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use hayloft_model::{Problem, Registration};

use crate::Refusal;

mod reading;
mod requests;

pub use reading::UnreadableMessage;
pub use requests::{
    CallableKind, CapabilityUse, KvOperation, ProcedureAnswer, ProcedureCall, ProcedureCaller,
    RegisterServer, RemoteAuth,
};

/// The version that `load` and `hello` carry.
pub const VERSION: u32 = 1;

/// The JSON Schema of all messages.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schema_for!(Protocol).to_value();
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("title".into(), "Hayloft worker protocol".into());
        fields.insert("version".into(), VERSION.into());
    }
    schema
}

/// All payloads by direction. It exists for the schema only.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "the schema is derived from the fields; no value is ever made")]
struct Protocol {
    /// Control messages from the host to the worker.
    host_to_worker: HostMessage,
    /// Control messages from the worker to the host.
    worker_to_host: WorkerMessage,
    /// MCP messages, both ways.
    mcp: McpMessage,
}

/// An MCP message of one server, both ways.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "the schema is derived from the fields; the channel writes and cuts this by hand"
)]
struct McpMessage {
    /// The server's id.
    server: String,
    /// The JSON-RPC message, untouched.
    message: Value,
}

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

/// Control messages from the worker to the host.
#[derive(JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum WorkerMessage {
    /// The first message, right after `load` was read.
    Hello(Hello),
    /// What the plugin registered, once its module is loaded and `onInitialize` has ended.
    Metadata {
        /// Its shape is checked where registrations are read.
        #[schemars(with = "Registration")]
        registration: Box<RawValue>,
    },
    /// The worker can be given to an organization.
    Ready {},
    /// The worker cannot go on; it ends with code 70.
    Fatal {
        /// What it was doing.
        stage: FatalStage,
        /// What happened.
        error: WireError,
    },
    /// The answer to a ping.
    Pong {
        /// The ping's.
        nonce: u64,
    },
    /// A request of the host succeeded.
    Result {
        /// The request's.
        id: u64,
        /// What it gives.
        value: Value,
    },
    /// A request of the host failed.
    Failure {
        /// The request's.
        id: u64,
        /// Why.
        error: WireError,
    },
    /// Asks the host to connect an MCP server.
    OpenMcp {
        /// For the answer, which comes when the server answered `initialize`.
        id: u64,
        /// The server.
        server: OpenServer,
    },
    /// An MCP server is to end.
    CloseMcp {
        /// For the answer.
        id: u64,
        /// Which.
        server_id: String,
    },
    /// A scheduled job renewed the organization's credentials.
    UpdateAuth {
        /// For the answer.
        id: u64,
        /// The method.
        method_id: String,
        /// The new values.
        credentials: serde_json::Map<String, Value>,
    },
    /// What the plugin registered for its organization, where that is known only after `bind`.
    UpdateRegistration {
        /// For the answer.
        id: u64,
        /// Its shape is checked where registrations are read.
        #[schemars(with = "Registration")]
        registration: Box<RawValue>,
    },
    /// Hands an MCP server to the host for good.
    RegisterMcp {
        /// For the answer.
        id: u64,
        /// The server.
        server: RegisterServer,
    },
    /// Asks for an operation on the texts that the host keeps for the organization and the plugin.
    Kv {
        /// For the answer.
        id: u64,
        /// What to do.
        #[serde(flatten)]
        operation: KvOperation,
    },
    /// Tells which services were used since the last report; at most one report per period.
    ReportUse {
        /// For the answer.
        id: u64,
        /// Since when, in milliseconds since 1970.
        since: i64,
        /// How often.
        uses: Vec<CapabilityUse>,
    },
}

/// Who the worker is.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Hello {
    /// The version that it speaks.
    pub protocol: u32,
    /// Node's version.
    pub node: String,
    /// The runner's version.
    pub runner: String,
    /// The SDK's version.
    pub sdk: String,
}

/// What a worker was doing when it could not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FatalStage {
    /// Loading the module.
    Load,
    /// Running `onInitialize`.
    Initialize,
    /// Reading what was registered.
    Register,
    /// Speaking the protocol.
    Protocol,
}

/// An MCP server to connect. It has no `Debug`, since environments and headers carry secrets.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum OpenServer {
    /// Inside the worker, reached over the channel.
    InProcess {
        /// Unique within the worker.
        id: String,
    },
    /// A process that the host starts beside the worker.
    Stdio {
        /// Unique within the worker.
        id: String,
        /// The program: `node`, a name on the path, or a path relative to the plugin.
        command: String,
        /// Its arguments.
        #[serde(default)]
        args: Vec<String>,
        /// Where it runs, relative to the plugin.
        #[serde(default)]
        cwd: String,
        /// Its variables.
        #[serde(default)]
        env: IndexMap<String, String>,
        /// How long connecting may take, in milliseconds.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// Elsewhere.
    External {
        /// Unique within the worker.
        id: String,
        /// Its address.
        url: String,
        /// Headers of each request.
        #[serde(default)]
        headers: IndexMap<String, String>,
    },
}

impl OpenServer {
    /// The id, as the plugin wrote it.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::InProcess { id } | Self::Stdio { id, .. } | Self::External { id, .. } => id,
        }
    }
}

/// An error as both sides send it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WireError {
    /// The error's class.
    pub name: String,
    /// Its message.
    pub message: String,
    /// Where it was thrown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// What kind of failure it is.
    pub reason: FailureReason,
    /// What the plugin's author has to mend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<WireProblem>,
}

impl WireError {
    /// An error of the host for a request of the worker.
    pub(crate) fn of_host(reason: FailureReason, message: impl Into<String>) -> Self {
        Self {
            name: String::from("HostError"),
            message: message.into(),
            stack: None,
            reason,
            problems: Vec::new(),
        }
    }

    /// Why the host does not do what a worker asked for.
    pub(crate) fn of_refusal(refusal: Refusal) -> Self {
        let problems = refusal.problems.into_iter().map(|Problem { at, message, hint, .. }| WireProblem {
            at,
            message,
            hint,
        });
        Self { problems: problems.collect(), ..Self::of_host(refusal.reason, refusal.message) }
    }
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FailureReason {
    /// The plugin's code threw.
    Thrown,
    /// It took too long.
    Timeout,
    /// The other side does not allow it.
    Refused,
    /// The other side does not know it.
    Unsupported,
    /// Something that was configured or declared is wrong.
    Configuration,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WireProblem {
    /// Where.
    pub at: String,
    /// What.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_names_every_message() {
        let schema = schema().to_string();
        for name in [
            "load",
            "bind",
            "hook",
            "cron",
            "procedure",
            "ping",
            "shutdown",
            "hello",
            "metadata",
            "openMcp",
            "updateAuth",
            "updateRegistration",
            "registerMcp",
            "kv",
            "reportUse",
        ] {
            assert!(schema.contains(&format!("\"{name}\"")), "{name}");
        }
    }

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
