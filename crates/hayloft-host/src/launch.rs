//! What a worker is started with: the answer to the question that the workers ask when somebody needs one.

use std::sync::Weak;

use futures::FutureExt;
use futures::future::BoxFuture;
use hayloft_model::config::{ConfigValues, Credentials, Requirement, missing, missing_variables};
use hayloft_model::{
    InstanceKey, InstanceState, PluginDescriptor, Problems, Registration, Revision, Severity,
};
use hayloft_workers::{Binding, Launch, LaunchRefused, LaunchSource, Pooling};

use crate::config::credentials;
use crate::config::secrets::secrets;
use crate::plugins::known::Preparing;
use crate::plugins::trial::Version;
use crate::{Host, HostInner};

/// The host as the workers ask it. Weak, since the host owns the workers.
pub(crate) struct Launcher(pub(crate) Weak<HostInner>);

impl LaunchSource for Launcher {
    fn launch<'a>(&'a self, key: &'a InstanceKey) -> BoxFuture<'a, Result<Launch, LaunchRefused>> {
        async move {
            let Some(inner) = self.0.upgrade() else {
                return Err(LaunchRefused::Failed { reason: String::from("the host is shutting down") });
            };
            let host = Host(inner);
            let launch = host.launch(key).await;
            if let Err(LaunchRefused::Unconfigured { missing }) = &launch {
                host.instances.step_to_unconfigured(key, missing);
            }
            launch
        }
        .boxed()
    }
}

impl Host {
    /// What to start for an instance: the revision that runs, or the wanted one when none ran yet.
    async fn launch(&self, key: &InstanceKey) -> Result<Launch, LaunchRefused> {
        let instance =
            self.instances.get(key).filter(|instance| instance.enabled || self.turns.is_disabling(key));
        let Some(instance) = instance else { return Err(LaunchRefused::NotEnabled) };
        if instance.state == InstanceState::Quarantined {
            let reason = instance.hold_reason.clone().unwrap_or_default();
            return Err(LaunchRefused::Quarantined { reason });
        }
        let revision = instance.active_revision.or(instance.desired_revision);
        match self.launch_revision(key, revision, Version::Proven).await {
            // What was saved since may have all that is required.
            Err(LaunchRefused::Unconfigured { .. }) if instance.desired_revision > revision => {
                self.launch_revision(key, instance.desired_revision, Version::Proven).await
            }
            launch => launch,
        }
    }

    /// What to start for one revision of an instance's configuration.
    pub(crate) async fn launch_revision(
        &self,
        key: &InstanceKey,
        revision: Option<Revision>,
        version: Version,
    ) -> Result<Launch, LaunchRefused> {
        let failed = |reason: String| LaunchRefused::Failed { reason };
        let Some(plugin) = self.version(key, version) else {
            return Err(failed(format!("the plugin `{}` is not on this host any more", key.plugin)));
        };
        if plugin.package.is_none() {
            let wrong = plugin.problems.iter().find(|problem| problem.severity == Severity::Error);
            let wrong = wrong.map(|problem| format!("{}: {}", problem.at, problem.message));
            return Err(failed(
                wrong.unwrap_or_else(|| format!("the plugin `{}` cannot be read", key.plugin)),
            ));
        };
        let unusable = |problems: Problems| {
            failed(problems.iter().next().map_or_else(String::new, |problem| problem.message.clone()))
        };
        let registered = plugin.register(self.asked(), Preparing::Installed).await.map_err(unusable)?;
        // Nobody else learns from the time that a start takes whether an organization runs what it uploaded.
        let pooling = match plugin.owner.is_some() || registered.registration.reads_organization_early {
            true => Pooling::Never,
            false => Pooling::Allowed,
        };
        let saved = match revision {
            Some(revision) => self.store.configurations().load(key, revision).await.map_err(|error| {
                tracing::error!(instance = %key, %revision, %error, "failed to read an instance's configuration");
                failed(String::from("its configuration could not be read, for a reason of the host"))
            })?,
            None => None,
        };
        let (values, chosen) = saved.map(|saved| (saved.values, saved.credentials)).unwrap_or_default();
        let registered = self.registered_for(&plugin, key).unwrap_or(registered);
        let registration = &registered.registration;
        if self.grants.get(key).is_none() && self.instances.get(key).is_some_and(|instance| instance.enabled)
        {
            // It could not be read when the host started, so nothing was noted then.
            if let Some(descriptor) = plugin.descriptor() {
                self.grant_all(key, descriptor, None).await.map_err(|error| {
                    tracing::error!(instance = %key, %error, "failed to note what a plugin may do");
                    failed(String::from("what it may do could not be noted, for a reason of the host"))
                })?;
            }
        }
        let Some(descriptor) = plugin.descriptor().map(|descriptor| self.permitted(key, descriptor)) else {
            return Err(unusable(plugin.problems.clone()));
        };
        let missing = self.missing_settings(&descriptor, registration, &values);
        if !missing.is_empty() {
            return Err(LaunchRefused::Unconfigured {
                missing: missing.iter().map(Requirement::told).collect(),
            });
        }
        let mut package = self.runnable(key, &plugin).await.map_err(unusable)?;
        package.descriptor = self.permitted(key, &package.descriptor);
        let credentials = self.credentials(&descriptor, registration, chosen.as_ref(), &values);
        let allowed = self.environment.allowed(&package.descriptor);
        let environment: Vec<_> = allowed.map(|(name, value)| (name.to_owned(), value.clone())).collect();
        let schema = &registration.config_schema;
        let secrets = secrets(schema, &values, credentials.as_ref(), &environment);
        let server_environment = self.server_environment(&descriptor, schema, &values, credentials.as_ref());
        let servers = Self::listed_servers(&package.descriptor.servers);
        let organization_name = self.access.organization_name(key.organization);
        Ok(Launch {
            priority: self.priorities.of(key),
            package,
            pooling,
            binding: Binding {
                organization: key.organization,
                organization_name: organization_name.map(|name| name.to_string()).unwrap_or_default(),
                // An instance without any saved value runs on revision 0.
                revision: revision.unwrap_or(Revision(0)),
                config: values,
                credentials,
                environment,
                servers,
                server_environment,
                secrets,
            },
        })
    }

    /// Required settings that neither the organization, nor the environment, nor a default gives; and variables that
    /// must be there, by their own names.
    pub(crate) fn missing_settings(
        &self,
        descriptor: &PluginDescriptor,
        registration: &Registration,
        values: &ConfigValues,
    ) -> Vec<Requirement> {
        let schema = &registration.config_schema;
        let has_environment = |name: &str| self.allowed_variable(descriptor, name).is_some();
        let variables = missing_variables(&descriptor.requirements.env, values, schema, has_environment);
        missing(values, schema, has_environment).chain(variables).collect()
    }

    /// The credentials that a worker on these values gets.
    pub(crate) fn credentials(
        &self,
        descriptor: &PluginDescriptor,
        registration: &Registration,
        chosen: Option<&Credentials>,
        values: &ConfigValues,
    ) -> Option<Credentials> {
        credentials::resolve(chosen, values, registration, |name| self.allowed_variable(descriptor, name))
    }

    pub(crate) fn allowed_variable(&self, descriptor: &PluginDescriptor, name: &str) -> Option<String> {
        let value = self.environment.get(descriptor, name)?;
        Some(value.expose().clone())
    }
}
