//! The plugins that this host knows: what their folders say, and what their code registers once it ran.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hayloft_manifest::registration;
use hayloft_model::plugin::{Package, Runtime};
use hayloft_model::{PluginDescriptor, PluginId, Problem, Problems, Registration};
use hayloft_store::Store;
use hayloft_store::registrations::StoredRegistration;
use hayloft_workers::Workers;

use super::limits::AllowedLimits;

/// How long a plugin whose code could not be asked is left alone. Its code is the same then, so asking again at once
/// would only cost another process.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// A plugin of this host, usable or not.
pub(crate) struct KnownPlugin {
    /// Its id; of one whose manifest cannot be read, its folder's name.
    pub(crate) id: PluginId,
    /// What its folder says. Absent when that cannot be used.
    pub(crate) package: Option<Package>,
    /// What is wrong with its folder.
    pub(crate) problems: Problems,
    registered: OnceLock<Arc<Registered>>,
    asking: Mutex<Option<Asking>>,
}

/// The question to a plugin's code that goes on, or that was refused a moment ago.
struct Asking {
    answer: Shared<BoxFuture<'static, Result<Arc<Registered>, Problems>>>,
    asked_at: Instant,
}

/// What a plugin's code registered.
pub(crate) struct Registered {
    pub(crate) registration: Registration,
    pub(crate) problems: Problems,
}

impl KnownPlugin {
    fn new(id: PluginId, package: Option<Package>, problems: Problems) -> Self {
        Self { id, package, problems, registered: OnceLock::new(), asking: Mutex::default() }
    }

    pub(crate) fn descriptor(&self) -> Option<&PluginDescriptor> {
        self.package.as_ref().map(|package| &package.descriptor)
    }

    /// Whether this is one of its other names.
    fn answers_to(&self, name: &PluginId) -> bool {
        self.descriptor().is_some_and(|descriptor| descriptor.aliases.contains(name))
    }

    /// What stands before the names of its procedures, if it has any.
    fn namespace(&self) -> Option<&str> {
        Some(&self.descriptor()?.procedures.as_ref()?.namespace)
    }

    /// Gives up other names that are the ids of plugins: an id always leads to its own.
    fn leave_ids_alone(&mut self, ids: &BTreeSet<PluginId>) {
        let Some(package) = &mut self.package else { return };
        let problems = &mut self.problems;
        package.descriptor.aliases.retain(|alias| {
            let taken = ids.contains(alias);
            if taken {
                let message = format!("its other name `{alias}` is the id of a plugin");
                problems.push(Problem::warning("plugin", message).hint("use the plugin's id"));
            }
            !taken
        });
    }

    /// Gives way where an earlier plugin has the same names already. What leads to two plugins leads to the first.
    fn give_way(&mut self, earlier: &BTreeMap<PluginId, Arc<Self>>) {
        let Some(descriptor) = self.package.as_mut().map(|package| &mut package.descriptor) else { return };
        let problems = &mut self.problems;
        descriptor.aliases.retain(|alias| {
            let other = earlier.values().find(|plugin| plugin.answers_to(alias));
            if let Some(other) = other {
                let message = format!("the name `{alias}` leads to the plugin `{}` already", other.id);
                problems.push(Problem::warning("plugin", message).hint("use the plugin's id"));
            }
            other.is_none()
        });
        let namespace = descriptor.procedures.as_ref().map(|procedures| procedures.namespace.clone());
        let other = namespace
            .as_ref()
            .and_then(|namespace| earlier.values().find(|plugin| plugin.namespace() == Some(namespace)));
        if let (Some(namespace), Some(other)) = (namespace, other) {
            let message = format!(
                "its procedures would be called `{namespace}`, as those of the plugin `{}` are",
                other.id
            );
            problems.push(Problem::error("plugin", message).hint("give one of the two another id"));
            self.package = None;
        }
    }

    /// Whether its folder says something that can be used.
    pub(crate) const fn is_readable(&self) -> bool {
        self.package.is_some()
    }

    /// Takes over what its code registered in an earlier run of the host.
    fn recall(&self, stored: &StoredRegistration) {
        self.registered.get_or_init(|| {
            Arc::new(Registered {
                registration: stored.registration.clone(),
                problems: stored.problems.clone(),
            })
        });
    }

    /// Whether an organization must give it a value before it can start, or the host a variable.
    pub(crate) fn has_requirements(&self) -> bool {
        let needs_variables =
            self.descriptor().is_some_and(|descriptor| !descriptor.requirements.env.is_empty());
        needs_variables
            || self.registered().is_some_and(|registered| {
                let fields = &registered.registration.config_schema.fields;
                fields.values().any(|field| field.required && field.default.is_none())
            })
    }

