//! What a host must answer so that clients can be served. Nothing here is JSON-RPC.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hayloft_model::Problem;
use serde_json::value::RawValue;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::client::ServerError;
use crate::item::ItemKind;
use crate::progress::ProgressSink;

/// Answers what clients ask of the endpoint.
pub trait ToolService: Send + Sync + 'static {
    /// Who asks: whatever the web face found out about the request. Cloned once per call.
    type Caller: Clone + Send + Sync + 'static;

    /// Whose sessions are whose. A session answers only to the principal that opened it.
    fn principal(&self, caller: &Self::Caller) -> Principal;

    /// What the endpoint says about itself when a session opens.
    fn server_details(&self, caller: &Self::Caller) -> ServerDetails;

    /// One page of the caller's tools.
    fn list_tools(
        &self,
        caller: &Self::Caller,
        cursor: Option<&str>,
    ) -> impl Future<Output = Result<ToolPage, ListFailure>> + Send;

    /// Calls a tool and gives the result exactly as the server wrote it. The future runs to its end even when the
    /// client is gone; it should end soon after `call.cancelled`.
    fn call_tool(
        &self,
        caller: &Self::Caller,
        call: CallTool,
    ) -> impl Future<Output = Result<Box<RawValue>, ToolFailure>> + Send;

    /// Whether there is more than tools. Without it clients are told that there is not, and never ask.
    const OFFERS_ITEMS: bool = false;

    /// One page of what the caller's servers offer beside tools.
    fn list_items(
        &self,
        caller: &Self::Caller,
        kind: ItemKind,
        cursor: Option<&str>,
    ) -> impl Future<Output = Result<ItemPage, ListFailure>> + Send {
        let _ = (caller, kind, cursor);
        async { Ok(ItemPage::default()) }
    }

    /// Reads a resource or gets a prompt, and gives the result as it goes to the client. The future runs to its end even
    /// when the client is gone; it should end soon after `request.cancelled`.
    fn get_item(
        &self,
        caller: &Self::Caller,
        request: GetItem,
    ) -> impl Future<Output = Result<Box<RawValue>, ToolFailure>> + Send {
        let _ = caller;
        async move { Err(ToolFailure::UnknownItem { kind: request.kind, identity: request.identity }) }
    }

    /// What changes for the caller from now on. A closed channel ends the caller's streams.
    fn subscribe_changes(&self, caller: &Self::Caller) -> broadcast::Receiver<Change>;
}

/// The name under which sessions are kept apart. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    /// A principal of this name, which must be the same for two requests only if they may share a session.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal({})", self.0)
    }
}

/// How the endpoint introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerDetails {
    /// The programmatic name.
    pub name: String,
    /// The name for people.
    pub title: Option<String>,
    /// The version of the software.
    pub version: String,
    /// What it is, for people; told to clients whose revision has a place for it.
    pub description: Option<String>,
    /// What a model should know to use the tools well.
    pub instructions: Option<String>,
}

/// A page of the tools that a caller may use.
#[derive(Clone, Debug)]
pub struct ToolPage {
    /// A JSON array of tool definitions, ready to send; see [`crate::tools_array`]. Cheap to clone.
    pub tools: Bytes,
    /// What to ask for to get the next page.
    pub next_cursor: Option<String>,
}

impl ToolPage {
    /// The only page.
    #[must_use]
    pub const fn whole(tools: Bytes) -> Self {
        Self { tools, next_cursor: None }
    }
}

/// A call of a tool, as the client wants it. Already sure: the arguments are an object and no key stands twice in them.
#[derive(Debug)]
pub struct CallTool {
    /// The name that the client used.
    pub name: String,
    /// A JSON object, or nothing when the client sent none.
    pub arguments: Option<Box<RawValue>>,
    /// The client's `_meta` object without its progress token.
    pub meta: Option<Box<RawValue>>,
    /// Where reports of progress go, when the client asked for them.
    pub progress: Option<ProgressSink>,
    /// Fires when the client cancels the call or its session ends.
    pub cancelled: CancellationToken,
}

/// A page of what a caller's servers offer beside tools.
#[derive(Clone, Debug)]
pub struct ItemPage {
    /// A JSON array of definitions, ready to send; see [`crate::tools_array`].
    pub items: Bytes,
    /// What to ask for to get the next page.
    pub next_cursor: Option<String>,
}

