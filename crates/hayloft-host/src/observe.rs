//! What the workers tell the host: states, and MCP servers that come and go.

use std::collections::BTreeSet;
use std::sync::Weak;

use futures::FutureExt;
use futures::future::BoxFuture;
use hayloft_mcp::client::channel::ChannelTransport;
use hayloft_mcp::client::stdio::StdioTransport;
use hayloft_mcp::client::{ClientDetails, OpenError, ToolListing};
use hayloft_mcp::{ToolDefinition, Upstream, UpstreamOptions};
use hayloft_model::{InstanceKey, InstanceState, Revision, ServerId, WorkerId};
use hayloft_store::instances::InstanceChange;
use hayloft_workers::protocol::{CapabilityUse, FailureReason, KvOperation, RegisterServer};
use hayloft_workers::{
    GateCaller, Level, McpTransport, NetworkRefusal, Observer, Refusal, StateChange, WorkerStatus,
};
use serde_json::json;
use serde_json::value::RawValue;

use crate::instances::Instance;
use crate::servers::open_in_jail;
use crate::sessions::Session;
use crate::tools::publish::Others;
use crate::{Host, HostInner};

/// What a frame of a worker's channel holds beside the message of an MCP server, in bytes: the server's name, which has
/// at most 128, and the keys.
const ENVELOPE: usize = 256;

/// The host as the workers tell it. Weak, since the host owns the workers.
pub(crate) struct Watcher(pub(crate) Weak<HostInner>);

impl Watcher {
    fn host(&self) -> Option<Host> {
        self.0.upgrade().map(Host)
    }

    /// The host, for a request of a worker.
    fn asked(&self) -> Result<Host, Refusal> {
        self.host().ok_or_else(|| Refusal::new(FailureReason::Refused, "the host is shutting down"))
    }
}

impl Observer for Watcher {
    fn state_changed(&self, key: &InstanceKey, worker: &WorkerStatus, change: StateChange) {
        if let Some(host) = self.host() {
            host.worker_changed(key, worker, change);
        }
    }

    fn hold_back<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: &'a WorkerStatus,
        reason: &'a str,
    ) -> BoxFuture<'a, ()> {
        async move {
            if let Some(host) = self.host() {
                host.write_quarantine(key, worker, reason).await;
            }
        }
        .boxed()
    }

    fn open_mcp(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        server: ServerId,
        transport: McpTransport,
    ) -> BoxFuture<'static, Result<(), String>> {
        let (host, key) = (self.host(), key.clone());
        async move {
            let host = host.ok_or_else(|| String::from("the host is shutting down"))?;
            host.connect_server(&key, worker, server, transport).await
        }
        .boxed()
    }

    fn close_mcp(&self, key: &InstanceKey, worker: WorkerId, server: &ServerId) {
        if let Some(host) = self.host() {
            host.server_gone(key, worker, server);
        }
    }

    fn outgrown(&self, key: &InstanceKey, worker: WorkerId, reason: &str) {
        if let Some(host) = self.host() {
            host.recycle_in_background(key, worker, reason);
        }
    }

    fn worker_gone(&self, _: &InstanceKey, worker: WorkerId) {
        if let Some(host) = self.host() {
            host.sessions.forget(worker);
            host.handed.forget(worker);
            host.own.forget_worker(worker);
            if host.outdated.forget(worker) {
                tokio::spawn(async move { host.tidy_versions().await });
            }
        }
    }

    fn update_registration<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: WorkerId,
        registration: Box<RawValue>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        async move { self.asked()?.update_registration(key, worker, &registration).await }.boxed()
    }

    fn register_mcp<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: WorkerId,
        server: RegisterServer,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        async move {
            let registered = self.asked()?.register_sent(key, worker, server).await;
            registered
                .map(drop)
                .map_err(|error| Refusal::new(FailureReason::Configuration, error.to_string()))
        }
        .boxed()
    }

    fn withdraw_mcp<'a>(
        &'a self,
        key: &'a InstanceKey,
        worker: WorkerId,
        server: ServerId,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        async move {
            let withdrawn = self.asked()?.withdraw_remote(key, worker, &server).await;
            withdrawn.map_err(|error| Refusal::new(FailureReason::Refused, error.to_string()))
        }
        .boxed()
    }

    fn kv<'a>(
        &'a self,
        key: &'a InstanceKey,
        _: WorkerId,
        operation: KvOperation,
    ) -> BoxFuture<'a, Result<Option<String>, Refusal>> {
        async move { self.asked()?.operate_on_value(key, operation).await }.boxed()
    }

    fn report_use<'a>(
        &'a self,
        key: &'a InstanceKey,
        _: WorkerId,
        uses: Vec<CapabilityUse>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        async move { self.asked()?.note_use(key, &uses) }.boxed()
    }

    fn network_refused(&self, caller: &GateCaller, refusal: &NetworkRefusal) {
        if let Some(host) = self.host() {
            host.network_refused(caller, refusal);
        }
    }
}

