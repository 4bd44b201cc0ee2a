//! Start a host from what it remembers, and stop it so that nothing is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use futures::{StreamExt, stream};
use hayloft_model::plugin::Package;
use hayloft_model::{InstanceKey, InstanceState, PluginId};
use hayloft_workers::{LaunchRefused, Workers};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::access::AccessTable;
use crate::instances::{Instance, InstanceTable};
use crate::launch::Launcher;
use crate::observe::Watcher;
use crate::permissions::GrantTable;
use crate::plugins::known::Preparing;
use crate::plugins::limits::AllowedLimits;
use crate::plugins::own::OwnRegistrations;
use crate::plugins::priority::Priorities;
use crate::plugins::registry::PluginRegistry;
use crate::plugins::trial::{Trials, Version};
use crate::tools::rates::Rates;
use crate::tools::results::{ResultCache, ResultCaching};
use crate::tools::shares::Shares;
use crate::uses::{self, Uses};
use crate::{Host, HostInner, HostOptions, StoreError, network, relay, upkeep};

/// How many plugins are asked, or started, at once while the host serves already.
const WARMED_AT_ONCE: usize = 4;

/// How long single calls are kept. Their sums by day stay.
const CALLS_KEPT: TimeDelta = TimeDelta::days(30);

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What it remembers cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Starts a host: reads what it remembers and finds its plugins. No worker runs yet, and whatever an earlier host
    /// left in the rows as running is not.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: HostOptions) -> Result<Self, StartError> {
        let access = AccessTable::new(&options.administrator_token);
        let organizations = options.store.organizations().list().await.map_err(StoreError::from)?;
        let tokens = options.store.tokens().all_active().await.map_err(StoreError::from)?;
        access.replace(
            organizations
                .into_iter()
                .map(|organization| (organization.id, Arc::from(organization.name)))
                .collect(),
            tokens.into_iter().map(|token| (token.hash, token.caller())).collect::<HashMap<_, _>>(),
        );
        let limits =
            AllowedLimits { maximum: options.maximum_limits, set: options.workers.plugin_limits.clone() };
        let plugins = PluginRegistry::read_from(
            options.plugin_folders,
            limits,
            options.packages.clone(),
            Arc::clone(&options.clock),
        );
        let instances = options.store.instances().all().await.map_err(StoreError::from)?;
        plugins.put_back(&instances);
        plugins.recall(&options.store.registrations().all().await.map_err(StoreError::from)?);
        let instances = InstanceTable::new(instances, options.store.clone());
        let own = OwnRegistrations::default();
        own.recall(options.store.instance_registrations().all().await.map_err(StoreError::from)?);
        let chosen = options.store.result_caching().all().await.map_err(StoreError::from)?;
        let on = |enabled| if enabled { ResultCaching::On } else { ResultCaching::Off };
        let chosen = chosen.into_iter().map(|(organization, enabled)| (organization, on(enabled)));
        let results = ResultCache::new(options.results, chosen);
        let grants = GrantTable::new(options.store.permissions().all().await.map_err(StoreError::from)?);
        let priorities = Priorities::new(options.store.priorities().all().await.map_err(StoreError::from)?);
        let pools = options.store.pool_limits().all().await.map_err(StoreError::from)?;
        // Before anybody can wish anything of this run.
        let left_over = options.store.wishes().all().await.map_err(StoreError::from)?;
        let uses = Arc::new(Uses::default());
        uses.recall(&options.store).await.map_err(StoreError::from)?;
        let (store, clock) = (options.store, options.clock);
        let counted =
            uses::run(Arc::clone(&uses), store.clone(), Arc::clone(&clock), options.deadlines.audit_period);

        let host = Self(Arc::new_cyclic(|host| HostInner {
            access,
            plugins,
            instances,
            grants,
            own,
            sessions: Default::default(),
            handed: Default::default(),
            outbound: options.outbound,
            remotes: Default::default(),
            adopting: Default::default(),
            entropy: Arc::clone(&options.workers.entropy),
            catalogues: Default::default(),
            items: Default::default(),
            shares: Shares::new(options.calls),
            rates: Rates::new(options.calls),
            results,
            turns: Default::default(),
            writing: Default::default(),
            wishing: Default::default(),
            applied: Default::default(),
            publishing: Default::default(),
            registering: Default::default(),
            keeping: Default::default(),
            placing: Default::default(),
            filling: Default::default(),
            uploads: options.uploads,
            reserved_ids: options.reserved_ids,
            uses,
            value_quota: options.value_quota,
            disk_quota: options.disk_quota,
            priorities,
            choosing_pools: Default::default(),
            refusals: Arc::new(Semaphore::new(network::WAITING)),
            workers: Workers::start(
                options.workers,
                Arc::new(Launcher(host.clone())),
                Arc::new(Watcher(host.clone())),
            ),
            background: [
                tokio::spawn(relay::run(store.clone())),
                tokio::spawn(upkeep::run(store.clone())),
                tokio::spawn(counted),
            ],
            trials: Trials::new(store.clone()),
            store,
            journal: options.journal,
            packages: options.packages,
            enabling: Default::default(),
            changing_versions: Default::default(),
            tidying: Semaphore::new(1),
            outdated: Default::default(),
            left_over: Mutex::new(left_over),
            began: clock.now().timestamp_millis(),
            clock,
            environment: options.environment,
            deadlines: options.deadlines,
        }));
        host.watch_over_the_disk();
        for (plugin, workers) in pools {
            host.workers.limit_pool(&plugin, Some(workers));
        }
        host.settle().await?;
        Ok(host)
    }

    /// Makes rows and catalogue agree with the fact that nothing runs yet.
    async fn settle(&self) -> Result<(), StoreError> {
        self.recall_trials().await?;
        for instance in self.instances.all() {
            if instance.enabled && instance.state.serves() && self.is_all_elsewhere(&instance.key) {
                // Nothing of it ran here, so nothing of it has ended.
                continue;
            }
            if instance.enabled && instance.state == InstanceState::Disabled {
                // It was switched on, and the host ended before anything was done about it.
                self.applied.before(&instance.key, false);
            }
            if let Some(state) = after_restart(&instance) {
                // What was said of a process that is gone is not a step of a life, so it is set, not stepped.
                self.instances.change(&instance.key, |instance| instance.state = state);
            }
        }
        for instance in self.instances.all() {
            let plugin = self.plugins.get(instance.key.organization, &instance.key.plugin);
            let hash = plugin.and_then(|plugin| Some(plugin.package.as_ref()?.content_hash));
            // What crashed too often was other code than there is now.
            if instance.state == InstanceState::Quarantined && hash.is_some() && hash != instance.content_hash
            {
                self.release(&instance.key, "its plugin has a newer version").await;
            }
        }
        self.settle_grants().await?;
        self.load_all_tools().await?;
        self.recall_remotes().await?;
        for instance in self.instances.all().into_iter().filter(|instance| instance.enabled) {
            let plugin = self.plugins.get(instance.key.organization, &instance.key.plugin);
            if plugin.is_some_and(|plugin| plugin.has_requirements()) {
                self.settle_requirements(&instance.key).await;
            }
        }
        self.instances.flush().await;
        Ok(())
    }

    /// Asks the code of every plugin that is new to this host what it registers, and starts what is to run from the
    /// beginning. Meant to go on while the host serves already.
    pub async fn warm_up(&self) {
        self.finish_removals().await;
        if let Err(error) = self.remember_packages().await {
            tracing::error!(%error, "failed to remember the plugins of this host");
        }
        if let Err(error) = self.store.calls().forget_before(self.clock.now() - CALLS_KEPT).await {
            tracing::error!(%error, "failed to forget old calls");
        }
        self.take_up_wishes().await;
        // What organizations want to run waits for nobody's code that only hangs when it is asked.
        tokio::join!(self.take_up_saves(), self.start_activated(), self.ask_unknown());
        self.tidy_versions().await;
    }

    /// Tries what was saved while an earlier host ran that ended before it had tried it, or while it did.
    async fn take_up_saves(&self) {
        let instances = self.instances.all().into_iter().filter(|instance| instance.enabled);
        let undecided = instances.filter(|instance| {
            let plugin = self.plugins.get(instance.key.organization, &instance.key.plugin);
            // What is not there cannot be tried, and is not refused for that.
            (instance.undecided().is_some() || self.applied.is_behind(instance))
                && plugin.is_some_and(|plugin| plugin.package.is_some())
        });
        stream::iter(undecided)
            .for_each_concurrent(WARMED_AT_ONCE, async |instance| {
                // Where nothing served yet, the plugin was not told either that it is on.
                self.applied.before(&instance.key, instance.active_revision.is_some());
                self.reconcile(&instance.key).await;
            })
            .await;
    }

    /// Starts what is to run from the beginning.
    async fn start_activated(&self) {
        let enabled = self.instances.all().into_iter().filter(|instance| instance.enabled);
        let activated = enabled.filter(|instance| {
            let plugin = self.plugins.get(instance.key.organization, &instance.key.plugin);
            plugin.is_some_and(|plugin| plugin.descriptor().is_some_and(|found| found.auto_activate))
        });
        stream::iter(activated)
            .for_each_concurrent(WARMED_AT_ONCE, async |instance| {
                if self.is_all_elsewhere(&instance.key) {
                    return;
                }
                if let Err(error) = self.workers.ensure(&instance.key).await {
                    tracing::warn!(instance = %instance.key, %error, "failed to start a plugin with the host");
                }
            })
            .await;
    }

    /// Asks the code that is new to this host what it registers, and how all code starts fastest.
    async fn ask_unknown(&self) {
        let plugins = self.plugins.all();
        let unknown = plugins.values().filter(|plugin| plugin.is_readable() && plugin.registered().is_none());
        stream::iter(unknown)
            .for_each_concurrent(WARMED_AT_ONCE, async |plugin| {
                if let Err(problems) = plugin.register(self.asked(), Preparing::AsItIs).await {
                    tracing::warn!(plugin = %plugin.id, %problems, "the plugin is not loaded");
                }
            })
            .await;
        self.find_fast_starts().await;
    }

    /// After Node, the runner or a plugin's limits changed, what was found out about starts is of no use.
    async fn find_fast_starts(&self) {
        let plugins = self.plugins.all();
        // Code that could not be asked a moment ago is not started a second time to learn how it does that faster.
        for plugin in plugins.values().filter(|plugin| plugin.registered().is_some()) {
            self.find_missing_start(plugin).await;
        }
    }

    /// What an instance requires can come and go with the host's environment while the host is down.
    async fn settle_requirements(&self, key: &InstanceKey) {
        let _turn = self.turns.take(key).await;
        let Some(instance) = self.instances.get(key).filter(|instance| instance.enabled) else { return };
        // Nobody is served before this has ended, so nothing is built or asked for it. What is not at hand stays as it was,
        // and is looked at when somebody needs it.
        let plugin = self.plugins.get(key.organization, &key.plugin);
        let Some(plugin) = plugin.filter(|plugin| plugin.registered().is_some()) else { return };
        let Some(package) = &plugin.package else { return };
        if !matches!(self.packages.ready(package).await, Ok(Some(_))) {
            return;
        }
        let revision = instance.active_revision.or(instance.desired_revision);
        match self.launch_revision(key, revision, Version::Proven).await {
            Ok(_) if instance.state == InstanceState::Unconfigured => {
                self.instances
                    .step(&instance.key, InstanceState::Stopped, |instance| instance.last_error = None);
            }
            Err(LaunchRefused::Unconfigured { missing }) => {
                self.instances.step_to_unconfigured(key, &missing);
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Notes which content of each plugin is the current one. What is noted already is not written again.
    pub(crate) async fn remember_packages(&self) -> Result<(), StoreError> {
        let remembered: HashMap<PluginId, Package> = self
            .store
            .packages()
            .list()
            .await?
            .into_iter()
            .map(|stored| (stored.package.descriptor.id.clone(), stored.package))
            .collect();
        for plugin in self.plugins.all().values() {
            // What one organization brought along is known by its folder.
            let Some(package) = plugin.package.as_ref().filter(|_| plugin.owner.is_none()) else { continue };
            if remembered.get(&plugin.id) != Some(package) {
                self.store.packages().upsert(package, &plugin.problems).await?;
            }
        }
        Ok(())
    }

    /// Ends every worker within the time, then writes down what is still to be written.
    pub async fn shutdown(&self, within: Duration) {
        self.remotes.clear();
        self.workers.shutdown(within).await;
        self.instances.flush().await;
        self.trials.flush().await;
        // What the relay did not tell by now is told after the next start.
        self.background.iter().for_each(JoinHandle::abort);
        self.uses.write(&self.store, self.clock.now()).await;
        if let Err(error) = self.journal.close().await {
            tracing::error!(%error, "failed to close the journal");
        }
    }
}

/// What an instance is when the host that ran it is gone; nothing, when that changes nothing.
fn after_restart(instance: &Instance) -> Option<InstanceState> {
    use InstanceState as S;
    match instance.state {
        _ if !instance.enabled => (instance.state != S::Disabled).then_some(S::Disabled),
        // New settings were being tried to release it, and nobody knows what came of that.
        S::Starting if instance.hold_reason.is_some() => Some(S::Quarantined),
        S::Starting | S::Ready | S::Degraded | S::Draining | S::Backoff | S::Installing => Some(S::Stopped),
        S::Disabled => Some(S::Stopped),
        S::Stopped | S::Unconfigured | S::Quarantined | S::Failed => None,
    }
}
