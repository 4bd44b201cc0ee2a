//! What MCP servers list, brought into the organization's catalogue and remembered for when nothing runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use hayloft_mcp::client::ToolListing as Listed;
use hayloft_mcp::{ToolDefinition, names, tools_list};
use hayloft_model::{InstanceKey, Revision, ServerId, WorkerId};
use hayloft_store::tool_names::WantedName;
use hayloft_store::tools::ToolListing;
use serde_json::value::RawValue;

use super::catalogue::{ToolEntry, ToolsByServer};
use crate::sessions::Session;
use crate::{Host, StoreError};

/// Whether servers that a worker did not start are to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// The worker started all that it wanted: what else was known is gone.
    Forget,
    /// The worker's start went wrong, or it is one server that is new: what else was known stays.
    Keep,
}

impl Host {
    /// Brings the tools of a worker's servers into the catalogue, if it serves. What is told of one instance is told in
    /// turns, so that of two tellings the later one stays.
    pub(crate) async fn publish_tools(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        revision: Revision,
        others: Others,
    ) -> Result<(), StoreError> {
        let _turn = self.publishing.take(key).await;
        let sessions = self.sessions.of(worker);
        // Asked after the look at the sessions: a worker that serves now had them all then.
        if self.workers.serving(key).is_none_or(|serving| serving.id() != worker) {
            return Ok(());
        }
        for (server, Session { listing, .. }) in &sessions {
            let definitions = tools_list(listing.tools.iter().map(ToolDefinition::raw));
            self.store.tools().replace(key, server, revision, &definitions).await?;
        }
        let mut listings = self.store.tools().of(key).await?;
        if others == Others::Forget {
            // A server that is kept up comes back, and one elsewhere is there all the time.
            let lasting = self.lasting_servers(key, worker);
            let is_stale = |server: &ServerId| !sessions.contains_key(server) && !lasting.contains(server);
            for stale in listings.extract_if(.., |known| is_stale(&known.server)) {
                self.store.tools().forget(key, &stale.server).await?;
            }
        }
        self.show_tools(key, &listings).await
    }

    /// Brings the tools of a server elsewhere into the catalogue, as long as it is one of the instance.
    pub(crate) async fn publish_remote(&self, key: &InstanceKey, server: &ServerId, listing: &Listed) {
        for problem in &listing.problems {
            tracing::warn!(instance = %key, %server, at = problem.at, "{}", problem.message);
        }
        let published = async {
            let _turn = self.publishing.take(key).await;
            let Some(instance) = self.instances.get(key).filter(|instance| instance.enabled) else {
                return Ok(());
            };
            if !self.remotes.of(key).contains_key(server) {
                return Ok(());
            }
            let revision = instance.active_revision.or(instance.desired_revision).unwrap_or(Revision(0));
            let definitions = tools_list(listing.tools.iter().map(ToolDefinition::raw));
            self.store.tools().replace(key, server, revision, &definitions).await?;
            self.show_tools(key, &self.store.tools().of(key).await?).await
        };
        let published: Result<(), StoreError> = published.await;
        if let Err(error) = published {
            tracing::error!(instance = %key, %server, %error, "failed to publish the tools of a server elsewhere");
        }
    }

    /// Forgets the tools of all servers of an instance but these.
    pub(crate) async fn keep_tools_of(
        &self,
        key: &InstanceKey,
        servers: &BTreeSet<ServerId>,
    ) -> Result<(), StoreError> {
        let _turn = self.publishing.take(key).await;
        let mut listings = self.store.tools().of(key).await?;
        let before = listings.len();
        for stale in listings.extract_if(.., |known| !servers.contains(&known.server)) {
            self.store.tools().forget(key, &stale.server).await?;
        }
        if listings.len() == before {
            return Ok(());
        }
        self.show_tools(key, &listings).await
    }