/// How sessions with servers are kept.
pub(crate) fn upstream_options() -> UpstreamOptions {
    UpstreamOptions::new(ClientDetails {
        name: "hayloft".into(),
        title: Some("Hayloft".into()),
        version: crate::VERSION.into(),
    })
}

impl Host {
    fn worker_changed(&self, key: &InstanceKey, status: &WorkerStatus, change: StateChange) {
        let worker = status.worker_id;
        match change {
            StateChange::Starting => self.instances.step(key, InstanceState::Starting, |_| {}),
            StateChange::Ready => {
                let wrong = self.came_up(key, worker, status.content_hash);
                self.instances.step(key, InstanceState::Ready, |instance| {
                    // Whatever was tried last and failed has come up after all.
                    let works = instance.rejected.as_ref().map(|rejected| rejected.revision);
                    if works == Some(status.revision) && instance.active_revision < works {
                        instance.active_revision = works;
                        instance.rejected = None;
                    }
                    instance.last_error = wrong.or_else(|| instance.rejection().map(str::to_owned));
                    instance.content_hash = Some(status.content_hash);
                });
                self.publish_in_background(key, worker, status.revision, Others::Forget);
                self.learn_in_background(key, worker, Others::Forget);
            }
            StateChange::Degraded { error } => {
                // What it says of itself is the nearer word.
                let _ = self.came_up(key, worker, status.content_hash);
                self.instances.step(key, InstanceState::Degraded, |instance| {
                    instance.last_error = Some(error);
                    instance.content_hash = Some(status.content_hash);
                });
                self.publish_in_background(key, worker, status.revision, Others::Keep);
                self.learn_in_background(key, worker, Others::Keep);
            }
            StateChange::Draining => {
                if self.instances.get(key).is_some_and(|instance| instance.state.serves()) {
                    self.instances.step(key, InstanceState::Draining, |_| {});
                }
            }
            StateChange::Stopped => self.worker_ended(key, InstanceState::Stopped, |_| {}),
            StateChange::Crashed { error, out_of_memory, failure, quarantine, .. } => {
                if failure.is_some() {
                    let said = quarantine.as_ref().unwrap_or(&error);
                    self.did_not_come_up(key, status.content_hash, said);
                }
                self.worker_crashed(key, status, error, out_of_memory, quarantine);
            }
        }
    }

    fn worker_crashed(
        &self,
        key: &InstanceKey,
        status: &WorkerStatus,
        error: String,
        out_of_memory: bool,
        quarantine: Option<String>,
    ) {
        metrics::counter!("hayloft_worker_crashes_total").increment(1);
        if out_of_memory {
            let (host, key) = (self.clone(), key.clone());
            let detail = json!({ "worker": status.worker_id, "error": error });
            tokio::spawn(async move { host.note(&key, "worker.out-of-memory", detail).await });
        }
        let Some(reason) = quarantine else {
            return self
                .worker_ended(key, InstanceState::Backoff, |instance| instance.last_error = Some(error));
        };
        metrics::counter!("hayloft_quarantines_total").increment(1);
        tracing::error!(instance = %key, reason, "a plugin is held back until somebody releases it");
        self.worker_ended(key, InstanceState::Quarantined, |instance| {
            instance.last_error = Some(reason.clone());
            instance.hold_reason = Some(reason);
            // Other code than this is not held back.
            instance.content_hash = Some(status.content_hash);
        });
    }

