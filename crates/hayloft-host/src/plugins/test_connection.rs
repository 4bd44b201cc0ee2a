//! Try a plugin in an organization: have it judge the saved credentials and its servers list their tools, and tell how it
//! is then.

use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Scope};

use super::health::{CheckHealthError, HealthStatus, PluginHealth};
use super::validate_auth::{AuthTrial, ValidateAuthError};
use crate::Host;

impl Host {
    /// How a plugin is in an organization, after everything of it was tried. Its worker is started for that, if it has
    /// one, and its servers elsewhere are reached.
    ///
    /// # Errors
    /// See [`CheckHealthError`].
    pub async fn test_connection(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<PluginHealth, CheckHealthError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let (_, key) = self.plugins.named_or(organization, id, CheckHealthError::UnknownPlugin)?;
        let failure = match self.validate_auth(caller, organization, id, AuthTrial::default()).await {
            // Where they judged, its servers have just listed their tools.
            Ok(verdict) if verdict.valid && self.is_all_elsewhere(&key) => None,
            Ok(verdict) if verdict.valid => self.servers_failure(&key).await,
            Ok(verdict) => {
                Some(verdict.error.unwrap_or_else(|| String::from("its credentials are not valid")))
            }
            Err(ValidateAuthError::Denied(denied)) => return Err(denied.into()),
            Err(ValidateAuthError::UnknownPlugin(plugin)) => {
                return Err(CheckHealthError::UnknownPlugin(plugin));
            }
            // How it is says the rest: what is switched off, or lacks a setting, is not unhealthy.
            Err(error) => Some(error.to_string()),
        };
        let health = self.health_of(&key);
        Ok(match failure {
            // What is not healthy anyway has a better reason already.
            Some(message) if health.status == HealthStatus::Healthy => {
                PluginHealth { status: HealthStatus::Unhealthy, message, ..health }
            }
            _ => health,
        })
    }

    /// Why one of its servers did not list its tools.
    async fn servers_failure(&self, key: &InstanceKey) -> Option<String> {
        match self.list_anew(key).await {
            Ok(failures) => {
                let (server, failure) = failures.into_iter().next()?;
                Some(format!("its MCP server `{server}` did not list its tools: {failure}"))
            }
            Err(error) => Some(error.to_string()),
        }
    }
}