    /// What its code registered, if that is known already.
    pub(crate) fn registered(&self) -> Option<&Arc<Registered>> {
        self.registered.get()
    }

    /// Everything that is known to be wrong with it.
    pub(crate) fn all_problems(&self) -> Problems {
        let mut all = self.problems.clone();
        match self.registered() {
            Some(registered) => all.extend(registered.problems.clone()),
            None => all.extend(self.refusal().unwrap_or_default()),
        }
        all
    }

    /// What its code registered: from memory, else from the store, else from a worker that is started for it without
    /// any organization. However many ask at the same time, the code is asked once, and after a refusal it is left
    /// alone for a while.
    pub(crate) async fn register(
        &self,
        store: &Store,
        workers: &Workers,
    ) -> Result<Arc<Registered>, Problems> {
        if let Some(registered) = self.registered() {
            return Ok(Arc::clone(registered));
        }
        let Some(package) = &self.package else { return Err(self.problems.clone()) };
        let answer = {
            let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            let recent = asking
                .as_ref()
                .filter(|asking| asking.answer.peek().is_none() || asking.asked_at.elapsed() < REFUSED_FOR);
            match recent {
                Some(recent) => recent.answer.clone(),
                None => {
                    let (package, store, workers) = (package.clone(), store.clone(), workers.clone());
                    let answer = async move { learn(&package, &store, &workers).await }.boxed().shared();
                    // A task of its own, so that it goes on when the first who asked goes away.
                    tokio::spawn(answer.clone());
                    *asking = Some(Asking { answer: answer.clone(), asked_at: Instant::now() });
                    answer
                }
            }
        };
        let registered = answer.await?;
        Ok(Arc::clone(self.registered.get_or_init(|| registered)))
    }

    /// Why its code could not be asked, the last time that it was.
    fn refusal(&self) -> Option<Problems> {
        let asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        asking.as_ref()?.answer.peek()?.as_ref().err().cloned()
    }
}

async fn learn(package: &Package, store: &Store, workers: &Workers) -> Result<Arc<Registered>, Problems> {
    let internal = |error: &dyn std::fmt::Display| {
        tracing::error!(plugin = %package.descriptor.id, %error, "failed to read a plugin's registration");
        Problems::from(Problem::error(
            "plugin",
            "its registration could not be read, for a reason of the host",
        ))
    };
    match store.registrations().get(package.content_hash).await {
        Ok(Some(stored)) => {
            return Ok(Arc::new(Registered { registration: stored.registration, problems: stored.problems }));
        }
        Ok(None) => {}
        Err(error) => return Err(internal(&error)),
    }
    // Where none of the plugin's own code runs, its folder has said everything.
    if package.descriptor.runtime == Runtime::Servers {
        return Ok(Arc::new(Registered {
            registration: package.descriptor.declared.clone(),
            problems: Problems::new(),
        }));
    }
    let raw = workers
        .probe(package)
        .await
        .map_err(|error| Problems::from(Problem::error("plugin", format!("failed to {error}"))))?;
    let (registration, problems) = registration::read(&raw, &package.descriptor);
    if let Err(error) = store.registrations().put(package.content_hash, &registration, &problems).await {
        return Err(internal(&error));
    }
    Ok(Arc::new(Registered { registration, problems }))
}

/// All plugins of this host.
#[derive(Default)]
pub(crate) struct PluginRegistry {
    known: ArcSwap<BTreeMap<PluginId, Arc<KnownPlugin>>>,
}

impl PluginRegistry {
    /// The plugin of an id, and of nothing but an id: what is kept under an id is never given to another plugin.
    pub(crate) fn get(&self, id: &PluginId) -> Option<Arc<KnownPlugin>> {
        self.known.load().get(id).cloned()
    }

    /// The plugin that a name from outside leads to: its id, or another name of it.
    pub(crate) fn named(&self, name: &PluginId) -> Option<Arc<KnownPlugin>> {
        let known = self.known.load();
        known.get(name).or_else(|| known.values().find(|plugin| plugin.answers_to(name))).cloned()
    }

    /// The id that a name from outside stands for. A name that no plugin has stands for itself.
    pub(crate) fn id_of(&self, name: &PluginId) -> PluginId {
        self.named(name).map_or_else(|| name.clone(), |plugin| plugin.id.clone())
    }

    /// The plugin whose procedures have this name before them.
    pub(crate) fn with_procedures(&self, namespace: &str) -> Option<Arc<KnownPlugin>> {
        let known = self.known.load();
        known.values().find(|plugin| plugin.namespace() == Some(namespace)).cloned()
    }

