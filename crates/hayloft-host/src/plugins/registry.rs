//! The plugins that this host knows: what their folders say, and what their code registers once it ran.

use std::collections::BTreeMap;
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
        packages: &Packages,
    ) -> Self {
        let needs = package.as_ref().map(|package| packages.needs(package)).unwrap_or_default();
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

    /// The plugin of that name, as an organization sees it.
    pub(crate) fn get(&self, organization: OrganizationId, id: &PluginId) -> Option<Arc<KnownPlugin>> {
        let known = self.known.load();
        let of = |owner| known.get(&(id.clone(), owner)).cloned();
        of(None).or_else(|| of(Some(organization)))
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
        let mut found = KnownPlugins::new();
        let before = self.known.load();
        for plugin in self.folders.iter().flat_map(|folder| self.read_folder(folder)) {
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

    fn read_folder(&self, folder: &Path) -> Vec<KnownPlugin> {
        let mut discovered = hayloft_manifest::discover(folder);
        // What everybody sees comes first: no organization can take its name.
        discovered.sort_by_key(|discovered| owner_folder(folder, &discovered.place).is_some());
        discovered.into_iter().filter_map(|discovered| self.known_plugin(folder, discovered)).collect()
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
        Some(KnownPlugin::new(id, owner, package, problems, &self.packages))
    }
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
