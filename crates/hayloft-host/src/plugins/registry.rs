//! The plugins that this host knows: what their folders say, and what their code registers once it ran.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hayloft_manifest::registration;
use hayloft_model::plugin::{Package, Runtime};
use hayloft_model::{OrganizationId, PluginDescriptor, PluginId, Problem, Problems, Registration};
use hayloft_packages::{InstallState, Needs, Packages};
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
    /// The only organization that sees it; every one, if there is none.
    pub(crate) owner: Option<OrganizationId>,
    /// What its folder says. Absent when that cannot be used.
    pub(crate) package: Option<Package>,
    /// What is wrong with its folder.
    pub(crate) problems: Problems,
    /// What its folder needs before it can run.
    pub(crate) needs: Needs,
    /// Why a newer content of the folder is not the one that runs.
    newer: Mutex<Problems>,
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
    pub(crate) fn new(
        id: PluginId,
        owner: Option<OrganizationId>,
        package: Option<Package>,
        problems: Problems,
        needs: Needs,
    ) -> Self {
        Self {
            id,
            owner,
            package,
            problems,
            needs,
            newer: Mutex::default(),
            registered: OnceLock::new(),
            asking: Mutex::default(),
        }
    }

    /// Whether an organization may know of it.
    pub(crate) fn is_seen_by(&self, organization: OrganizationId) -> bool {
        self.owner.is_none_or(|owner| owner == organization)
    }

    /// Notes why a newer content of its folder does not run. What runs is not touched by that.
    pub(crate) fn note_newer(&self, problems: Problems) {
        *self.newer.lock().unwrap_or_else(PoisonError::into_inner) = problems
            .into_iter()
            .map(|problem| {
                let message = format!("its newer version is not used: {}", problem.message);
                let warning = Problem::warning(problem.at, message);
                problem.hint.into_iter().fold(warning, Problem::hint)
            })
            .collect();
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

    /// Gives up other names that are the ids of plugins: an id always leads to its own. Who sees it sees those.
    fn leave_ids_alone(&mut self, ids: &BTreeSet<PluginKey>) {
        let Some(package) = &mut self.package else { return };
        let (problems, owner) = (&mut self.problems, self.owner);
        package.descriptor.aliases.retain(|alias| {
            let taken = [None, owner].into_iter().any(|owner| ids.contains(&(alias.clone(), owner)));
            if taken {
                let message = format!("its other name `{alias}` is the id of a plugin");
                problems.push(Problem::warning("plugin", message).hint("use the plugin's id"));
            }
            !taken
        });
    }

    /// Gives way where an earlier plugin has the same names already. What leads to two plugins leads to the first.
    fn give_way(&mut self, earlier: &KnownPlugins) {
        let owner = self.owner;
        let earlier =
            || earlier.values().filter(move |plugin| plugin.owner.is_none() || plugin.owner == owner);
        let Some(descriptor) = self.package.as_mut().map(|package| &mut package.descriptor) else { return };
        let problems = &mut self.problems;
        descriptor.aliases.retain(|alias| {
            let other = earlier().find(|plugin| plugin.answers_to(alias));
            if let Some(other) = other {
                let message = format!("the name `{alias}` leads to the plugin `{}` already", other.id);
                problems.push(Problem::warning("plugin", message).hint("use the plugin's id"));
            }
            other.is_none()
        });
        let namespace = descriptor.procedures.as_ref().map(|procedures| procedures.namespace.clone());
        let other = namespace
            .as_ref()
            .and_then(|namespace| earlier().find(|plugin| plugin.namespace() == Some(namespace)));
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
        all.extend(self.newer.lock().unwrap_or_else(PoisonError::into_inner).clone());
        all
    }

    /// Whether its code can be asked without first fetching or building anything.
    fn is_at_hand(&self, package: &Package, packages: &Packages) -> bool {
        self.needs == Needs::default() || packages.state(package) == InstallState::Installed
    }

    /// What its code registered: from memory, else from the store, else from a worker that is started for it without
    /// any organization. However many ask at the same time, the code is asked once, and after a refusal it is left
    /// alone for a while. Only who switches it on has it installed for that.
    pub(crate) async fn register(
        &self,
        Asked { store, workers, packages }: Asked<'_>,
        preparing: Preparing,
    ) -> Result<Arc<Registered>, Problems> {
        if let Some(registered) = self.registered() {
            return Ok(Arc::clone(registered));
        }
        let Some(package) = &self.package else { return Err(self.problems.clone()) };
        if preparing == Preparing::AsItIs && !self.is_at_hand(package, packages) {
            let problem =
                Problem::warning("plugin", "is not installed yet, so what it registers is not known");
            return Err(problem.hint("switch it on: that installs it").into());
        }
        let answer = {
            let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            let recent = asking
                .as_ref()
                .filter(|asking| asking.answer.peek().is_none() || asking.asked_at.elapsed() < REFUSED_FOR);
            match recent {
                Some(recent) => recent.answer.clone(),
                None => {
                    let (package, packages) = (package.clone(), packages.clone());
                    let (store, workers) = (store.clone(), workers.clone());
                    let answer =
                        async move { learn(&package, &store, &workers, &packages).await }.boxed().shared();
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

/// Whom a plugin's registration is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) store: &'a Store,
    pub(crate) workers: &'a Workers,
    pub(crate) packages: &'a Packages,
}

/// Whether a plugin may be installed only to be asked what it registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preparing {
    /// No: it is asked as it is, or not at all.
    AsItIs,
    /// Yes: somebody wants it to run.
    Installed,
}

async fn learn(
    package: &Package,
    store: &Store,
    workers: &Workers,
    packages: &Packages,
) -> Result<Arc<Registered>, Problems> {
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
    let package = &packages.install(package).await.map_err(|error| error.problems())?;
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

/// A plugin among those of the host: the same id in two organizations is two plugins.
pub(crate) type PluginKey = (PluginId, Option<OrganizationId>);

/// The plugins that were found, by name.
pub(crate) type KnownPlugins = BTreeMap<PluginKey, Arc<KnownPlugin>>;

/// The folder in which each organization has plugins of its own, by its id.
const CUSTOM: &str = "custom";

/// All plugins of this host.
pub(crate) struct PluginRegistry {
    known: ArcSwap<KnownPlugins>,
    folders: Vec<PathBuf>,
    limits: AllowedLimits,
    packages: Packages,
}

impl PluginRegistry {
    /// Reads the folders.
    pub(crate) fn read_from(folders: Vec<PathBuf>, limits: AllowedLimits, packages: Packages) -> Self {
        let registry = Self { known: ArcSwap::default(), folders, limits, packages };
        registry.known.store(Arc::new(registry.read()));
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

    /// From now on this is the plugin of its name.
    pub(crate) fn put(&self, plugin: &Arc<KnownPlugin>) {
        self.known.rcu(|known| {
            let mut known = KnownPlugins::clone(known);
            known.insert((plugin.id.clone(), plugin.owner), Arc::clone(plugin));
            known
        });
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

    /// The folders.
    pub(crate) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Reads the folders anew. What did not change keeps what is known of it. It blocks.
    pub(crate) fn read(&self) -> KnownPlugins {
        let read = self.folders.iter().flat_map(|folder| self.read_folder(folder)).collect();
        settle(read, &self.known.load())
    }

    fn read_folder(&self, folder: &Path) -> Vec<KnownPlugin> {
        let discovered = hayloft_manifest::discover(folder).into_iter();
        discovered.filter_map(|discovered| self.known_plugin(folder, discovered)).collect()
    }

    fn known_plugin(&self, top: &Path, discovered: hayloft_manifest::Discovered) -> Option<KnownPlugin> {
        let (descriptor, mut problems) = discovered.result;
        let owner = match owner_folder(top, &discovered.place).map(str::parse) {
            None => None,
            Some(Ok(owner)) => Some(owner),
            Some(Err(_)) => {
                tracing::warn!(
                    folder = %discovered.root.display(),
                    "the folder above is not named like an organization's id, so nobody sees the plugin in it"
                );
                return None;
            }
        };
        let descriptor = descriptor.filter(|_| !problems.has_errors());
        let package =
            descriptor.and_then(|descriptor| match hayloft_manifest::content_hash(&discovered.root) {
                Ok(content_hash) => Some(Package { root: discovered.root.clone(), content_hash, descriptor }),
                Err(error) => {
                    problems.push(Problem::error("plugin", error.to_string()));
                    None
                }
            });
        if let Some(package) = &package {
            problems.extend(self.limits.problems(&package.descriptor));
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
        let needs = package.as_ref().map(|package| self.packages.needs(package)).unwrap_or_default();
        Some(KnownPlugin::new(id, owner, package, problems, needs))
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

/// Decides who has which name, and takes over what is known of plugins that did not change.
fn settle(mut read: Vec<KnownPlugin>, before: &KnownPlugins) -> KnownPlugins {
    // What everybody sees comes first: no organization can take its names.
    read.sort_by_key(|plugin| plugin.owner.is_some());
    // Ids before other names, whichever folder is read first.
    let ids: BTreeSet<PluginKey> = read.iter().map(|plugin| (plugin.id.clone(), plugin.owner)).collect();
    read.iter_mut().for_each(|plugin| plugin.leave_ids_alone(&ids));
    let mut found = KnownPlugins::new();
    for mut plugin in read {
        plugin.give_way(&found);
        let key = (plugin.id.clone(), plugin.owner);
        let shared = (plugin.id.clone(), None);
        if let Some(first) = found.get(&key).or_else(|| found.get(&shared)) {
            tracing::warn!(
                plugin = %plugin.id,
                first = ?first.package.as_ref().map(|package| &package.root),
                "a second folder has a plugin of the same id; the first one counts"
            );
            continue;
        }
        let unchanged = before.get(&key).filter(|known| known.package == plugin.package);
        let plugin = unchanged.map_or_else(|| Arc::new(plugin), Arc::clone);
        found.insert(key, plugin);
    }
    found
}

/// The name of the organization's folder that a plugin lies in, if it lies in one.
fn owner_folder<'a>(top: &Path, place: &'a Path) -> Option<&'a str> {
    let below: Vec<Component<'a>> = place.strip_prefix(top).ok()?.components().collect();
    match below.as_slice() {
        [custom, owner, _] if custom.as_os_str() == CUSTOM => {
            Some(owner.as_os_str().to_str().unwrap_or_default())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hayloft_model::ContentHash;
    use hayloft_model::plugin::{FormatName, Procedures};

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
        let package =
            Package { root: "/plugin".into(), content_hash: ContentHash::from_bytes([1; 32]), descriptor };
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
