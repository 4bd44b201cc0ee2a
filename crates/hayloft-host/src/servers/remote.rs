//! The MCP servers elsewhere: which ones an organization has, remembered so that they are reached although no worker
//! runs, and the lines to them.
//!
//! Who lists them is the plugin's folder, or its code while a worker of it serves. What code said is remembered sealed,
//! and is forgotten when a later start of the same plugin does not say it again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use futures::future::join_all;
use hayloft_model::plugin::{McpEndpoint, Runtime, ServerAuth};
use hayloft_model::{ContentHash, InstanceKey, InstanceState, Revision, ServerId, WorkerId};
use hayloft_workers::{LaunchRefused, NetworkRefusal, WorkerCode};
use tokio::time::timeout;

use super::handed::RemoteServer;
use crate::plugins::trial::Version;
use crate::tools::publish::Others;
use crate::{Host, StoreError};

mod breaker;
pub(crate) mod fate;
pub(crate) mod link;
pub(crate) mod reach;
mod sealed;
mod sign;
mod verdict;

use link::{Begin, Link, Origin};
use reach::Failure;

/// The lines of all instances.
#[derive(Default)]
pub(crate) struct Remotes {
    links: RwLock<HashMap<InstanceKey, BTreeMap<ServerId, Arc<Link>>>>,
}

