//! List what an organization's plugins offer beside tools.

use std::time::Duration;

use futures::future::join_all;
use hayloft_mcp::client::ItemListing;
use hayloft_mcp::{Change, Item, ItemKind, ItemPage, ListFailure, Upstream, names, tools_array};
use hayloft_model::plugin::Capability;
use hayloft_model::{Caller, InstanceKey, OrganizationId, Scope, ServerId, WorkerId};
use hayloft_store::tool_names::WantedName;

use super::table::{ItemsByServer, PublicItem, ServerItems};
use crate::access::Denied;
use crate::{Host, StoreError};

/// How many things stand on one page.
const PAGE: usize = 200;

/// A list waits so long for plugins that have not run yet; what comes later is told as a change.
const PATIENCE: Duration = Duration::from_secs(15);

/// What stands before a prompt's name where names are allotted, so that a tool of the same name has its own.
const PROMPT: &str = "prompts/";

impl Host {
    /// One page of what the organization's plugins offer of a kind: by plugin, server, and then in the server's order.
    ///
    /// # Errors
    /// The caller may not, or the cursor is none that was given out.
    pub async fn list_items(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        kind: ItemKind,
        cursor: Option<&str>,
    ) -> Result<Result<ItemPage, ListFailure>, Denied> {
        self.authorize(caller, organization, Scope::ToolsRead)?;
        let known = self.all_items(organization).await;
        let servers: Vec<_> = known.into_iter().flat_map(|(_, servers)| servers.into_values()).collect();
        let items: Vec<&PublicItem> = servers.iter().flat_map(|server| server.of(kind)).collect();
        Ok(page(&items, cursor))
    }

    /// What every server of the organization has, by plugin. Those that were never asked are asked for it.
    pub(super) async fn all_items(&self, organization: OrganizationId) -> Vec<(InstanceKey, ItemsByServer)> {
        let mut keys = self.offering(organization);
        keys.sort_by(|one, other| one.plugin.cmp(&other.plugin));
        let known = join_all(keys.iter().map(|key| self.items_of(key))).await;
        keys.into_iter().zip(known).collect()
    }

    /// The instances whose plugins may offer something.
    fn offering(&self, organization: OrganizationId) -> Vec<InstanceKey> {
        let own = self.instances.all().into_iter();
        let own = own.filter(|instance| instance.key.organization == organization && instance.enabled);
        own.filter(|instance| {
            let plugin = self.plugins.get(organization, &instance.key.plugin);
            plugin.is_some_and(|plugin| {
                plugin.descriptor().is_some_and(|descriptor| {
                    descriptor.declares(Capability::Mcp) || !descriptor.servers.is_empty()
                })
            })
        })
        .map(|instance| instance.key.clone())
        .collect()
    }

    /// What the servers of an instance have. A worker is started for it if its servers were never asked, and servers
    /// elsewhere are reached.
    async fn items_of(&self, key: &InstanceKey) -> ItemsByServer {
        // A plugin that does not come up hides nobody else's things, and is asked again the next time.
        let asked = async { tokio::join!(self.ask_worker_for_items(key), self.ask_elsewhere_for_items(key)) };
        if tokio::time::timeout(PATIENCE, asked).await.is_err() {
            tracing::info!(instance = %key, "the plugin's resources and prompts are not known in time");
        }
        self.items.of(key)
    }

    async fn ask_worker_for_items(&self, key: &InstanceKey) {
        if self.items.was_asked(key)
            || self.is_all_elsewhere(key)
            || self.has_servers_elsewhere_only(key).await
        {
            return;
        }
        let worker = match self.workers.ensure(key).await {
            Ok(worker) => worker,
            Err(error) => {
                tracing::info!(instance = %key, %error, "the plugin's resources and prompts are not known");
                return;
            }
        };
        let _busy = worker.activity();
        let sessions = self.sessions.of(worker.id());
        let asked = sessions
            .iter()
            .map(|(server, session)| self.learn_items(key, worker.id(), server, &session.upstream));
        join_all(asked).await;
        self.items.asked(key);
    }