    /// What is held back stays so if the host ends in the next moment.
    async fn write_quarantine(&self, key: &InstanceKey, status: &WorkerStatus, reason: &str) {
        use InstanceState as S;
        let instance = self.instances.get(key).filter(|instance| instance.enabled);
        let runs = |state| matches!(state, S::Starting | S::Ready | S::Degraded | S::Backoff);
        if instance.is_some_and(|instance| runs(instance.state)) {
            let change = InstanceChange::new()
                .state(S::Quarantined)
                .hold_reason(Some(reason.to_owned()))
                .last_error(Some(reason.to_owned()))
                .content_hash(status.content_hash);
            self.instances.write_ahead(key, change).await;
        }
    }

    /// The end of the serving worker, unless what told it to end has said a better word of the instance already.
    fn worker_ended(&self, key: &InstanceKey, to: InstanceState, also: impl FnOnce(&mut Instance)) {
        use InstanceState as S;
        let Some(instance) = self.instances.get(key) else { return };
        match instance.state {
            _ if !instance.enabled => self.instances.step(key, S::Disabled, |_| {}),
            S::Starting | S::Ready | S::Degraded | S::Draining | S::Backoff => {
                self.instances.step(key, to, also)
            }
            S::Disabled | S::Unconfigured | S::Installing | S::Stopped | S::Quarantined | S::Failed => {}
        }
    }

    /// Opens the MCP session with a server that a worker has just started and learns its tools.
    async fn connect_server(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        server: ServerId,
        transport: McpTransport,
    ) -> Result<(), String> {
        let options = upstream_options();
        let opened = match transport {
            McpTransport::Stdio { stdin, stdout } => {
                Upstream::open(StdioTransport::new(stdout, stdin), options).await
            }
            McpTransport::Channel { to_server, from_server } => {
                // What does not fit into a frame is refused before it is sent; the envelope takes its part.
                let options = UpstreamOptions {
                    max_message_bytes: hayloft_workers::MAXIMAL_PAYLOAD - ENVELOPE,
                    ..options
                };
                Upstream::open(ChannelTransport::new(to_server, from_server), options).await
            }
            McpTransport::Network { kind, connector } => {
                let upstream = open_in_jail(kind, connector, options).await?;
                return self.take_up(key, worker, server, upstream).await;
            }
        };
        let upstream = opened.map_err(|error: OpenError| error.to_string())?;
        self.take_up(key, worker, server, upstream).await
    }

    /// Learns the tools of a server that was reached, and lets calls find it.
    async fn take_up(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        server: ServerId,
        upstream: Upstream,
    ) -> Result<(), String> {
        let listing =
            upstream.list_tools().await.map_err(|error| format!("failed to list its tools: {error}"))?;
        for problem in &listing.problems {
            tracing::warn!(instance = %key, %server, at = problem.at, "{}", problem.message);
        }
        self.compare_with_declared(key, worker, &server, &listing);
        self.follow_changes(key, worker, &server, &upstream);
        self.follow_items(key, worker, &server, &upstream);
        self.sessions.open(worker, server, Session { upstream, listing });
        // A server that a plugin starts later than `onStart` is published as soon as it is there.
        self.publish_if_serving(key, worker);
        Ok(())
    }

    /// Tells the people who run the plugin when a server has other tools than were declared for it.
    fn compare_with_declared(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        server: &ServerId,
        listing: &ToolListing,
    ) {
        let handed = self.handed.get(worker, server).map(|handed| handed.tools);
        let declared = handed.or_else(|| {
            let declared = self.declared_tools(key).into_iter();
            declared.filter(|(id, _)| id == server).map(|(_, tools)| tools).next()
        });
        let Some(declared) = declared.filter(|declared| !declared.is_empty()) else { return };
        let declared: BTreeSet<&str> = declared.iter().map(|tool| tool.name.as_str()).collect();
        let listed: BTreeSet<&str> = listing.tools.iter().map(ToolDefinition::name).collect();
        let names = |names: Vec<&&str>| {
            names.iter().map(|name| format!("`{}`", name.escape_debug())).collect::<Vec<_>>().join(", ")
        };
        let (missing, new): (Vec<_>, Vec<_>) =
            (declared.difference(&listed).collect(), listed.difference(&declared).collect());
        if missing.is_empty() && new.is_empty() {
            return;
        }
        let mut message = format!("the tools of the MCP server `{server}` are not those that were declared");
        if !missing.is_empty() {
            message.push_str(&format!("; it does not have {}", names(missing)));
        }
        if !new.is_empty() {
            message.push_str(&format!("; nobody declared {}", names(new)));
        }
        self.workers.note(key, worker, Level::Warn, &message);
    }

