//! What an organization can know of a plugin's OAuth before it connects.

use hayloft_model::plugin::AuthMethod;
use hayloft_model::plugin::auth::{ClientCredential, OAuth2};
use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Scope};

use super::get::GetPluginError;
use super::known::{KnownPlugin, Preparing};
use crate::Host;

/// Whether a plugin can be connected by OAuth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthAvailability {
    /// The method, if the plugin has one.
    pub method: Option<OAuth2>,
    /// What keeps it from being used, for people. Empty when nothing does.
    pub lacks: Vec<String>,
}

impl Host {
    /// Whether the plugin has an OAuth method, and whether its client is known: by a variable of the host, which stays
    /// unseen, or by a setting of the organization.
    ///
    /// # Errors
    /// See [`GetPluginError`].
    pub async fn oauth_availability(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<OAuthAvailability, GetPluginError> {
        self.authorize(caller, organization, Scope::PluginsRead)?;
        let (plugin, key) = self.plugins.named_or(organization, id, GetPluginError::UnknownPlugin)?;
        if let Err(problems) = plugin.register(self.asked(), Preparing::AsItIs).await {
            tracing::debug!(plugin = %id, %problems, "the plugin's registration is not known");
        }
        let registered = self.registered_for(&plugin, &key);
        let methods = match (&registered, plugin.descriptor()) {
            (Some(registered), _) => registered.registration.auth_methods.as_slice(),
            (None, Some(descriptor)) => descriptor.declared.auth_methods.as_slice(),
            (None, None) => &[],
        };
        let method = methods.iter().find_map(|method| match method {
            AuthMethod::Oauth2(method) => Some(&**method),
            AuthMethod::ApiKey(_) | AuthMethod::Jwt(_) => None,
        });
        let Some(method) = method else {
            return Ok(OAuthAvailability {
                method: None,
                lacks: vec![format!("the plugin `{}` has no OAuth method", plugin.id)],
            });
        };
        let mut lacks = Vec::new();
        for (what, credential) in [("client id", &method.client_id), ("client secret", &method.client_secret)]
        {
            let Some(credential) = credential else { continue };
            if let Some(lack) = self.lack(&plugin, &key, what, credential).await? {
                lacks.push(lack);
            }
        }
        Ok(OAuthAvailability { method: Some(method.clone()), lacks })
    }

    async fn lack(
        &self,
        plugin: &KnownPlugin,
        key: &InstanceKey,
        what: &str,
        credential: &ClientCredential,
    ) -> Result<Option<String>, GetPluginError> {
        Ok(match credential {
            // The name is the plugin's word: whether the host has such a variable is not for everybody to know.
            ClientCredential::Host { env } if !self.environment.is_granted(&plugin.id, env) => Some(format!(
                "the {what} is not known: the operator has not granted the variable `{env}` to the plugin"
            )),
            ClientCredential::Host { env } => {
                let is_set =
                    self.environment.variables.get(env).is_some_and(|value| !value.expose().is_empty());
                (!is_set).then(|| format!("the {what} is not known: the host has no variable `{env}`"))
            }
            ClientCredential::Field(field) => {
                let revision = self.instances.get(key).and_then(|instance| instance.desired_revision);
                let saved = match revision {
                    Some(revision) => self
                        .store
                        .configurations()
                        .load(key, revision)
                        .await
                        .map_err(crate::StoreError::from)?,
                    None => None,
                };
                let values = saved.map(|saved| saved.values).unwrap_or_default();
                let registered = self.registered_for(plugin, key);
                let env = registered.as_ref().and_then(|registered| {
                    registered.registration.config_schema.field(&field.name)?.env.clone()
                });
                let is_set = values.get(&field.name).is_some_and(|value| !value.is_null())
                    || env.is_some_and(|env| {
                        let permitted = self.permitted_of(key);
                        permitted.is_some_and(|descriptor| self.allowed_variable(&descriptor, &env).is_some())
                    });
                (!is_set)
                    .then(|| format!("the {what} is not known: the setting `{}` has no value", field.name))
            }
        })
    }
}
