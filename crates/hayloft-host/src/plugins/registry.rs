//! The plugins that this host knows: what their folders say, and what their code registers once it ran.

use std::collections::BTreeMap;
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
    pub(crate) fn get(&self, id: &PluginId) -> Option<Arc<KnownPlugin>> {
        self.known.load().get(id).cloned()
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
        let mut found: BTreeMap<PluginId, Arc<KnownPlugin>> = BTreeMap::new();
        let before = self.known.load();
        for plugin in folders.iter().flat_map(|folder| read_folder(folder, limits)) {
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