impl Remotes {
    /// The lines of an instance.
    pub(crate) fn of(&self, key: &InstanceKey) -> BTreeMap<ServerId, Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned().unwrap_or_default()
    }

    fn get(&self, key: &InstanceKey, server: &ServerId) -> Option<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).get(key)?.get(server).cloned()
    }

    /// Takes a line in place of an earlier one, whose session ends when nobody uses it any more.
    fn put(&self, key: &InstanceKey, server: ServerId, link: Arc<Link>) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        links.entry(key.clone()).or_default().insert(server, link);
    }

    fn remove(&self, key: &InstanceKey, server: &ServerId) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = links.get_mut(key) {
            own.remove(server);
        }
    }

    /// Lets go of all lines of an instance.
    pub(crate) fn forget(&self, key: &InstanceKey) {
        self.links.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Lets go of everything.
    pub(crate) fn clear(&self) {
        self.links.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl RemoteServer {
    /// Whether what is sent to it depends on what the organization gave. A header that the plugin gave itself is the one
    /// that it means.
    pub(crate) fn asks_organization(&self) -> bool {
        let header = match &self.auth {
            ServerAuth::Nothing => return false,
            ServerAuth::Key { header, .. } => header.as_str(),
            ServerAuth::Organization
            | ServerAuth::Bearer(_)
            | ServerAuth::Basic { .. }
            | ServerAuth::Connection => "Authorization",
        };
        self.headers.iter().all(|(own, _)| !own.eq_ignore_ascii_case(header))
    }
}

impl Host {
    /// The line to a server of an instance, if it is one elsewhere that is known by now.
    pub(crate) fn remote_link(&self, key: &InstanceKey, server: &ServerId) -> Option<Arc<Link>> {
        match self.remotes.get(key, server) {
            Some(link) if link.is_handed() => Some(link),
            known => {
                let listed = self.listed_remotes(key).remove(server)?;
                known
                    .filter(|link| link.server == listed)
                    .or_else(|| Some(self.link(key, server.clone(), listed, Origin::Listed, Begin::OnDemand)))
            }
        }
    }

    /// The servers elsewhere that the plugin's folder lists.
    fn listed_remotes(&self, key: &InstanceKey) -> BTreeMap<ServerId, RemoteServer> {
        let plugin = self.plugins.get(key.organization, &key.plugin);
        let listed = plugin.as_ref().and_then(|plugin| plugin.descriptor());
        let servers = listed.map(|descriptor| descriptor.servers.as_slice()).unwrap_or_default();
        let remote = servers.iter().filter_map(|server| match &server.endpoint {
            McpEndpoint::Remote { url } => {
                let (url, transports) = (url.clone(), server.transports.clone());
                let remote =
                    RemoteServer { url, transports, headers: Vec::new(), auth: ServerAuth::Organization };
                Some((server.id.clone(), remote))
            }
            McpEndpoint::Process { .. } => None,
        });
        remote.collect()
    }

    /// Whether a plugin is nothing but servers elsewhere, so that no worker is ever needed.
    pub(crate) fn is_all_elsewhere(&self, key: &InstanceKey) -> bool {
        let plugin = self.plugins.get(key.organization, &key.plugin);
        plugin.as_ref().and_then(|plugin| plugin.descriptor()).is_some_and(|descriptor| {
            let is_remote = |endpoint: &McpEndpoint| matches!(endpoint, McpEndpoint::Remote { .. });
            descriptor.runtime == Runtime::Servers
                && !descriptor.servers.is_empty()
                && descriptor.servers.iter().all(|server| is_remote(&server.endpoint))
        })
    }

    /// Puts a revision into force for a plugin that is nothing but servers elsewhere, if it may run at all.
    pub(crate) async fn launch_elsewhere(
        &self,
        key: &InstanceKey,
        revision: Revision,
    ) -> Result<(), LaunchRefused> {
        self.launch_revision(key, Some(revision), Version::Newest).await?;
        // There is no worker whose start could be tried.
        self.trials.end(key);
        self.instances.step(key, InstanceState::Starting, |_| {});
        if let Err(error) = self.end_code(key).await {
            tracing::error!(instance = %key, %error, "failed to forget what an older version of a plugin had");
        }
        self.instances.change(key, |instance| {
            instance.active_revision = Some(revision);
            instance.hold_reason = None;
            // Nobody has judged the credentials: the servers do that, and each tells for itself.
            instance.auth_verdict = None;
        });
        self.instances.step(key, InstanceState::Ready, |instance| instance.last_error = None);
        self.reach_listed(key);
        Ok(())
    }

    /// Ends what an older version of a plugin had that is nothing but servers elsewhere by now.
    async fn end_code(&self, key: &InstanceKey) -> Result<(), StoreError> {
        if self.workers.serving(key).is_some() {
            self.workers.stop(key, "the newer version of its plugin needs no worker").await;
        }
        self.forget_handed_by_others(key, None).await?;
        let listed: BTreeSet<ServerId> = self.listed_remotes(key).into_keys().collect();
        self.forget_items(key, |server| listed.contains(server));
        self.keep_tools_of(key, &listed).await
    }

    /// Begins anew with every server elsewhere of an instance.
    pub(crate) fn reach_anew(&self, key: &InstanceKey) {
        for (server, link) in self.remotes.of(key) {
            self.link(key, server, link.server.clone(), link.origin, Begin::Now);
        }
    }

    /// Ends every session with a server elsewhere of an instance. The next call opens one again.
    pub(crate) fn let_go_of_remotes(&self, key: &InstanceKey) {
        for (server, link) in self.remotes.of(key) {
            self.link(key, server, link.server.clone(), link.origin, Begin::OnDemand);
        }
    }

    /// Has every server elsewhere of an instance list its tools anew, those that are down included. Gives why one did
    /// not.
    pub(crate) async fn list_elsewhere(&self, key: &InstanceKey) -> BTreeMap<ServerId, Failure> {
        let mut servers: BTreeSet<ServerId> = self.remotes.of(key).into_keys().collect();
        servers.extend(self.listed_remotes(key).into_keys());
        let asked = servers.into_iter().map(async |server| {
            let failure = self.list_one_elsewhere(key, &server).await.err()?;
            tracing::warn!(instance = %key, %server, failure = failure.why, "failed to list the server's tools anew");
            Some((server, failure))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn list_one_elsewhere(&self, key: &InstanceKey, server: &ServerId) -> Result<(), Failure> {
        let Some(mut link) = self.remote_link(key, server) else { return Ok(()) };
        if link.is_down() {
            // Somebody asks for it, so what it was like before does not count.
            link = self.link(key, server.clone(), link.server.clone(), link.origin, Begin::Now);
        }
        let listed = async {
            let upstream = link.session().await.map_err(Failure::from)?;
            upstream.list_tools().await.map_err(|error| Failure::of_list(&error))
        };
        let listed = timeout(self.deadlines.tool_call, listed).await;
        let listing = listed.map_err(|_| Failure::passing("it was not reached in time"))??;
        self.publish_remote(key, server, &listing).await;
        Ok(())
    }

    /// Begins anew with the servers that the plugin's folder lists: what is sent to them may be another thing by now.
    pub(crate) fn reach_listed(&self, key: &InstanceKey) {
        let listed = self.listed_remotes(key);
        for (server, link) in self.remotes.of(key) {
            if link.origin == Origin::Listed && !listed.contains_key(&server) {
                self.remotes.remove(key, &server);
                self.forget_items(key, |other| *other != server);
            }
        }
        for (server, remote) in listed {
            self.link(key, server, remote, Origin::Listed, Begin::Now);
        }
    }

    fn link(
        &self,
        key: &InstanceKey,
        server: ServerId,
        remote: RemoteServer,
        origin: Origin,
        begin: Begin,
    ) -> Arc<Link> {
        let link = Arc::new(Link::start(self, key.clone(), server.clone(), remote, origin, begin));
        self.remotes.put(key, server, Arc::clone(&link));
        link
    }

    /// Makes the servers elsewhere that a worker handed over those of its instance, once it serves.
    pub(crate) async fn adopt_remotes(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        others: Others,
    ) -> Result<(), StoreError> {
        let _turn = self.adopting.take(key).await;
        let is_enabled = self.instances.get(key).is_some_and(|instance| instance.enabled);
        if !is_enabled || self.workers.serving(key).is_none_or(|serving| serving.id() != worker) {
            return Ok(());
        }
        // It may be older than what the plugin is by now.
        let Some(WorkerCode { content_hash, .. }) = self.workers.code_of(worker).await else { return Ok(()) };
        let origin = Origin::Handed(content_hash);
        let known = self.remotes.of(key);
        let handed = self.handed.remotes_of(worker);
        for (server, remote) in &handed {
            let same = |link: &&Arc<Link>| link.origin == origin && link.server == *remote;
            let is_known = known.get(server).filter(same).is_some();
            if !is_known {
                match sealed::write(remote) {
                    Ok(said) => self.store.remote_servers().put(key, server, content_hash, &said).await?,
                    Err(error) => {
                        tracing::error!(instance = %key, %server, %error, "failed to write a server down")
                    }
                }
            }
            // What a start of the plugin says anew may come with other credentials, or be granted by now.
            let is_anew =
                || remote.asks_organization() || known.get(server).is_some_and(|link| link.is_down());
            if !is_known || others == Others::Forget && is_anew() {
                self.link(key, server.clone(), remote.clone(), origin, Begin::Now);
            }
        }
        let is_local = |server: &ServerId| self.handed.get(worker, server).is_some();
        for (server, link) in known {
            let is_stale = others == Others::Forget || is_local(&server);
            if link.is_handed() && !handed.contains_key(&server) && is_stale {
                self.store.remote_servers().forget(key, &server).await?;
                self.remotes.remove(key, &server);
                self.forget_items(key, |other| *other != server);
            }
        }
        Ok(())
    }

    /// A worker takes a server back.
    pub(crate) async fn withdraw_remote(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        server: &ServerId,
    ) -> Result<(), StoreError> {
        let _turn = self.adopting.take(key).await;
        self.handed.take_back(worker, server);
        let serves = self.workers.serving(key).is_some_and(|serving| serving.id() == worker);
        if serves && self.remotes.get(key, server).is_some_and(|link| link.is_handed()) {
            self.store.remote_servers().forget(key, server).await?;
            self.remotes.remove(key, server);
            self.forget_items(key, |other| other != server);
        }
        Ok(())
    }

    /// Forgets all servers elsewhere of an instance that is switched off: switched on again, its code says them anew.
    pub(crate) async fn forget_remotes(&self, key: &InstanceKey) -> Result<(), StoreError> {
        let _turn = self.adopting.take(key).await;
        for (server, link) in self.remotes.of(key) {
            if link.is_handed() {
                self.store.remote_servers().forget(key, &server).await?;
            }
        }
        self.remotes.forget(key);
        Ok(())
    }

    /// Lets go of the servers elsewhere that other code than this handed over. What the plugin is by now says for itself
    /// which ones it wants, when it starts.
    pub(crate) async fn forget_handed_by_others(
        &self,
        key: &InstanceKey,
        code: Option<ContentHash>,
    ) -> Result<(), StoreError> {
        let _turn = self.adopting.take(key).await;
        for (server, link) in self.remotes.of(key) {
            if matches!(link.origin, Origin::Handed(by) if Some(by) != code) {
                self.store.remote_servers().forget(key, &server).await?;
                self.remotes.remove(key, &server);
            }
        }
        Ok(())
    }

    /// Takes up what earlier runs of the host remembered. Servers whose tools are known are left alone until somebody
    /// calls them.
    pub(crate) async fn recall_remotes(&self) -> Result<(), StoreError> {
        for stored in self.store.remote_servers().all().await? {
            let (key, server) = (&stored.key, &stored.server);
            let plugin = self.plugins.get(key.organization, &key.plugin);
            let package = plugin.as_ref().and_then(|plugin| plugin.package.as_ref());
            let is_same_code = package.is_some_and(|package| package.content_hash == stored.content_hash);
            let is_enabled = self.instances.get(key).is_some_and(|instance| instance.enabled);
            if !is_same_code || !is_enabled {
                // Other code says for itself what it wants, when it starts.
                self.store.remote_servers().forget(key, server).await?;
                continue;
            }
            match sealed::read(&stored.said) {
                Ok(remote) => {
                    let begin = self.begin(key, server);
                    self.link(key, server.clone(), remote, Origin::Handed(stored.content_hash), begin);
                }
                Err(error) => {
                    tracing::warn!(instance = %key, %server, %error, "a remembered MCP server is not readable");
                }
            }
        }
        for instance in self.instances.all().into_iter().filter(|instance| instance.enabled) {
            for (server, remote) in self.listed_remotes(&instance.key) {
                let begin = self.begin(&instance.key, &server);
                self.link(&instance.key, server, remote, Origin::Listed, begin);
            }
        }
        Ok(())
    }

    fn begin(&self, key: &InstanceKey, server: &ServerId) -> Begin {
        let has_tools = self.catalogues.counts(key).contains_key(server);
        if has_tools { Begin::OnDemand } else { Begin::Now }
    }

    /// Who is told when a server elsewhere may not be reached.
    fn refusals_of(&self, key: &InstanceKey, server: &ServerId) -> Arc<dyn Fn(NetworkRefusal) + Send + Sync> {
        let (host, key, server) = (self.downgrade(), key.clone(), server.clone());
        Arc::new(move |refusal| {
            if let Some(host) = host.upgrade().map(Self) {
                host.server_refused(&key, &server, &refusal);
            }
        })
    }
}