    /// Lists the server's tools anew whenever it says that they changed, until its session ends.
    fn follow_changes(&self, key: &InstanceKey, worker: WorkerId, server: &ServerId, upstream: &Upstream) {
        let mut changes = upstream.tools_changed();
        let (host, key, server) = (self.downgrade(), key.clone(), server.clone());
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let Some(host) = host.upgrade().map(Self) else { return };
                let Some(upstream) = host.sessions.upstream(worker, &server) else { return };
                match upstream.list_tools().await {
                    Ok(listing) => {
                        host.sessions.relist(worker, &server, listing);
                        host.publish_if_serving(&key, worker);
                    }
                    Err(error) => {
                        tracing::warn!(instance = %key, %server, %error, "failed to list the server's tools anew");
                    }
                }
            }
        });
    }

    /// Learns what the server has beside tools, now and whenever it says that this changed, until its session ends.
    fn follow_items(&self, key: &InstanceKey, worker: WorkerId, server: &ServerId, upstream: &Upstream) {
        if !upstream.offers_items() {
            return;
        }
        let mut changes = upstream.items_changed();
        let (host, key, server, first) = (self.downgrade(), key.clone(), server.clone(), upstream.clone());
        tokio::spawn(async move {
            let mut upstream = Some(first);
            while let Some(current) = upstream.take() {
                let Some(known) = host.upgrade().map(Self) else { return };
                known.learn_items(&key, worker, &server, &current).await;
                // Neither the session nor the host is kept alive while nothing changes.
                drop((current, known));
                if changes.changed().await.is_err() {
                    return;
                }
                let Some(known) = host.upgrade().map(Self) else { return };
                upstream = known.sessions.upstream(worker, &server);
            }
        });
    }

    /// Learns what the servers of a worker have beside tools that began to serve just now: before, it was not to be shown.
    fn learn_in_background(&self, key: &InstanceKey, worker: WorkerId, others: Others) {
        let (host, key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            let sessions = host.sessions.of(worker);
            if others == Others::Forget {
                let lasting = host.lasting_servers(&key, worker);
                let elsewhere = host.remotes.of(&key);
                host.forget_items(&key, |server| {
                    sessions.contains_key(server)
                        || lasting.contains(server)
                        || elsewhere.contains_key(server)
                });
            }
            for (server, Session { upstream, .. }) in sessions {
                if upstream.offers_items() {
                    host.learn_items(&key, worker, &server, &upstream).await;
                }
            }
            if host.workers.serving(&key).is_some_and(|serving| serving.id() == worker) {
                host.items.asked(&key);
            }
        });
    }

    fn publish_if_serving(&self, key: &InstanceKey, worker: WorkerId) {
        if let Some(serving) = self.workers.serving(key).filter(|serving| serving.id() == worker) {
            self.publish_in_background(key, worker, serving.revision(), Others::Keep);
        }
    }

    fn server_gone(&self, key: &InstanceKey, worker: WorkerId, server: &ServerId) {
        if self.sessions.close(worker, server) {
            tracing::info!(instance = %key, %worker, %server, "an MCP server of the plugin has ended");
        }
    }

    fn publish_in_background(&self, key: &InstanceKey, worker: WorkerId, revision: Revision, others: Others) {
        let (host, key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            if let Err(error) = host.adopt_remotes(&key, worker, others).await {
                tracing::error!(instance = %key, %error, "failed to take over the plugin's servers elsewhere");
            }
            if let Err(error) = host.publish_tools(&key, worker, revision, others).await {
                tracing::error!(instance = %key, %error, "failed to publish the plugin's tools");
            }
        });
    }
}
