//! Make a plugin ready to run: its package installed, built and unchanged since.

use hayloft_model::plugin::Package;
use hayloft_model::{ContentHash, InstanceKey, InstanceState, PluginId, Problem, Problems};
use hayloft_packages::{InstallError, Needs, Tampered};
use serde_json::json;

use super::fast_start;
use super::known::{Asked, KnownPlugin, Unusable};
use crate::Host;

impl Host {
    /// Whom a plugin's registration is asked for.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { store: &self.store, workers: &self.workers, packages: &self.packages }
    }

    /// Whether a plugin that is to be on must be made ready before anything about it can be saved.
    pub(crate) async fn must_be_prepared(
        &self,
        key: &InstanceKey,
        plugin: &KnownPlugin,
        wanted: Option<bool>,
    ) -> bool {
        let enabled =
            wanted.unwrap_or_else(|| self.instances.get(key).is_some_and(|instance| instance.enabled));
        let Some(package) = plugin.package.as_ref().filter(|_| enabled) else { return false };
        !matches!(self.packages.ready(package).await, Ok(Some(_)))
    }

    /// Makes a plugin's package ready, anew if it is not what was installed.
    pub(crate) async fn prepare(&self, plugin: &KnownPlugin) -> Result<(), Unusable> {
        let Some(package) = &plugin.package else { return Err(plugin.problems.clone().into()) };
        let installed = self.packages.install_for(plugin.owner, package).await;
        let installed =
            installed.map_err(|error| Unusable { problems: told(&error), is_passing: error.is_passing() })?;
        // What it registers may be known from an earlier time, when nobody found out how it starts fastest.
        if self.packages.lacks_start(&installed, &self.workers.compiles_for(&installed.descriptor))
            && plugin.registered().is_some()
        {
            self.find_fast_start(&installed).await;
        }
        Ok(())
    }

    /// Finds out how a plugin starts fastest, if it is ready and nobody did yet.
    pub(crate) async fn find_missing_start(&self, plugin: &KnownPlugin) {
        let Some(package) = &plugin.package else { return };
        if let Ok(Some(ready)) = self.packages.ready(package).await
            && fast_start::is_unknown(&ready, &self.workers, &self.packages)
        {
            self.find_fast_start(&ready).await;
        }
    }

    /// Finds out how a package that is ready starts fastest. It starts without that, too.
    async fn find_fast_start(&self, package: &Package) {
        if let Err(error) = fast_start::ask(package, &self.workers, &self.packages).await {
            tracing::warn!(plugin = %package.descriptor.id, %error, "failed to find out how a plugin starts fastest");
        }
    }

    /// Ends what is being made and nobody wants any more: its plugin was switched off or removed, or its folder holds
    /// something else by now.
    pub(crate) fn call_off_pointless(&self) {
        for (plugin, hash) in self.packages.being_made() {
            if !self.is_wanted(&plugin, hash) {
                self.packages.call_off(&plugin, hash);
            }
        }
    }

    fn is_wanted(&self, plugin: &PluginId, hash: ContentHash) -> bool {
        let all = self.plugins.all();
        let mut of = all.iter().filter(|((id, _), _)| id == plugin);
        let is_wanted = of.any(|(key, known)| {
            let is_known = known.content_hash() == Some(hash);
            // What only has to be put in its place is there before anybody could change their mind.
            is_known && known.needs == Needs::default()
                || (is_known || self.plugins.is_found_at(key, hash))
                    && (self.is_in_use(key, known) || self.enabling.is_wanted(key))
        });
        is_wanted || self.trials.versions().contains(&(plugin.clone(), hash))
    }

    /// The package that an instance runs. One that changed since it was installed is an attack: it is noted, and
    /// nothing runs.
    pub(crate) async fn runnable(
        &self,
        key: &InstanceKey,
        plugin: &KnownPlugin,
    ) -> Result<Package, Problems> {
        let Some(package) = &plugin.package else { return Err(plugin.problems.clone()) };
        match self.packages.ready(package).await {
            Ok(Some(ready)) => Ok(ready),
            Ok(None) => self.packages.install_for(plugin.owner, package).await.map_err(|error| told(&error)),
            Err(tampered) => {
                self.note_tampered(key, &tampered).await;
                let problem = Problem::error("plugin", tampered.to_string());
                let hint = "somebody wrote to the host's own folder: find out who; switching the plugin on again installs it anew";
                Err(problem.hint(hint).into())
            }
        }
    }

    async fn note_tampered(&self, key: &InstanceKey, tampered: &Tampered) {
        tracing::error!(instance = %key, %tampered, "a plugin that was installed has been changed; it is not started");
        let reason = tampered.to_string();
        self.instances.step(key, InstanceState::Failed, |instance| instance.last_error = Some(reason));
        self.note(key, "package.tampered", json!({ "path": tampered.at })).await;
    }
}

/// What people read of an installation that failed.
fn told(error: &InstallError) -> Problems {
    match error {
        InstallError::Refused { problems, .. } | InstallError::Unavailable { problems, .. } => {
            problems.clone()
        }
        InstallError::CalledOff => error.problems(),
        // Why the machine cannot do it is for its operator, who reads it here as well as in the log.
        InstallError::Host { .. } => Problem::error("package", error.to_string()).into(),
    }
}
