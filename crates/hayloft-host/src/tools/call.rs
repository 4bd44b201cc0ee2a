//! Call a tool of an organization, whichever plugin and server has it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hayloft_mcp::client::{CallDeadline, UpstreamCall};
use hayloft_mcp::service::BreakReason;
use hayloft_mcp::{CallTool, ToolFailure, Upstream};
use hayloft_model::{Caller, OrganizationId, Scope};
use hayloft_store::calls::{CallKind, CallOutcome, CallRecord};
use hayloft_workers::{LaunchRefused, ServerHealth, Unavailable, Worker};

use serde_json::value::RawValue;

use super::catalogue::ToolEntry;
use crate::Host;
use crate::access::Denied;
use crate::workers::told_to_people;

/// How often a call looks for a worker whose server stays. More would only help a plugin that keeps crashing.
const SESSION_ATTEMPTS: usize = 3;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallToolError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The tool is unknown, its arguments are wrong, or it broke.
    #[error(transparent)]
    Failed(#[from] ToolFailure),
    /// Its worker cannot serve at the moment.
    #[error("{message}")]
    Unavailable {
        /// In which way.
        reason: BreakReason,
        /// What a person should know.
        message: String,
        /// When to try again, if that helps.
        retry_after: Option<Duration>,
    },
}

impl From<CallToolError> for ToolFailure {
    /// For callers that know nothing of organizations.
    fn from(error: CallToolError) -> Self {
        match error {
            CallToolError::Denied(_) => Self::Forbidden,
            CallToolError::Failed(failure) => failure,
            CallToolError::Unavailable { reason, message, retry_after } => {
                Self::Broke { reason, message, retry_after }
            }
        }
    }
}

impl Host {
    /// Calls a tool and gives the result exactly as its server wrote it, `isError` included. Arguments are checked
    /// before anything is started for them.
    ///
    /// # Errors
    /// See [`CallToolError`].
    pub async fn call_tool(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        call: CallTool,
    ) -> Result<Box<RawValue>, CallToolError> {
        self.authorize(caller, organization, Scope::ToolsCall)?;
        let catalogue = self.catalogues.of(organization);
        let Some(tool) = catalogue.get(&call.name).map(Arc::clone) else {
            return Err(ToolFailure::UnknownTool { name: call.name }.into());
        };
        let (at, begun) = (self.clock.now(), Instant::now());
        let outcome = self.call_known(&tool, call).await;
        let (kind, reason) = told(&outcome);
        let took = begun.elapsed();
        metrics::counter!("hayloft_tool_calls_total", "outcome" => kind.as_str()).increment(1);
        metrics::histogram!("hayloft_tool_call_seconds").record(took.as_secs_f64());
        let record = CallRecord {
            organization,
            plugin: tool.key.plugin.clone(),
            kind: CallKind::Tool,
            server: Some(tool.server.clone()),
            name: tool.tool.clone(),
            caller: caller.to_string(),
            at,
            duration: took,
            outcome: kind,
            reason: reason.map(str::to_owned),
        };
        self.take_down(record);
        outcome
    }

    async fn call_known(&self, tool: &ToolEntry, call: CallTool) -> Result<Box<RawValue>, CallToolError> {
        let descriptor = self.permitted_of(&tool.key);
        if descriptor.is_some_and(|descriptor| !descriptor.requirements.lets_tools_be_called()) {
            return Err(CallToolError::Unavailable {
                reason: BreakReason::Unavailable,
                message: format!(
                    "the plugin `{}` does not ask for the right to have its tools called, or it was not granted",
                    tool.key.plugin
                ),
                retry_after: None,
            });
        }
        let problems = tool.arguments.check(call.arguments.as_deref());
        if !problems.is_empty() {
            return Err(ToolFailure::BadArguments { problems: problems.into_iter().collect() }.into());
        }
        let (worker, upstream) = self.session(tool).await?;
        let _in_flight = worker.activity();
        let call = UpstreamCall {
            name: &tool.tool,
            arguments: call.arguments.as_deref(),
            meta: call.meta.as_deref(),
            progress: call.progress,
            deadline: self.tool_deadline(),
            cancelled: &call.cancelled,
        };
        Ok(upstream.call_tool(call).await.map_err(ToolFailure::from)?)
    }

    /// The session with the tool's server. The worker is started when it does not run.
    async fn session(&self, tool: &ToolEntry) -> Result<(Worker, Upstream), CallToolError> {
        if let Some(worker) = self.workers.serving(&tool.key)
            && let Some(upstream) = self.sessions.upstream(worker.id(), &tool.server)
        {
            return Ok((worker, upstream));
        }
        let within = self.deadlines.tool_call;
        tokio::time::timeout(within, self.session_anew(tool)).await.unwrap_or_else(|_| {
            Err(CallToolError::Unavailable {
                reason: BreakReason::Timeout,
                message: format!("failed to start the plugin within {within:?}"),
                retry_after: None,
            })
        })
    }

