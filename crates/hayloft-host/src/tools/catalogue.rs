//! The tools of each organization under their public names, in memory, made anew when something changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use hayloft_mcp::{Change, ToolDefinition, tools_array};
use hayloft_model::{InstanceKey, OrganizationId, PluginId, ServerId};
use serde_json::value::RawValue;
use tokio::sync::broadcast;

use super::hints::Hints;
use super::results::Holds;
use super::schema::ArgumentCheck;

/// Changes that a slow listener may be behind by; it needs only the fact, so few suffice.
const WAITING_CHANGES: usize = 16;

/// One tool of one organization.
pub(crate) struct ToolEntry {
    /// The name that agents call.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) key: InstanceKey,
    /// The server that has it.
    pub(crate) server: ServerId,
    /// The name on the server.
    pub(crate) tool: String,
    /// The definition under its public name.
    pub(crate) definition: Box<RawValue>,
    /// What its arguments must be.
    pub(crate) arguments: ArgumentCheck,
    /// Whether a call that may have been acted upon can be made once more.
    pub(crate) repeats: Repeats,
    /// For how long its results hold.
    pub(crate) holds: Holds,
}

/// Whether a tool can be called twice with the effect of once, as its server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// It only reads, or it is idempotent.
    Safely,
    /// Nobody says so.
    Never,
}

impl Repeats {
    const fn of(hints: Hints) -> Self {
        if hints.read_only || hints.idempotent { Self::Safely } else { Self::Never }
    }
}

impl ToolEntry {
    pub(crate) fn new(key: InstanceKey, server: ServerId, name: String, definition: &ToolDefinition) -> Self {
        Self {
            arguments: ArgumentCheck::new(definition.fields().input_schema),
            repeats: Repeats::of(Hints::of(definition.fields().annotations)),
            holds: Holds::of(&definition.fields()),
            definition: definition.renamed(&name),
            tool: definition.name().to_owned(),
            name,
            key,
            server,
        }
    }
}