    /// Whether every server that the plugin's code ever started or handed over is elsewhere.
    async fn has_servers_elsewhere_only(&self, key: &InstanceKey) -> bool {
        let elsewhere = self.remotes.of(key);
        match self.store.tools().of(key).await {
            Ok(known) => !known.is_empty() && known.iter().all(|known| elsewhere.contains_key(&known.server)),
            Err(error) => {
                tracing::error!(instance = %key, %error, "failed to read which servers a plugin has");
                false
            }
        }
    }

    async fn ask_elsewhere_for_items(&self, key: &InstanceKey) {
        let known = self.items.of(key);
        let unknown = self.remotes.of(key).into_iter().filter(|(server, _)| !known.contains_key(server));
        join_all(unknown.map(async |(server, link)| {
            match link.session().await {
                // Reaching it has told what it has, unless that took too long.
                Ok(upstream) if !self.items.of(key).contains_key(&server) => {
                    self.learn_remote_items(key, &server, &upstream).await;
                }
                Ok(_) => {}
                Err(down) => {
                    tracing::info!(instance = %key, %server, error = down.error, "the server's resources and prompts are not known");
                }
            }
        }))
        .await;
    }

    /// Asks a server of a worker what it has, and tells those who listen where that is new.
    pub(crate) async fn learn_items(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        server: &ServerId,
        upstream: &Upstream,
    ) {
        let Some(items) = self.heard_items(key, server, upstream).await else { return };
        // Asked last: what is off, or did not come to serve, is never shown.
        if self.workers.serving(key).is_some_and(|serving| serving.id() == worker) {
            self.show_items(key, server, items);
            self.items.asked(key);
        }
    }

    /// The same of a server elsewhere, as long as it is one of the instance.
    pub(crate) async fn learn_remote_items(&self, key: &InstanceKey, server: &ServerId, upstream: &Upstream) {
        let Some(items) = self.heard_items(key, server, upstream).await else { return };
        if self.remotes.of(key).contains_key(server) {
            self.show_items(key, server, items);
        }
    }

    fn show_items(&self, key: &InstanceKey, server: &ServerId, items: ServerItems) {
        if self.instances.get(key).is_some_and(|instance| instance.enabled) {
            let before = self.items.put(key, server, items.clone()).unwrap_or_default();
            self.tell_items(key, &before, &items);
        }
    }

    async fn heard_items(
        &self,
        key: &InstanceKey,
        server: &ServerId,
        upstream: &Upstream,
    ) -> Option<ServerItems> {
        let listed = self.listed_items(key, server, upstream).await;
        listed
            .inspect_err(|error| {
                tracing::warn!(instance = %key, %server, error, "failed to list a server's resources and prompts");
            })
            .ok()
    }

    async fn listed_items(
        &self,
        key: &InstanceKey,
        server: &ServerId,
        upstream: &Upstream,
    ) -> Result<ServerItems, String> {
        if !upstream.offers_items() {
            return Ok(ServerItems::default());
        }
        let list = async |kind| {
            let ItemListing { items, problems } =
                upstream.list_items(kind).await.map_err(|error| error.to_string())?;
            for problem in &problems {
                tracing::warn!(instance = %key, %server, at = problem.at, "{}", problem.message);
            }
            Ok::<_, String>(items)
        };
        let resources = list(ItemKind::Resource).await?;
        let templates = list(ItemKind::Template).await?;
        let prompts = list(ItemKind::Prompt).await?;
        let names = self.prompt_names(key, server, &prompts).await.map_err(|error| error.to_string())?;
        let addressed = |items: &[Item]| {
            items
                .iter()
                .map(|item| PublicItem::new(item, super::get::public_address(key, server, item.identity())))
                .collect()
        };
        Ok(ServerItems {
            resources: addressed(&resources),
            templates: addressed(&templates),
            prompts: prompts.iter().zip(names).map(|(item, name)| PublicItem::new(item, name)).collect(),
        })
    }