    async fn session_anew(&self, tool: &ToolEntry) -> Result<(Worker, Upstream), CallToolError> {
        // No worker is started for what it cannot help with.
        if self.remote_server(&tool.key, None, &tool.server).is_some() {
            self.outbound().map_err(|error| server_down(tool, &error, None))?;
        }
        for _ in 0..SESSION_ATTEMPTS {
            let worker = self.workers.ensure(&tool.key).await.map_err(unavailable)?;
            if let Some(remote) = self.remote_server(&tool.key, Some(worker.id()), &tool.server) {
                let opened = self.open_remote(&tool.key, worker.id(), &tool.server, &remote).await;
                return opened
                    .map(|upstream| (worker, upstream))
                    .map_err(|error| server_down(tool, &error, None));
            }
            let health = worker.kept_server(&tool.server).await;
            if let Some(upstream) = self.sessions.upstream(worker.id(), &tool.server) {
                return Ok((worker, upstream));
            }
            match health {
                Some(ServerHealth::Down { error, until }) => {
                    let left = until.saturating_duration_since(tokio::time::Instant::now());
                    return Err(server_down(tool, &error, Some(left)));
                }
                // It answers, and its session is over: it is started anew, and nothing else of the worker is.
                Some(ServerHealth::Ready | ServerHealth::Starting) => {
                    self.workers.revive(worker.id(), &tool.server);
                    worker.kept_server_changed(&tool.server, &ServerHealth::Ready).await;
                    continue;
                }
                None => {}
            }
            if self.sessions.has_lost(worker.id(), &tool.server) {
                // A server that ended under a worker comes back with a new one; `onStart` is what knows how to start it.
                self.workers.retire(&tool.key, worker.id(), "one of its MCP servers has ended").await;
            } else if worker.is_alive() {
                return Err(CallToolError::Unavailable {
                    reason: BreakReason::Unavailable,
                    message: format!(
                        "the plugin `{}` did not start its MCP server `{}`{}",
                        tool.key.plugin,
                        tool.server,
                        self.last_error_suffix(&tool.key)
                    ),
                    retry_after: None,
                });
            }
        }
        Err(CallToolError::Unavailable {
            reason: BreakReason::Crashed,
            message: format!(
                "the MCP server `{}` of the plugin `{}` does not stay up",
                tool.server, tool.key.plugin
            ),
            retry_after: None,
        })
    }

    fn tool_deadline(&self) -> CallDeadline {
        CallDeadline { quiet: self.deadlines.tool_call, total: self.deadlines.tool_call_total }
    }
}

/// A server that does not answer at the moment, although its plugin runs.
fn server_down(tool: &ToolEntry, error: &str, retry_after: Option<Duration>) -> CallToolError {
    CallToolError::Unavailable {
        reason: BreakReason::Unavailable,
        message: format!(
            "the MCP server `{}` of the plugin `{}` is not available: {error}",
            tool.server, tool.key.plugin
        ),
        retry_after,
    }
}

/// How a call ended, as the journal and the metrics tell it.
fn told(outcome: &Result<Box<RawValue>, CallToolError>) -> (CallOutcome, Option<&'static str>) {
    match outcome {
        Ok(_) => (CallOutcome::Done, None),
        Err(CallToolError::Denied(_)) => (CallOutcome::BadInput, Some("denied")),
        Err(CallToolError::Unavailable { reason, .. }) => (CallOutcome::PluginBroke, Some(reason.as_str())),
        Err(CallToolError::Failed(failure)) => match failure {
            ToolFailure::UnknownTool { .. } => (CallOutcome::BadInput, Some("unknown_tool")),
            ToolFailure::Forbidden => (CallOutcome::BadInput, Some("denied")),
            ToolFailure::BadArguments { .. } => (CallOutcome::BadInput, Some("bad_arguments")),
            ToolFailure::Refused(_) => (CallOutcome::Refused, None),
            ToolFailure::Broke { reason, .. } => (CallOutcome::PluginBroke, Some(reason.as_str())),
            ToolFailure::Cancelled => (CallOutcome::BadInput, Some("cancelled")),
            ToolFailure::Internal(_) => (CallOutcome::HostBroke, None),
        },
    }
}

pub(crate) fn unavailable(error: Unavailable) -> CallToolError {
    let reason = match &error {
        Unavailable::Refused(LaunchRefused::Quarantined { .. }) => BreakReason::Quarantined,
        Unavailable::QueueFull { .. } => BreakReason::Overloaded,
        Unavailable::Timeout { .. } => BreakReason::Timeout,
        Unavailable::Backoff { .. } | Unavailable::StartFailed(_) => BreakReason::Crashed,
        Unavailable::Refused(_) | Unavailable::Stopped { .. } | Unavailable::ShuttingDown => {
            BreakReason::Unavailable
        }
    };
    CallToolError::Unavailable { reason, message: told_to_people(&error), retry_after: error.retry_after() }
}
