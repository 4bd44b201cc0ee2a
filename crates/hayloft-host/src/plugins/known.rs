//! One plugin of this host: what its folder says, and what its code registers once it ran.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hayloft_manifest::registration;
use hayloft_model::plugin::{Package, Runtime};
use hayloft_model::{
    ContentHash, OrganizationId, PluginDescriptor, PluginId, Problem, Problems, Registration,
};
use hayloft_packages::{InstallError, InstallState, Needs, Packages};
use hayloft_store::Store;
use hayloft_store::registrations::StoredRegistration;
use hayloft_workers::{ProbeError, Workers};

use super::fast_start;
use super::registry::{KnownPlugins, PluginKey};

/// How long a plugin whose code could not be asked is left alone. Its code is the same then, so asking again at once
/// would only cost another process.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// The same where it was not the code's fault.
const UNLUCKY_FOR: Duration = Duration::from_secs(2);

/// Why a plugin cannot be used as it is.
#[derive(Clone, Debug)]
pub(crate) struct Unusable {
    pub(crate) problems: Problems,
    /// Whether that is the matter of the host, or of somebody whom it needs, and may be over another time.
    pub(crate) is_passing: bool,
}

impl From<Problems> for Unusable {
    fn from(problems: Problems) -> Self {
        Self { problems, is_passing: false }
    }
}

impl From<InstallError> for Unusable {
    fn from(error: InstallError) -> Self {
        Self { problems: error.problems(), is_passing: error.is_passing() }
    }
}

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
    answer: Shared<BoxFuture<'static, Result<Arc<Registered>, Unusable>>>,
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
        self.note("its newer version is not used", problems);
    }

    /// The same, where it is tried again by itself.
    pub(crate) fn note_later(&self, problems: Problems) {
        self.note("its newer version is not used yet, and is tried again by itself", problems);
    }

    fn note(&self, what: &str, problems: Problems) {
        *self.newer.lock().unwrap_or_else(PoisonError::into_inner) = problems
            .into_iter()
            .map(|problem| {
                let message = format!("{what}: {}", problem.message);
                let warning = Problem::warning(problem.at, message);
                problem.hint.into_iter().fold(warning, Problem::hint)
            })
            .collect();
    }

    /// Why a newer content of its folder does not run.
    pub(crate) fn newer(&self) -> Problems {
        self.newer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn descriptor(&self) -> Option<&PluginDescriptor> {
        self.package.as_ref().map(|package| &package.descriptor)
    }

    /// Which code it is, if it can be used.
    pub(crate) fn content_hash(&self) -> Option<ContentHash> {
        self.package.as_ref().map(|package| package.content_hash)
    }

    /// Whether this is one of its other names.
    pub(super) fn answers_to(&self, name: &PluginId) -> bool {
        self.descriptor().is_some_and(|descriptor| descriptor.aliases.contains(name))
    }

    /// What stands before the names of its procedures, if it has any.
    pub(super) fn namespace(&self) -> Option<&str> {
        Some(&self.descriptor()?.procedures.as_ref()?.namespace)
    }

    /// Gives up other names that are the ids of plugins: an id always leads to its own. Who sees it sees those.
    pub(super) fn leave_ids_alone(&mut self, ids: &BTreeSet<PluginKey>) {
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
    pub(super) fn give_way(&mut self, earlier: &KnownPlugins) {
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
    pub(super) fn recall(&self, stored: &StoredRegistration) {
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
        all.extend(self.newer());
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
        asked: Asked<'_>,
        preparing: Preparing,
    ) -> Result<Arc<Registered>, Problems> {
        self.registered_or_why(asked, preparing).await.map_err(|unusable| unusable.problems)
    }

    /// The same, and if it could not be asked, whose fault that was.
    pub(crate) async fn registered_or_why(
        &self,
        Asked { store, workers, packages }: Asked<'_>,
        preparing: Preparing,
    ) -> Result<Arc<Registered>, Unusable> {
        if let Some(registered) = self.registered() {
            return Ok(Arc::clone(registered));
        }
        let Some(package) = &self.package else { return Err(self.problems.clone().into()) };
        if preparing == Preparing::AsItIs && !self.is_at_hand(package, packages) {
            let problem =
                Problem::warning("plugin", "is not installed yet, so what it registers is not known");
            let problems: Problems = problem.hint("switch it on: that installs it").into();
            return Err(problems.into());
        }
        let answer = {
            let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            let recent = asking.as_ref().filter(|asking| match asking.answer.peek() {
                None => true,
                Some(Err(unusable)) if unusable.is_passing => asking.asked_at.elapsed() < UNLUCKY_FOR,
                Some(_) => asking.asked_at.elapsed() < REFUSED_FOR,
            });
            match recent {
                Some(recent) => recent.answer.clone(),
                None => {
                    let (owner, package, packages) = (self.owner, package.clone(), packages.clone());
                    let (store, workers) = (store.clone(), workers.clone());
                    let answer = async move {
                        learn(
                            owner,
                            &package,
                            preparing,
                            Asked { store: &store, workers: &workers, packages: &packages },
                        )
                        .await
                    }
                    .boxed()
                    .shared();
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
        Some(asking.as_ref()?.answer.peek()?.as_ref().err()?.problems.clone())
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
    /// Yes, and somebody waits for it: how it starts fastest is found out later.
    AtOnce,
}

async fn learn(
    owner: Option<OrganizationId>,
    package: &Package,
    preparing: Preparing,
    Asked { store, workers, packages }: Asked<'_>,
) -> Result<Arc<Registered>, Unusable> {
    let internal = |error: &dyn std::fmt::Display| {
        tracing::error!(plugin = %package.descriptor.id, %error, "failed to read a plugin's registration");
        let message = "its registration could not be read, for a reason of the host";
        Unusable { problems: Problem::error("plugin", message).into(), is_passing: true }
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
    let package = &packages.install_for(owner, package).await?;
    let raw = match preparing {
        Preparing::AsItIs | Preparing::Installed => fast_start::ask(package, workers, packages).await,
        Preparing::AtOnce => fast_start::ask_files(package, workers).await,
    };
    let raw = raw.map_err(|error| Unusable { problems: told(&error), is_passing: error.is_passing() })?;
    let (registration, problems) = registration::read(&raw, &package.descriptor);
    if let Err(error) = store.registrations().put(package.content_hash, &registration, &problems).await {
        return Err(internal(&error));
    }
    Ok(Arc::new(Registered { registration, problems }))
}

/// What its author reads of code that could not be asked, each with its place where the code said one.
fn told(error: &ProbeError) -> Problems {
    let ProbeError::StartFailed(failure) = error else {
        return Problem::error("plugin", format!("failed to {error}")).into();
    };
    let hinted = |problem: Problem, hint: &Option<String>| match hint.as_ref().or(failure.hint.as_ref()) {
        Some(hint) => problem.hint(hint),
        None => problem,
    };
    if failure.problems.is_empty() {
        return hinted(Problem::error("plugin", format!("failed to {error}")), &None).into();
    }
    let said = failure.problems.iter().map(|said| {
        let message = format!("failed to {}: {}", failure.stage, said.message);
        hinted(Problem::error(&said.at, message), &said.hint)
    });
    said.collect()
}
