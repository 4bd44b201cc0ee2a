//! Call a tool of an organization, whichever plugin and server has it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hayloft_mcp::client::{CallDeadline, UpstreamCall};
use hayloft_mcp::service::BreakReason;
use hayloft_mcp::{CallTool, ToolFailure, Upstream};
use hayloft_model::{Caller, InstanceKey, InstanceState, OrganizationId, Revision, Scope, ServerId};
use hayloft_store::calls::{CallKind, CallRecord};
use hayloft_workers::{LaunchRefused, ServerHealth, Unavailable, Worker};

use serde_json::value::RawValue;
use tokio::time::timeout;

use super::canonical::canonical;
use super::catalogue::{Repeats, ToolEntry};
use super::outcome::told;
use super::publish::Others;
use super::rates::TooSoon;
use super::results::{Holds, Looked, ResultCaching, ResultKey};
use super::shares::NoTurn;
use crate::Host;
use crate::access::Denied;
use crate::items::get::with_public_addresses;
use crate::servers::remote::fate::Fate;
use crate::servers::remote::link::Link;
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
    /// Calls a tool and gives the result as its server wrote it, `isError` included, but for the addresses of resources in
    /// it, which are public ones. Arguments are checked before anything is started for them.
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
        self.check_callable(&tool.key)?;
        self.rates.take(&tool.key).map_err(too_soon)?;
        let problems = tool.arguments.check(call.arguments.as_deref());
        if !problems.is_empty() {
            return Err(ToolFailure::BadArguments { problems: problems.into_iter().collect() }.into());
        }
        let slot = match self.look_for_result(tool, &call) {
            Some(Looked::Found(result)) => return Ok(result),
            Some(Looked::Free(slot)) => Some(slot),
            None => None,
        };
        let _turn = self.shares.take(tool.key.organization, &call.cancelled).await.map_err(no_turn)?;
        let (revision, result) = self.call_server(tool, call).await?;
        if let (Some(slot), Some(revision)) = (slot, revision) {
            slot.keep(revision, &result);
        }
        Ok(result)
    }

    /// Calls the tool's server, wherever it is. Gives the revision of the configuration that it answered under as well.
    async fn call_server(
        &self,
        tool: &ToolEntry,
        call: CallTool,
    ) -> Result<(Option<Revision>, Box<RawValue>), CallToolError> {
        let reached = match self.remote_link(&tool.key, &tool.server) {
            Some(link) => Reached::Elsewhere(link),
            None => self.session_for(tool, &call).await?,
        };
        let (worker, upstream) = match reached {
            Reached::InWorker(worker, upstream) => (worker, upstream),
            Reached::Elsewhere(link) => {
                let revision = self.instances.get(&tool.key).and_then(|instance| instance.active_revision);
                return Ok((revision, self.call_elsewhere(&link, tool, call).await?));
            }
        };
        let begun = Instant::now();
        let answered = self.call_in_worker(&worker, &upstream, tool, &call, Duration::ZERO).await;
        match answered {
            // Nobody knows how far the call came, and this one may come twice.
            Err(ToolFailure::Broke { reason: BreakReason::Crashed, .. })
                if tool.repeats == Repeats::Safely && !call.cancelled.is_cancelled() =>
            {
                metrics::counter!("hayloft_tool_calls_repeated_total").increment(1);
                let Reached::InWorker(worker, upstream) = self.session_for(tool, &call).await? else {
                    return Ok((Some(worker.revision()), answered?));
                };
                let result = self.call_in_worker(&worker, &upstream, tool, &call, begun.elapsed()).await?;
                Ok((Some(worker.revision()), result))
            }
            answered => Ok((Some(worker.revision()), answered?)),
        }
    }

    /// Calls a server of a worker. So much of the time for the whole call is over.
    async fn call_in_worker(
        &self,
        worker: &Worker,
        upstream: &Upstream,
        tool: &ToolEntry,
        call: &CallTool,
        spent: Duration,
    ) -> Result<Box<RawValue>, ToolFailure> {
        let _in_flight = worker.activity();
        let call = UpstreamCall {
            name: &tool.tool,
            arguments: call.arguments.as_deref(),
            meta: call.meta.as_deref(),
            progress: call.progress.clone(),
            deadline: self.tool_deadline_after(spent),
            cancelled: &call.cancelled,
        };
        let result = upstream.call_tool(call).await.map_err(ToolFailure::from)?;
        Ok(with_public_addresses(upstream, &tool.key, &tool.server, result))
    }

    /// Looks for a result that was kept, where results are. What comes with a `_meta` of its own is a question of its
    /// own.
    fn look_for_result(&self, tool: &ToolEntry, call: &CallTool) -> Option<Looked> {
        let organization = tool.key.organization;
        let wanted = tool.holds != Holds::Never && self.results.caching(organization) == ResultCaching::On;
        if !wanted || call.meta.is_some() {
            return None;
        }
        let instance = self.instances.get(&tool.key)?;
        let plugin = self.plugins.get(organization, &tool.key.plugin)?;
        let key = ResultKey {
            plugin: tool.key.plugin.clone(),
            content: plugin.package.as_ref()?.content_hash,
            revision: instance.active_revision?,
            server: tool.server.clone(),
            tool: tool.tool.clone(),
            arguments: canonical(call.arguments.as_deref())?,
        };
        self.results.look(organization, key, tool.holds)
    }

    /// Whether the plugin asks for the right to have its servers called.
    pub(crate) fn check_callable(&self, key: &InstanceKey) -> Result<(), ToolFailure> {
        let plugin = self.plugins.get(key.organization, &key.plugin);
        let Some(descriptor) = plugin.as_ref().and_then(|plugin| plugin.descriptor()) else { return Ok(()) };
        let may = match self.grants.get(key) {
            Some(granted) => granted.lets_tools_be_called(&descriptor.requirements),
            None => descriptor.requirements.lets_tools_be_called(),
        };
        if may {
            return Ok(());
        }
        let message = format!(
            "the tools of the plugin `{}` cannot be called: its manifest does not ask for the right `mcp:invoke`, or it \
             was not granted; its author has to add `org:<organizationId>:mcp:invoke` to the scopes that it asks for",
            key.plugin
        );
        Err(ToolFailure::NotCallable { message })
    }

    /// The session for a call, for as long as anybody waits for the call.
    async fn session_for(&self, tool: &ToolEntry, call: &CallTool) -> Result<Reached, CallToolError> {
        tokio::select! {
            reached = self.session(&tool.key, &tool.server) => reached,
            () = call.cancelled.cancelled() => Err(ToolFailure::Cancelled.into()),
        }
    }

    /// The session with a server of an instance. The worker is started when it does not run.
    pub(crate) async fn session(
        &self,
        key: &InstanceKey,
        server: &ServerId,
    ) -> Result<Reached, CallToolError> {
        if let Some(worker) = self.workers.engage(key)
            && let Some(upstream) = self.sessions.upstream(worker.id(), server)
        {
            return Ok(Reached::InWorker(worker, upstream));
        }
        let within = self.deadlines.tool_call;
        timeout(within, self.session_anew(key, server)).await.unwrap_or_else(|_| {
            Err(CallToolError::Unavailable {
                reason: BreakReason::Timeout,
                message: format!("failed to start the plugin within {within:?}"),
                retry_after: None,
            })
        })
    }

    async fn session_anew(&self, key: &InstanceKey, server: &ServerId) -> Result<Reached, CallToolError> {
        for _ in 0..SESSION_ATTEMPTS {
            let worker = self.workers.ensure(key).await.map_err(unavailable)?;
            if self.handed.remotes_of(worker.id()).contains_key(server) {
                // It serves by now, and what it handed over is taken over in a moment: not later than here.
                let adopted = self.adopt_remotes(key, worker.id(), Others::Keep).await;
                adopted.map_err(|error| ToolFailure::Internal(error.to_string()))?;
                if let Some(link) = self.remote_link(key, server) {
                    return Ok(Reached::Elsewhere(link));
                }
            }
            let health = worker.kept_server(server).await;
            if let Some(upstream) = self.sessions.upstream(worker.id(), server) {
                return Ok(Reached::InWorker(worker, upstream));
            }
            match health {
                Some(ServerHealth::Down { error, until }) => {
                    let left = until.saturating_duration_since(tokio::time::Instant::now());
                    return Err(server_down(key, server, &error, Some(left)));
                }
                // It answers, and its session is over: it is started anew, and nothing else of the worker is.
                Some(ServerHealth::Ready | ServerHealth::Starting) => {
                    self.workers.revive(worker.id(), server);
                    worker.kept_server_changed(server, &ServerHealth::Ready).await;
                    continue;
                }
                None => {}
            }
            if self.sessions.has_lost(worker.id(), server) {
                // A server that ended under a worker comes back with a new one; `onStart` is what knows how to start it.
                self.workers.retire(key, worker.id(), "one of its MCP servers has ended").await;
            } else if worker.is_alive() {
                return Err(CallToolError::Unavailable {
                    reason: BreakReason::Unavailable,
                    message: format!(
                        "the plugin `{}` did not start its MCP server `{}`{}",
                        key.plugin,
                        server,
                        self.last_error_suffix(key)
                    ),
                    retry_after: None,
                });
            }
        }
        Err(CallToolError::Unavailable {
            reason: BreakReason::Crashed,
            message: format!("the MCP server `{}` of the plugin `{}` does not stay up", server, key.plugin),
            retry_after: None,
        })
    }

    /// Calls a tool of a server elsewhere. No worker takes part.
    async fn call_elsewhere(
        &self,
        link: &Link,
        tool: &ToolEntry,
        call: CallTool,
    ) -> Result<Box<RawValue>, CallToolError> {
        self.check_instance(tool)?;
        let (mut attempts, mut begun) = (0, None);
        loop {
            attempts += 1;
            let upstream = tokio::select! {
                session = timeout(self.deadlines.tool_call, link.session()) => match session {
                    Ok(Ok(upstream)) => upstream,
                    Ok(Err(down)) => {
                        let left = down.until.saturating_duration_since(tokio::time::Instant::now());
                        return Err(server_down(&tool.key, &tool.server, &down.error, Some(left)));
                    }
                    Err(_) => return Err(server_down(&tool.key, &tool.server, "it was not reached in time", None)),
                },
                () = call.cancelled.cancelled() => return Err(ToolFailure::Cancelled.into()),
            };
            let spent = begun.get_or_insert_with(Instant::now).elapsed();
            let called = upstream.call_tool(UpstreamCall {
                name: &tool.tool,
                arguments: call.arguments.as_deref(),
                meta: call.meta.as_deref(),
                progress: call.progress.clone(),
                deadline: self.tool_deadline_after(spent),
                cancelled: &call.cancelled,
            });
            let error = match called.await {
                Ok(result) => {
                    link.answered();
                    return Ok(with_public_addresses(&upstream, &tool.key, &tool.server, result));
                }
                Err(error) => error,
            };
            let is_lost = link.told(&error) == Fate::Lost;
            // Whether it was acted upon, nobody can say; what may be done twice is tried once more.
            if is_lost && attempts == 1 && tool.repeats == Repeats::Safely && !call.cancelled.is_cancelled() {
                continue;
            }
            return Err(ToolFailure::from(error).into());
        }
    }

    /// Whether the instance is in a state in which its tools may be called. For what runs in a worker, its start tells.
    fn check_instance(&self, tool: &ToolEntry) -> Result<(), CallToolError> {
        let refused =
            |reason, message: String| Err(CallToolError::Unavailable { reason, message, retry_after: None });
        let plugin = &tool.key.plugin;
        let Some(instance) = self.instances.get(&tool.key).filter(|instance| instance.enabled) else {
            return refused(BreakReason::Unavailable, format!("the plugin `{plugin}` is not switched on"));
        };
        let why = |text: &Option<String>| text.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        match instance.state {
            InstanceState::Quarantined => {
                let why = why(&instance.hold_reason);
                refused(BreakReason::Quarantined, format!("the plugin `{plugin}` is held back{why}"))
            }
            InstanceState::Unconfigured => {
                let why = why(&instance.last_error);
                refused(BreakReason::Unavailable, format!("the plugin `{plugin}` is not configured{why}"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn tool_deadline(&self) -> CallDeadline {
        CallDeadline { quiet: self.deadlines.tool_call, total: self.deadlines.tool_call_total }
    }

    /// What is left for a call of which so much time is over.
    fn tool_deadline_after(&self, spent: Duration) -> CallDeadline {
        let whole = self.tool_deadline();
        CallDeadline { total: whole.total.saturating_sub(spent), ..whole }
    }
}

/// Where a tool's server was reached.
pub(crate) enum Reached {
    /// In its worker, or by it.
    InWorker(Worker, Upstream),
    /// Elsewhere.
    Elsewhere(Arc<Link>),
}

/// A server that does not answer at the moment, although its plugin runs.
pub(crate) fn server_down(
    key: &InstanceKey,
    server: &ServerId,
    error: &str,
    retry_after: Option<Duration>,
) -> CallToolError {
    CallToolError::Unavailable {
        reason: BreakReason::Unavailable,
        message: format!(
            "the MCP server `{}` of the plugin `{}` is not available: {error}",
            server, key.plugin
        ),
        retry_after,
    }
}

/// The organization's own doing: it calls this plugin faster than the operator lets it.
pub(crate) fn too_soon(TooSoon { retry_after }: TooSoon) -> CallToolError {
    CallToolError::Unavailable {
        reason: BreakReason::TooMany,
        message: String::from("the plugin is called faster than this host allows"),
        retry_after: Some(retry_after),
    }
}

/// The organization's own doing: its other calls use its share up.
pub(crate) fn no_turn(refused: NoTurn) -> CallToolError {
    match refused {
        NoTurn::Cancelled => ToolFailure::Cancelled.into(),
        NoTurn::Busy { waiting, retry_after } => CallToolError::Unavailable {
            reason: BreakReason::Overloaded,
            message: format!(
                "the organization has as many calls running as it may, and {waiting} more wait for their turn"
            ),
            retry_after: Some(retry_after),
        },
    }
}

pub(crate) fn unavailable(error: Unavailable) -> CallToolError {
    let reason = match &error {
        Unavailable::Refused(LaunchRefused::Quarantined { .. }) => BreakReason::Quarantined,
        Unavailable::QueueFull { .. } => BreakReason::Overloaded,
        Unavailable::Backoff { .. } | Unavailable::StartFailed(_) => BreakReason::Crashed,
        // Not the tool took too long: its turn to start did not come.
        Unavailable::Refused(_)
        | Unavailable::Timeout { .. }
        | Unavailable::Stopped { .. }
        | Unavailable::ShuttingDown => BreakReason::Unavailable,
    };
    CallToolError::Unavailable { reason, message: told_to_people(&error), retry_after: error.retry_after() }
}
