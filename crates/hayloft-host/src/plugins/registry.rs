//! The plugins that this host knows, and the names that lead to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use hayloft_model::plugin::Package;
use hayloft_model::{Clock, ContentHash, InstanceKey, OrganizationId, PluginDescriptor, PluginId, Problems};
use hayloft_packages::Packages;
use hayloft_store::registrations::StoredRegistration;
use tokio::sync::Semaphore;

use self::readings::Readings;
use super::known::KnownPlugin;
use super::limits::AllowedLimits;
use super::retry::Retries;

mod readings;

/// A plugin among those of the host: the same id in two organizations is two plugins.
pub(crate) type PluginKey = (PluginId, Option<OrganizationId>);

/// The plugins that were found, by name.
pub(crate) type KnownPlugins = BTreeMap<PluginKey, Arc<KnownPlugin>>;

/// All plugins of this host.
pub(crate) struct PluginRegistry {
    known: ArcSwap<KnownPlugins>,
    /// What the folders held when they were read last. What is known may be older, while a newer one is made ready.
    found: ArcSwap<BTreeMap<PluginKey, Option<ContentHash>>>,
    /// Orders readings of all folders, which take their time.
    pub(crate) reading: Semaphore,
    /// Orders what follows from readings.
    pub(crate) taking_over: Semaphore,
    readings: Readings,
    upgrading: Arc<Mutex<BTreeMap<Upgrade, Package>>>,
    /// What came of newer versions that were tried.
    pub(crate) retries: Retries,
    folders: Vec<PathBuf>,
    limits: AllowedLimits,
    packages: Packages,
}

type Upgrade = (PluginKey, ContentHash);

/// While it lives, nobody else makes the same version ready to take over.
pub(crate) struct Upgrading {
    all: Arc<Mutex<BTreeMap<Upgrade, Package>>>,
    this: Upgrade,
}

impl Drop for Upgrading {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.this);
    }
}

impl PluginRegistry {
    /// Reads the folders.
    pub(crate) fn read_from(
        folders: Vec<PathBuf>,
        limits: AllowedLimits,
        packages: Packages,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let registry = Self {
            known: ArcSwap::default(),
            found: ArcSwap::default(),
            reading: Semaphore::new(1),
            taking_over: Semaphore::new(1),
            readings: Readings::new(clock),
            upgrading: Arc::default(),
            retries: Retries::default(),
            folders,
            limits,
            packages,
        };
        let known = registry.take_over(registry.read());
        registry.known.store(Arc::new(known));
        registry
    }

    /// The plugin of an id, and of nothing but an id, as an organization sees it: what is kept under an id is never
    /// given to another plugin.
    pub(crate) fn get(&self, organization: OrganizationId, id: &PluginId) -> Option<Arc<KnownPlugin>> {
        with_id(&self.known.load(), organization, id)
    }

    /// The plugin that a name from outside leads an organization to: its id, or another name of it.
    pub(crate) fn named(&self, organization: OrganizationId, name: &PluginId) -> Option<Arc<KnownPlugin>> {
        named(&self.known.load(), organization, name)
    }

    /// The same with its key in the organization; `unknown` where there is none.
    pub(crate) fn named_or<E>(
        &self,
        organization: OrganizationId,
        name: &PluginId,
        unknown: impl FnOnce(PluginId) -> E,
    ) -> Result<(Arc<KnownPlugin>, InstanceKey), E> {
        let plugin = self.named(organization, name).ok_or_else(|| unknown(name.clone()))?;
        let key = InstanceKey { organization, plugin: plugin.id.clone() };
        Ok((plugin, key))
    }

    /// The id that a name from outside stands for. A name that no plugin has stands for itself.
    pub(crate) fn id_of(&self, organization: OrganizationId, name: &PluginId) -> PluginId {
        self.named(organization, name).map_or_else(|| name.clone(), |plugin| plugin.id.clone())
    }

    /// The plugin whose procedures have this name before them.
    pub(crate) fn with_procedures(
        &self,
        organization: OrganizationId,
        namespace: &str,
    ) -> Option<Arc<KnownPlugin>> {
        with_procedures(&self.known.load(), organization, namespace)
    }

    pub(crate) fn all(&self) -> Arc<KnownPlugins> {
        self.known.load_full()
    }

    /// From now on these are the plugins.
    pub(crate) fn replace(&self, known: KnownPlugins) {
        self.known.store(Arc::new(known));
    }