    pub(crate) fn all(&self) -> Arc<BTreeMap<PluginId, Arc<KnownPlugin>>> {
        self.known.load_full()
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

    /// Reads the folders anew. What did not change keeps what is known of it.
    pub(crate) fn discover(&self, folders: &[PathBuf], limits: &AllowedLimits) {
        self.replace(folders.iter().flat_map(|folder| read_folder(folder, limits)).collect());
    }

    fn replace(&self, mut read: Vec<KnownPlugin>) {
        let mut found: BTreeMap<PluginId, Arc<KnownPlugin>> = BTreeMap::new();
        let before = self.known.load();
        // Ids before other names, whichever folder is read first.
        let ids: BTreeSet<PluginId> = read.iter().map(|plugin| plugin.id.clone()).collect();
        read.iter_mut().for_each(|plugin| plugin.leave_ids_alone(&ids));
        for mut plugin in read {
            plugin.give_way(&found);
            if let Some(first) = found.get(&plugin.id) {
                tracing::warn!(
                    plugin = %plugin.id,
                    first = ?first.package.as_ref().map(|package| &package.root),
                    "a second folder has a plugin of the same id; the first one counts"
                );
                continue;
            }
            let unchanged = before.get(&plugin.id).filter(|known| known.package == plugin.package);
            let plugin = unchanged.map_or_else(|| Arc::new(plugin), Arc::clone);
            found.insert(plugin.id.clone(), plugin);
        }
        self.known.store(Arc::new(found));
    }
}

fn read_folder(folder: &Path, limits: &AllowedLimits) -> Vec<KnownPlugin> {
    hayloft_manifest::discover(folder)
        .into_iter()
        .filter_map(|discovered| {
            let (descriptor, mut problems) = discovered.result;
            let descriptor = descriptor.filter(|_| !problems.has_errors());
            let package =
                descriptor.and_then(|descriptor| match hayloft_manifest::content_hash(&discovered.root) {
                    Ok(content_hash) => {
                        Some(Package { root: discovered.root.clone(), content_hash, descriptor })
                    }
                    Err(error) => {
                        problems.push(Problem::error("plugin", error.to_string()));
                        None
                    }
                });
            if let Some(package) = &package {
                problems.extend(limits.problems(&package.descriptor));
            }
            for problem in &problems {
                tracing::warn!(folder = %discovered.root.display(), at = problem.at, "{}", problem.message);
            }
            let id = match &package {
                Some(package) => package.descriptor.id.clone(),
                // A person must be able to see what is wrong with a broken plugin, so it is listed by its folder.
                None => discovered.root.file_name()?.to_str()?.parse().ok()?,
            };
            // What asks for too much is known by its name, but it cannot be used.
            let package = package.filter(|_| !problems.has_errors());
            Some(KnownPlugin::new(id, package, problems))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use hayloft_model::ContentHash;
    use hayloft_model::plugin::{FormatName, Procedures};

    use super::*;

    fn plugin(id: &str, aliases: &[&str], namespace: Option<&str>) -> KnownPlugin {
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
        let package =
            Package { root: "/plugin".into(), content_hash: ContentHash::from_bytes([1; 32]), descriptor };
        KnownPlugin::new(id.parse().unwrap(), Some(package), Problems::new())
    }

    #[test]
    fn a_name_leads_to_one_plugin_and_an_id_to_its_own() {
        let registry = PluginRegistry::default();
        registry.replace(vec![
            plugin("first", &["@acme/first", "second", "shared"], Some("shop")),
            plugin("second", &["shared", "@acme/second"], None),
            plugin("third", &[], Some("shop")),
        ]);
        let named = |name: &str| registry.named(&name.parse().unwrap()).map(|plugin| plugin.id.to_string());
        for (name, expected) in [
            ("first", Some("first")),
            ("@acme/first", Some("first")),
            ("second", Some("second")),
            ("@acme/second", Some("second")),
            ("shared", Some("first")),
            ("nobody", None),
        ] {
            assert_eq!(named(name).as_deref(), expected, "{name}");
        }
        // What is kept under an id is found by it alone.
        assert!(registry.get(&"shared".parse().unwrap()).is_none());
        assert_eq!(registry.id_of(&"@acme/first".parse().unwrap()).as_str(), "first");
        assert_eq!(registry.id_of(&"nobody".parse().unwrap()).as_str(), "nobody");

        let problems = |id: &str| registry.get(&id.parse().unwrap()).unwrap().problems.to_string();
        assert!(problems("first").contains("its other name `second` is the id of a plugin"));
        assert!(problems("second").contains("the name `shared` leads to the plugin `first` already"));
        assert!(problems("third").contains("its procedures would be called `shop`"));
        assert_eq!(
            registry.with_procedures("shop").map(|plugin| plugin.id.to_string()).as_deref(),
            Some("first")
        );
        assert!(!registry.get(&"third".parse().unwrap()).unwrap().is_readable());
    }
}
