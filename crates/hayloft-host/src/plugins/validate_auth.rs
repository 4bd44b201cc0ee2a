//! Ask a plugin whether an organization's credentials are good.

use hayloft_model::config::{ConfigValues, Credentials};
use hayloft_model::{Caller, OrganizationId, PluginId, Scope, ServerId};
use hayloft_store::instances::AuthVerdict;
use hayloft_workers::{HookCall, HookError, Unavailable, Verdict};

use crate::Host;
use crate::access::Denied;
use crate::workers::told_to_people;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum ValidateAuthError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// The organization has it switched off.
    #[error("the plugin `{0}` is not enabled")]
    NotEnabled(PluginId),
    /// Its worker cannot serve at the moment.
    #[error("{}", told_to_people(.0))]
    Unavailable(Unavailable),
    /// The hook broke.
    #[error("the plugin broke: {0}")]
    Broken(HookError),
    /// The plugin is nothing but servers elsewhere, and one of them said neither yes nor no.
    #[error("nobody could judge the credentials: its MCP server `{server}` did not answer: {why}")]
    NobodyJudged {
        /// The server.
        server: ServerId,
        /// What came instead.
        why: String,
    },
}

/// What the plugin is to judge.
#[derive(Clone, Debug, Default)]
pub struct AuthTrial {
    /// Settings to use instead of the saved ones.
    pub config: Option<ConfigValues>,
    /// Credentials to use instead of the saved ones.
    pub credentials: Option<Credentials>,
}

impl Host {
    /// Has the plugin judge the saved credentials, or others that are saved nowhere. The verdict on the saved ones is
    /// kept. Of a plugin that is nothing but servers elsewhere, those judge; how each of them is then shows with them.
    ///
    /// # Errors
    /// See [`ValidateAuthError`].
    pub async fn validate_auth(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
        trial: AuthTrial,
    ) -> Result<Verdict, ValidateAuthError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let (plugin, key) = self.plugins.named_or(organization, id, ValidateAuthError::UnknownPlugin)?;
        if !self.instances.get(&key).is_some_and(|instance| instance.enabled) {
            return Err(ValidateAuthError::NotEnabled(plugin.id.clone()));
        }
        let of_saved = trial.config.is_none() && trial.credentials.is_none();
        if self.is_all_elsewhere(&key) {
            return self.judged_elsewhere(&key, (!of_saved).then_some(&trial)).await;
        }
        let AuthTrial { config, credentials } = trial;
        let worker = self.workers.ensure(&key).await.map_err(ValidateAuthError::Unavailable)?;
        let call = HookCall::ValidateAuth { config, credentials };
        let hook = call.name().to_owned();
        let answer = worker.call_hook(call).await.map_err(ValidateAuthError::Broken)?;
        let verdict: Verdict = serde_json::from_value(answer).map_err(|error| {
            ValidateAuthError::Broken(HookError::Unreadable { hook, message: error.to_string() })
        })?;
        if of_saved {
            let at = self.clock.now();
            let told = AuthVerdict { valid: verdict.valid, message: verdict.error.clone(), at };
            self.instances.change(&key, |instance| instance.auth_verdict = Some(told));
        }
        Ok(verdict)
    }
}