/// An organization's tools at one moment.
pub(crate) struct Catalogue {
    tools: Vec<Arc<ToolEntry>>,
    by_name: HashMap<String, Arc<ToolEntry>>,
    json: Bytes,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Catalogue {
    fn new(tools: Vec<Arc<ToolEntry>>) -> Self {
        Self {
            by_name: tools.iter().map(|tool| (tool.name.clone(), Arc::clone(tool))).collect(),
            json: tools_array(tools.iter().map(|tool| &*tool.definition)),
            tools,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<ToolEntry>> {
        self.by_name.get(name)
    }

    pub(crate) fn tools(&self) -> &[Arc<ToolEntry>] {
        &self.tools
    }

    /// The definitions as a JSON array, ready to send.
    pub(crate) fn json(&self) -> Bytes {
        self.json.clone()
    }
}

/// An instance's tools by the server that has them.
pub(crate) type ToolsByServer = BTreeMap<ServerId, Vec<Arc<ToolEntry>>>;

/// One organization's part.
struct OrganizationTools {
    current: ArcSwap<Catalogue>,
    sources: RwLock<BTreeMap<PluginId, ToolsByServer>>,
    changes: broadcast::Sender<Change>,
}

impl OrganizationTools {
    fn new() -> Self {
        Self {
            current: ArcSwap::default(),
            sources: RwLock::default(),
            changes: broadcast::channel(WAITING_CHANGES).0,
        }
    }
}

/// The tools of every organization that has any or that somebody listens for.
#[derive(Default)]
pub(crate) struct Catalogues {
    organizations: RwLock<HashMap<OrganizationId, Arc<OrganizationTools>>>,
}

impl Catalogues {
    pub(crate) fn of(&self, organization: OrganizationId) -> Arc<Catalogue> {
        self.known(organization).map_or_else(Arc::default, |known| known.current.load_full())
    }

    pub(crate) fn changes(&self, organization: OrganizationId) -> broadcast::Receiver<Change> {
        self.organization(organization).changes.subscribe()
    }

    /// How many tools each server of an instance has.
    pub(crate) fn counts(&self, key: &InstanceKey) -> BTreeMap<ServerId, usize> {
        let Some(organization) = self.known(key.organization) else { return BTreeMap::new() };
        let sources = organization.sources.read().unwrap_or_else(PoisonError::into_inner);
        let servers = sources.get(&key.plugin).into_iter().flatten();
        servers.map(|(server, tools)| (server.clone(), tools.len())).collect()
    }

    /// Replaces the tools of an instance. Those who listen are told if anything differs for them.
    pub(crate) fn replace(&self, key: &InstanceKey, servers: ToolsByServer) {
        let organization = self.organization(key.organization);
        let changed = {
            let mut sources = organization.sources.write().unwrap_or_else(PoisonError::into_inner);
            if servers.is_empty() {
                sources.remove(&key.plugin);
            } else {
                sources.insert(key.plugin.clone(), servers);
            }
            let tools =
                sources.values().flat_map(|servers| servers.values().flatten()).map(Arc::clone).collect();
            let catalogue = Catalogue::new(tools);
            // Swapped under the lock, so that of two changes at once the later one is what stays.
            let changed = organization.current.load().json != catalogue.json;
            organization.current.store(Arc::new(catalogue));
            changed
        };
        if changed {
            // Nobody listening is no failure.
            drop(organization.changes.send(Change::Tools));
        }
    }

    /// Tells those who listen of something else than tools.
    pub(crate) fn tell(&self, organization: OrganizationId, change: Change) {
        if let Some(organization) = self.known(organization) {
            // Nobody listening is no failure.
            drop(organization.changes.send(change));
        }
    }

    fn known(&self, organization: OrganizationId) -> Option<Arc<OrganizationTools>> {
        self.organizations.read().unwrap_or_else(PoisonError::into_inner).get(&organization).cloned()
    }

    fn organization(&self, organization: OrganizationId) -> Arc<OrganizationTools> {
        if let Some(known) = self.known(organization) {
            return known;
        }
        let mut organizations = self.organizations.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(organizations.entry(organization).or_insert_with(|| Arc::new(OrganizationTools::new())))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(organization: u128, plugin: &str) -> InstanceKey {
        InstanceKey {
            organization: OrganizationId::from_uuid(Uuid::from_u128(organization)),
            plugin: plugin.parse().unwrap(),
        }
    }

    fn tools(key: &InstanceKey, server: &str, names: &[&str]) -> ToolsByServer {
        let entry = |name: &&str| {
            let raw = RawValue::from_string(format!(r#"{{"name":"{name}","x":1}}"#)).unwrap();
            let definition = ToolDefinition::parse(raw).unwrap();
            let server = server.parse().unwrap();
            Arc::new(ToolEntry::new(key.clone(), server, format!("p__{name}"), &definition))
        };
        BTreeMap::from([(server.parse().unwrap(), names.iter().map(entry).collect())])
    }

    #[test]
    fn organizations_see_their_own_tools_only() {
        let catalogues = Catalogues::default();
        let (one, two) = (key(1, "p"), key(2, "p"));
        catalogues.replace(&one, tools(&one, "s", &["a", "b"]));
        assert_eq!(
            catalogues.of(one.organization).json(),
            r#"[{"name":"p__a","x":1},{"name":"p__b","x":1}]"#
        );
        assert_eq!(catalogues.of(two.organization).json(), "[]");
        assert!(catalogues.of(two.organization).get("p__a").is_none());
    }

    #[test]
    fn only_a_difference_is_told() {
        let catalogues = Catalogues::default();
        let key = key(1, "p");
        let mut changes = catalogues.changes(key.organization);
        catalogues.replace(&key, tools(&key, "s", &["a"]));
        assert!(changes.try_recv().is_ok());
        catalogues.replace(&key, tools(&key, "s", &["a"]));
        assert!(changes.try_recv().is_err());
        catalogues.replace(&key, BTreeMap::new());
        assert!(changes.try_recv().is_ok());
        assert_eq!(catalogues.of(key.organization).json(), "[]");
    }
}