    /// From now on this is the plugin of its name, unless its folder holds something else by now. Gives whether it is.
    pub(crate) fn put(&self, plugin: &Arc<KnownPlugin>) -> bool {
        let key = (plugin.id.clone(), plugin.owner);
        let mut is_current = false;
        self.known.rcu(|known| {
            let mut known = KnownPlugins::clone(known);
            is_current = self.found.load().get(&key) == Some(&plugin.content_hash());
            if is_current {
                known.insert(key.clone(), Arc::clone(plugin));
            }
            known
        });
        is_current
    }

    /// Whether this is what the plugin's folder held when it was read last.
    pub(crate) fn is_found(&self, plugin: &KnownPlugin) -> bool {
        self.found.load().get(&(plugin.id.clone(), plugin.owner)) == Some(&plugin.content_hash())
    }

    /// Whether a plugin's folder held this when it was read last.
    pub(crate) fn is_found_at(&self, key: &PluginKey, hash: ContentHash) -> bool {
        self.found.load().get(key) == Some(&Some(hash))
    }

    /// Makes the caller the one who brings a version into service; nothing, if somebody is at it already.
    pub(crate) fn begin_upgrade(&self, newer: &KnownPlugin) -> Option<Upgrading> {
        let package = newer.package.clone()?;
        let this = ((newer.id.clone(), newer.owner), package.content_hash);
        let mut upgrading = self.upgrading.lock().unwrap_or_else(PoisonError::into_inner);
        if upgrading.contains_key(&this) {
            return None;
        }
        upgrading.insert(this.clone(), package);
        Some(Upgrading { all: Arc::clone(&self.upgrading), this })
    }

    /// The versions that plugins are, and those that lie in their folders to take over, usable or not.
    pub(crate) fn versions(&self) -> BTreeSet<(PluginId, ContentHash)> {
        let known = self.known.load();
        let found = self.found.load();
        known
            .iter()
            .map(|(key, plugin)| (&key.0, plugin.content_hash()))
            .chain(found.iter().map(|(key, hash)| (&key.0, *hash)))
            .filter_map(|(id, hash)| Some((id.clone(), hash?)))
            .collect()
    }

    /// What is being made ready to take a plugin's place.
    pub(crate) fn upgrade_of(&self, plugin: &KnownPlugin) -> Option<Package> {
        let upgrading = self.upgrading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of =
            upgrading.iter().filter(|(((id, owner), _), _)| *id == plugin.id && *owner == plugin.owner);
        of.next().map(|(_, package)| package.clone())
    }

    /// Everything that is wrong with what a plugin asks for on this host.
    pub(crate) fn limit_problems(&self, descriptor: &PluginDescriptor) -> Problems {
        self.limits.problems(descriptor)
    }

    /// Takes over what the code of plugins registered in an earlier run of the host.
    pub(crate) fn recall(&self, registrations: &[StoredRegistration]) {
        for plugin in self.known.load().values() {
            let Some(package) = &plugin.package else { continue };
            if let Some(stored) =
                registrations.iter().find(|stored| stored.content_hash == package.content_hash)
            {
                plugin.recall(stored);
            }
        }
    }

    /// Where versions are kept.
    pub(crate) const fn packages(&self) -> &Packages {
        &self.packages
    }

    /// The folders.
    pub(crate) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }
}

fn with_id(known: &KnownPlugins, organization: OrganizationId, id: &PluginId) -> Option<Arc<KnownPlugin>> {
    let of = |owner| known.get(&(id.clone(), owner)).cloned();
    of(None).or_else(|| of(Some(organization)))
}

fn named(known: &KnownPlugins, organization: OrganizationId, name: &PluginId) -> Option<Arc<KnownPlugin>> {
    with_id(known, organization, name).or_else(|| seen(known, organization, |plugin| plugin.answers_to(name)))
}

fn with_procedures(
    known: &KnownPlugins,
    organization: OrganizationId,
    namespace: &str,
) -> Option<Arc<KnownPlugin>> {
    seen(known, organization, |plugin| plugin.namespace() == Some(namespace))
}

/// The plugin of this kind that an organization sees. What everybody sees comes before what is its own.
fn seen(
    known: &KnownPlugins,
    organization: OrganizationId,
    is_meant: impl Fn(&KnownPlugin) -> bool,
) -> Option<Arc<KnownPlugin>> {
    let of = |owner| known.values().find(|plugin| plugin.owner == owner && is_meant(plugin)).cloned();
    of(None).or_else(|| of(Some(organization)))
}

#[cfg(test)]
mod tests {
    use hayloft_model::plugin::{FastStart, FormatName, Procedures, Runtime};
    use hayloft_model::{ContentHash, PluginDescriptor, Problems};
    use hayloft_packages::Needs;

    use super::readings::settle;
    use super::*;

