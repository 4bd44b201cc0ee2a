//! What the servers of each instance listed last.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use hayloft_mcp::{Item, ItemKind};
use hayloft_model::{InstanceKey, ServerId};
use serde_json::value::RawValue;

/// One thing under its public address or name.
#[derive(Clone, Debug)]
pub(crate) struct PublicItem {
    /// What clients ask for.
    pub(crate) public: String,
    /// The address or name on its server.
    pub(crate) own: String,
    /// The definition under its public address or name.
    pub(crate) definition: Box<RawValue>,
}

impl PublicItem {
    pub(crate) fn new(item: &Item, public: String) -> Self {
        Self { definition: item.renamed(&public), own: item.identity().to_owned(), public }
    }
}

/// What one server listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerItems {
    pub(crate) resources: Vec<PublicItem>,
    pub(crate) templates: Vec<PublicItem>,
    pub(crate) prompts: Vec<PublicItem>,
}

impl ServerItems {
    pub(crate) fn of(&self, kind: ItemKind) -> &[PublicItem] {
        match kind {
            ItemKind::Resource => &self.resources,
            ItemKind::Template => &self.templates,
            ItemKind::Prompt => &self.prompts,
        }
    }

    /// Whether a list of this kind reads differently.
    pub(crate) fn differs(&self, other: &Self, kind: ItemKind) -> bool {
        let texts = |items: &Self| {
            items.of(kind).iter().map(|item| item.definition.get().to_owned()).collect::<Vec<_>>()
        };
        texts(self) != texts(other)
    }
}

/// An instance's servers.
pub(crate) type ItemsByServer = BTreeMap<ServerId, Arc<ServerItems>>;

/// What is known of one instance.
#[derive(Default)]
struct Known {
    servers: ItemsByServer,
    /// Whether the servers of its worker were asked.
    was_asked: bool,
}

/// All that is known, by instance.
#[derive(Default)]
pub(crate) struct ItemTable {
    known: RwLock<HashMap<InstanceKey, Known>>,
}

impl ItemTable {
    /// What is known of an instance.
    pub(crate) fn of(&self, key: &InstanceKey) -> ItemsByServer {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(key).map(|known| known.servers.clone()).unwrap_or_default()
    }

    /// Whether the servers of the instance's worker were asked since the host started.
    pub(crate) fn was_asked(&self, key: &InstanceKey) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(key).is_some_and(|known| known.was_asked)
    }

    /// The servers of the instance's worker were asked, whatever came of it.
    pub(crate) fn asked(&self, key: &InstanceKey) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(key.clone()).or_default().was_asked = true;
    }

    /// A server listed what it has. Gives what it had listed before.
    pub(crate) fn put(
        &self,
        key: &InstanceKey,
        server: &ServerId,
        items: ServerItems,
    ) -> Option<Arc<ServerItems>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(key.clone()).or_default().servers.insert(server.clone(), Arc::new(items))
    }

    /// Only these servers of an instance are still there. Gives what the others had.
    pub(crate) fn keep_only(
        &self,
        key: &InstanceKey,
        is_there: impl Fn(&ServerId) -> bool,
    ) -> Vec<Arc<ServerItems>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let Some(Known { servers, .. }) = known.get_mut(key) else { return Vec::new() };
        servers.extract_if(.., |server, _| !is_there(server)).map(|(_, items)| items).collect()
    }

    /// An instance is off: nothing is known of it.
    pub(crate) fn forget(&self, key: &InstanceKey) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