    /// Fills the catalogue with what is remembered of an instance's servers, or empties it when the instance is off.
    pub(crate) async fn load_tools(&self, key: &InstanceKey) -> Result<(), StoreError> {
        let _turn = self.publishing.take(key).await;
        let listings = self.store.tools().of(key).await?;
        self.show_tools(key, &listings).await
    }

    /// The same for every instance at once, when the host starts.
    pub(crate) async fn load_all_tools(&self) -> Result<(), StoreError> {
        let mut instances: HashMap<InstanceKey, Vec<ToolListing>> = HashMap::new();
        for listing in self.store.tools().all().await? {
            let key = InstanceKey { organization: listing.organization, plugin: listing.plugin.clone() };
            if self.instances.get(&key).is_some_and(|instance| instance.enabled) {
                instances.entry(key).or_default().push(listing);
            }
        }
        // Those whose servers never ran have something to show as well.
        for instance in self.instances.all().into_iter().filter(|instance| instance.enabled) {
            instances.entry(instance.key.clone()).or_default();
        }
        for (key, listings) in instances {
            self.show_tools(&key, &listings).await?;
        }
        Ok(())
    }

    async fn show_tools(&self, key: &InstanceKey, listings: &[ToolListing]) -> Result<(), StoreError> {
        let slug = self
            .plugins
            .get(key.organization, &key.plugin)
            .and_then(|plugin| Some(plugin.descriptor()?.slug.clone()));
        let slug = slug.unwrap_or_else(|| key.plugin.to_string());
        let mut tools: Vec<(ServerId, ToolDefinition)> =
            listings.iter().flat_map(|listing| parse(key, listing)).collect();
        // What is only declared counts until its server has spoken for itself.
        for (server, declared) in self.declared_tools(key) {
            if listings.iter().all(|listing| listing.server != server) {
                let declared = declared.iter().filter_map(|tool| {
                    ToolDefinition::parse(serde_json::value::to_raw_value(tool).ok()?).ok()
                });
                tools.extend(declared.map(|tool| (server.clone(), tool)));
            }
        }
        let wanted: Vec<WantedName> = tools
            .iter()
            .map(|(server, tool)| WantedName {
                server: server.clone(),
                tool: tool.name().to_owned(),
                name: names::public_name(&slug, tool.name()),
            })
            .collect();
        let names = self.store.tool_names().allot(key, &wanted, names::MAX_NAME).await?;
        // Asked last, and switching off takes its turn after this one: what is off is never shown.
        if !self.instances.get(key).is_some_and(|instance| instance.enabled) {
            self.catalogues.replace(key, BTreeMap::new());
            self.results.forget(key);
            return Ok(());
        }
        let mut servers: ToolsByServer = BTreeMap::new();
        for ((server, tool), name) in tools.into_iter().zip(names) {
            let entry = Arc::new(ToolEntry::new(key.clone(), server.clone(), name, &tool));
            servers.entry(server).or_default().push(entry);
        }
        self.catalogues.replace(key, servers);
        // Whatever made somebody look at the tools anew may have changed what they answer.
        self.results.forget(key);
        Ok(())
    }
}

/// The usable definitions of a listing. One that is not usable hides no other.
fn parse(key: &InstanceKey, listing: &ToolListing) -> Vec<(ServerId, ToolDefinition)> {
    let definitions: Vec<Box<RawValue>> = match serde_json::from_str(listing.definitions.get()) {
        Ok(definitions) => definitions,
        Err(error) => {
            tracing::error!(instance = %key, server = %listing.server, %error, "failed to read the remembered tools");
            return Vec::new();
        }
    };
    let mut tools = Vec::with_capacity(definitions.len());
    for definition in definitions {
        match ToolDefinition::parse(definition) {
            Ok(definition) => tools.push((listing.server.clone(), definition)),
            Err(problem) => {
                tracing::warn!(instance = %key, server = %listing.server, at = problem.at, "a tool is left out: {}", problem.message);
            }
        }
    }
    tools
}