    fn plugin(
        id: &str,
        owner: Option<OrganizationId>,
        aliases: &[&str],
        namespace: Option<&str>,
    ) -> KnownPlugin {
        let format = FormatName("any".into());
        let descriptor = PluginDescriptor {
            aliases: aliases.iter().map(|alias| alias.parse().unwrap()).collect(),
            procedures: namespace
                .map(|name| Procedures { module: "router.js".into(), namespace: name.into() }),
            ..PluginDescriptor::new(
                id.parse().unwrap(),
                "1.0.0",
                format,
                Runtime::Node { entry: "index.js".into() },
            )
        };
        let package = Package {
            root: "/plugin".into(),
            content_hash: ContentHash::from_bytes([1; 32]),
            descriptor,
            start: FastStart::default(),
        };
        KnownPlugin::new(id.parse().unwrap(), owner, Some(package), Problems::new(), Needs::default())
    }

    fn organization(number: u128) -> OrganizationId {
        format!("org_{number:032x}").parse().unwrap()
    }

    #[test]
    fn a_name_leads_to_one_plugin_and_an_id_to_its_own() {
        let read = vec![
            plugin("first", None, &["@acme/first", "second", "shared"], Some("shop")),
            plugin("second", None, &["shared", "@acme/second"], None),
            plugin("third", None, &[], Some("shop")),
        ];
        let known = settle(read, &KnownPlugins::new());
        let of = organization(1);
        for (name, expected) in [
            ("first", Some("first")),
            ("@acme/first", Some("first")),
            ("second", Some("second")),
            ("@acme/second", Some("second")),
            ("shared", Some("first")),
            ("nobody", None),
        ] {
            let found = named(&known, of, &name.parse().unwrap()).map(|plugin| plugin.id.to_string());
            assert_eq!(found.as_deref(), expected, "{name}");
        }
        // What is kept under an id is found by it alone.
        assert!(with_id(&known, of, &"shared".parse().unwrap()).is_none());

        let of_id = |id: &str| with_id(&known, of, &id.parse().unwrap()).unwrap();
        let problems = |id: &str| of_id(id).problems.to_string();
        assert!(problems("first").contains("its other name `second` is the id of a plugin"));
        assert!(problems("second").contains("the name `shared` leads to the plugin `first` already"));
        assert!(problems("third").contains("its procedures would be called `shop`"));
        let router = with_procedures(&known, of, "shop").map(|plugin| plugin.id.to_string());
        assert_eq!(router.as_deref(), Some("first"));
        assert!(!of_id("third").is_readable());
    }

    #[test]
    fn names_of_one_organization_mean_nothing_to_another() {
        let (one, other) = (organization(1), organization(2));
        // Whatever an organization brings along, even before everybody's plugins are read.
        let read = vec![
            plugin("common", Some(one), &[], None),
            plugin("own", Some(one), &["tool", "mine"], Some("shop")),
            plugin("own", Some(other), &["mine"], Some("shop")),
            plugin("common", None, &["tool", "own"], None),
            plugin("trader", None, &[], Some("trade")),
            plugin("copy", Some(one), &[], Some("trade")),
        ];
        let known = settle(read, &KnownPlugins::new());
        let meant = |organization, name: &str| {
            named(&known, organization, &name.parse().unwrap())
                .map(|plugin| (plugin.id.to_string(), plugin.owner))
        };
        let own = |owner| Some((String::from("own"), Some(owner)));
        let common = Some((String::from("common"), None));
        assert_eq!(meant(one, "common"), common, "nobody takes the id of everybody's plugin");
        assert_eq!(meant(one, "tool"), common);
        assert_eq!((meant(one, "own"), meant(other, "own")), (own(one), own(other)));
        assert_eq!((meant(one, "mine"), meant(other, "mine")), (own(one), own(other)));
        assert_eq!(meant(organization(3), "mine"), None);
        assert_eq!(meant(organization(3), "own"), common, "its other name, where no plugin has that id");

        let router = |organization, name| {
            with_procedures(&known, organization, name).map(|plugin| (plugin.id.to_string(), plugin.owner))
        };
        assert_eq!((router(one, "shop"), router(other, "shop")), (own(one), own(other)));
        assert_eq!(router(organization(3), "shop"), None);
        assert_eq!(router(one, "trade"), Some((String::from("trader"), None)));
        assert!(!known[&("copy".parse().unwrap(), Some(one))].is_readable());
        // What others have is not told to the owner of everybody's plugin.
        let shared = &known[&("common".parse().unwrap(), None)];
        assert!(shared.problems.is_empty(), "{}", shared.problems);
    }
}