    async fn prompt_names(
        &self,
        key: &InstanceKey,
        server: &ServerId,
        prompts: &[Item],
    ) -> Result<Vec<String>, StoreError> {
        let plugin = self.plugins.get(key.organization, &key.plugin);
        let slug = plugin.and_then(|plugin| Some(plugin.descriptor()?.slug.clone()));
        let slug = slug.unwrap_or_else(|| key.plugin.to_string());
        let wanted: Vec<_> = prompts
            .iter()
            .map(|prompt| WantedName {
                server: server.clone(),
                tool: format!("{PROMPT}{}", prompt.identity()),
                name: names::public_name(&slug, prompt.identity()),
            })
            .collect();
        Ok(self.store.tool_names().allot(key, &wanted, names::MAX_NAME).await?)
    }

    /// The things of servers that are no more are gone.
    pub(crate) fn forget_items(&self, key: &InstanceKey, is_there: impl Fn(&ServerId) -> bool) {
        for before in self.items.keep_only(key, is_there) {
            self.tell_items(key, &before, &ServerItems::default());
        }
    }

    /// All things of an instance that is off are gone.
    pub(crate) fn forget_all_items(&self, key: &InstanceKey) {
        self.forget_items(key, |_| false);
        self.items.forget(key);
    }

    fn tell_items(&self, key: &InstanceKey, before: &ServerItems, now: &ServerItems) {
        let differs = |kind| before.differs(now, kind);
        if differs(ItemKind::Resource) || differs(ItemKind::Template) {
            self.catalogues.tell(key.organization, Change::Resources);
        }
        if differs(ItemKind::Prompt) {
            self.catalogues.tell(key.organization, Change::Prompts);
        }
    }
}

/// The page that begins where the cursor says: after so many things.
fn page(items: &[&PublicItem], cursor: Option<&str>) -> Result<ItemPage, ListFailure> {
    let begin = match cursor {
        None => 0,
        Some(cursor) => {
            let begin: usize = cursor.parse().map_err(|_| ListFailure::UnknownCursor)?;
            if !begin.is_multiple_of(PAGE) || begin == 0 {
                return Err(ListFailure::UnknownCursor);
            }
            begin
        }
    };
    // What was there may be gone meanwhile; then the rest is empty.
    let rest = items.get(begin..).unwrap_or_default();
    let next = begin + PAGE;
    Ok(ItemPage {
        items: tools_array(rest.iter().take(PAGE).map(|item| &*item.definition)),
        next_cursor: (next < items.len()).then(|| next.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let item = |number: usize| {
            let raw =
                serde_json::value::to_raw_value(&serde_json::json!({ "name": number.to_string() })).unwrap();
            PublicItem::new(&Item::parse(ItemKind::Prompt, raw).unwrap(), format!("p{number}"))
        };
        let all: Vec<_> = (0..2 * PAGE + 1).map(item).collect();
        let all: Vec<_> = all.iter().collect();
        let (mut cursor, mut seen) = (None::<String>, 0);
        for expected in [PAGE, PAGE, 1] {
            let page = page(&all, cursor.as_deref()).unwrap();
            let names: Vec<serde_json::Value> = serde_json::from_slice(&page.items).unwrap();
            assert_eq!((names.len(), &names[0]["name"]), (expected, &format!("p{seen}").into()));
            seen += names.len();
            cursor = page.next_cursor;
        }
        assert_eq!((seen, cursor), (2 * PAGE + 1, None));
        for bad in ["", "0", "-1", "1", "x", "201"] {
            assert!(page(&all, Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(page(&all[..1], Some("200")).unwrap().items, "[]");
    }
}
