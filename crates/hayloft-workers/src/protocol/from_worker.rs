//! What a worker says to the host.

use hayloft_model::Registration;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{CapabilityUse, KvOperation, RegisterServer, WireError};

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