impl Default for ItemPage {
    fn default() -> Self {
        Self { items: Bytes::from_static(b"[]"), next_cursor: None }
    }
}

/// A resource to read or a prompt to get, as the client wants it.
#[derive(Debug)]
pub struct GetItem {
    /// Which of the two: a resource or a prompt.
    pub kind: ItemKind,
    /// The resource's address or the prompt's name, as the client used it.
    pub identity: String,
    /// What a prompt is given: a JSON object.
    pub arguments: Option<Box<RawValue>>,
    /// The client's `_meta` object without its progress token.
    pub meta: Option<Box<RawValue>>,
    /// Where reports of progress go, when the client asked for them.
    pub progress: Option<ProgressSink>,
    /// Fires when the client cancels the request or its session ends.
    pub cancelled: CancellationToken,
}

/// What may change in what a caller sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The list of tools, or a definition in it.
    Tools,
    /// The lists of resources and of their templates.
    Resources,
    /// The list of prompts.
    Prompts,
}

impl Change {
    /// Every kind.
    pub(crate) const ALL: [Self; 3] = [Self::Tools, Self::Resources, Self::Prompts];

    /// The method that tells clients of it.
    pub(crate) const fn notification(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Resources => "notifications/resources/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
        }
    }
}

/// Why tools could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListFailure {
    /// The cursor is not one that was given out.
    #[error("cursor is unknown")]
    UnknownCursor,
    /// We broke. The text goes to the client, so it must hold no secret and no inner detail.
    #[error("{0}")]
    Internal(String),
}

/// Why a call has no result. That the plugin says no is not among these: it is a result with `isError`.
#[derive(Debug, thiserror::Error)]
pub enum ToolFailure {
    /// The caller has no tool of this name.
    #[error("tool `{name}` is unknown")]
    UnknownTool {
        /// The name that the client used.
        name: String,
    },
    /// The caller has no resource of this address, or no prompt of this name.
    #[error("{} `{identity}` is unknown", named(*kind))]
    UnknownItem {
        /// What it would be.
        kind: ItemKind,
        /// The address or name that the client used.
        identity: String,
    },
    /// The caller may see tools and not call them.
    #[error("the token's role does not allow calling tools")]
    Forbidden,
    /// Its plugin does not ask for the right to have its tools called. Nobody's token changes that.
    #[error("{message}")]
    NotCallable {
        /// What the plugin lacks, for the person at the client.
        message: String,
    },
    /// The arguments do not fit the tool's schema.
    #[error("arguments do not fit the tool's input schema")]
    BadArguments {
        /// All that is wrong with them.
        problems: Vec<Problem>,
    },
    /// The server answered with a protocol error instead of a result.
    #[error("the tool's server answered with an error: {0}")]
    Refused(ServerError),
    /// The plugin broke.
    #[error("{message}")]
    Broke {
        /// In which way.
        reason: BreakReason,
        /// What happened, for the person at the client.
        message: String,
        /// When to try again, if that helps.
        retry_after: Option<Duration>,
    },
    /// The call was cancelled, so nobody waits for its result.
    #[error("call was cancelled")]
    Cancelled,
    /// We broke. The text goes to the client, so it must hold no secret and no inner detail.
    #[error("{0}")]
    Internal(String),
}

const fn named(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Resource | ItemKind::Template => "resource",
        ItemKind::Prompt => "prompt",
    }
}

/// In which way a plugin broke; `data.reason` of the error that clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakReason {
    /// Its process or its connection ended in the middle of the call.
    Crashed,
    /// It did not answer in time.
    Timeout,
    /// It could not be started or reached, or is not set up.
    Unavailable,
    /// It crashed too often and is held back.
    Quarantined,
    /// A message was larger than messages may be.
    TooLarge,
    /// Too many calls wait for it.
    Overloaded,
    /// It is called faster than it may be.
    TooMany,
    /// It answered something that is not the protocol, or that it failed inside.
    Failed,
}

impl BreakReason {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crashed => "crashed",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Quarantined => "quarantined",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
            Self::TooMany => "too_many",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for BreakReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
