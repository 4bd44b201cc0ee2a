//! What is sent to a server elsewhere so that it knows the organization: made from what that gave the plugin, on the host,
//! at the moment when it is needed.

use std::sync::{PoisonError, RwLock, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hayloft_mcp::client::remote::{HeaderSource, HeadersUnavailable, Occasion, SecretHeaders};
use hayloft_model::config::{ConfigValues, Credentials};
use hayloft_model::plugin::{AuthValue, ServerAuth};
use hayloft_model::{InstanceKey, Secret};
use serde_json::Value;

use super::super::handed::RemoteServer;
use crate::config::credentials;
use crate::plugins::validate_auth::AuthTrial;
use crate::{Host, HostInner};

impl Host {
    /// The headers for a server elsewhere at this moment.
    async fn sign(
        &self,
        key: &InstanceKey,
        server: &RemoteServer,
        trial: Option<&AuthTrial>,
    ) -> Result<SecretHeaders, String> {
        let mut headers = server.headers.clone();
        if server.asks_organization() {
            let given = self.given(key, trial).await?;
            headers.extend(given.header_for(&server.auth)?);
        }
        SecretHeaders::parse(headers.iter().map(|(name, value)| (name.as_str(), value.clone())))
            .map_err(|problems| problems.to_string())
    }

    /// What the organization of an instance gave the plugin, with what is being tried in place of it.
    async fn given(&self, key: &InstanceKey, trial: Option<&AuthTrial>) -> Result<Given, String> {
        let plugin = self.plugins.get(key.organization, &key.plugin);
        let plugin = plugin.ok_or("its plugin is not on this host any more")?;
        let permitted = self.permitted_of(key).ok_or("its plugin cannot be read")?;
        let revision = self
            .instances
            .get(key)
            .and_then(|instance| instance.active_revision.or(instance.desired_revision));
        let saved = match revision {
            Some(revision) => self.store.configurations().load(key, revision).await.map_err(|error| {
                tracing::error!(instance = %key, %revision, %error, "failed to read an instance's configuration");
                String::from("the settings could not be read, for a reason of the host")
            })?,
            None => None,
        };
        let (mut values, mut chosen) =
            saved.map(|saved| (saved.values, saved.credentials)).unwrap_or_default();
        if let Some(AuthTrial { config, credentials: tried }) = trial {
            if let Some(config) = config {
                values = values.merged(config);
            }
            if let Some(tried) = tried {
                chosen = Some(credentials::merged(chosen.as_ref(), tried));
            }
        }
        let registered = self.registered_for(&plugin, key);
        let registration = registered.map(|registered| registered.registration.clone()).unwrap_or_default();
        let credentials = self.credentials(&permitted, &registration, chosen.as_ref(), &values);
        for (name, field) in &registration.config_schema.fields {
            let of_host = || self.allowed_variable(&permitted, field.env.as_deref()?).map(Value::String);
            if values.get(name).is_none_or(Value::is_null)
                && let Some(value) = of_host().or_else(|| field.default.clone())
            {
                values.insert(name.clone(), value);
            }
        }
        Ok(Given { values, credentials })
    }
}

/// What an organization gave a plugin: its settings, and what it authenticates with.
#[derive(Default)]
struct Given {
    values: ConfigValues,
    credentials: Option<Credentials>,
}

impl Given {
    /// The header that this way of authentication adds, if it adds one.
    fn header_for(&self, auth: &ServerAuth) -> Result<Option<(String, Secret<String>)>, String> {
        let authorization = |text: String| Some((String::from("Authorization"), Secret::new(text)));
        Ok(match auth {
            ServerAuth::Nothing => None,
            ServerAuth::Organization => match &self.credentials {
                None => None,
                Some(credentials) => text_of(credentials.values.get("accessToken"))
                    .or_else(|| text_of(credentials.values.get("apiKey")))
                    .and_then(|token| authorization(format!("Bearer {token}"))),
            },
            ServerAuth::Bearer(value) => authorization(format!("Bearer {}", self.value(value)?)),
            ServerAuth::Key { value, header, prefix } => {
                Some((header.clone(), Secret::new(format!("{prefix}{}", self.value(value)?))))
            }
            ServerAuth::Basic { username, password } => {
                let pair = STANDARD.encode(format!("{username}:{}", self.value(password)?));
                authorization(format!("Basic {pair}"))
            }
            ServerAuth::Connection => {
                let credentials = self.credentials.as_ref();
                let token =
                    credentials.and_then(|credentials| text_of(credentials.values.get("accessToken")));
                let token = token.ok_or("the organization has not connected its account (OAuth 2)")?;
                authorization(format!("Bearer {token}"))
            }
        })
    }

    fn value(&self, value: &AuthValue) -> Result<String, String> {
        match value {
            AuthValue::Given(secret) => Ok(secret.expose().clone()),
            AuthValue::Setting(name) => text_of(self.values.get(name))
                .ok_or_else(|| format!("the setting `{}` has no value", name.escape_debug())),
            AuthValue::Credentials => self
                .credentials
                .as_ref()
                .and_then(|credentials| text_of(credentials.values.get("apiKey")))
                .ok_or_else(|| String::from("the organization has given the plugin no key or token")),
        }
    }
}

fn text_of(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Knows the headers of one server, and asks anew when they are refused.
pub(super) struct Signer {
    host: Weak<HostInner>,
    key: InstanceKey,
    server: RemoteServer,
    trial: Option<AuthTrial>,
    current: RwLock<Option<SecretHeaders>>,
}

impl Signer {
    pub(super) fn new(
        host: &Host,
        key: &InstanceKey,
        server: &RemoteServer,
        trial: Option<&AuthTrial>,
    ) -> Self {
        Self {
            host: host.downgrade(),
            key: key.clone(),
            server: server.clone(),
            trial: trial.cloned(),
            current: RwLock::default(),
        }
    }
}

impl HeaderSource for Signer {
    fn headers(&self, occasion: Occasion) -> BoxFuture<'_, Result<SecretHeaders, HeadersUnavailable>> {
        async move {
            let known = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
            if let (Some(known), Occasion::Request) = (known, occasion) {
                return Ok(known);
            }
            let gone = || HeadersUnavailable(String::from("the host is shutting down"));
            let host = self.host.upgrade().map(Host).ok_or_else(gone)?;
            let headers =
                host.sign(&self.key, &self.server, self.trial.as_ref()).await.map_err(HeadersUnavailable)?;
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(headers.clone());
            Ok(headers)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_organization_gave_is_what_the_host_sends() {
        let values = |pairs: &[(&str, &str)]| -> ConfigValues {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
        };
        let credentials = |pairs| Some(Credentials { method_id: "m".into(), values: values(pairs) });
        let given = |credentials| Given { values: values(&[("token", "t"), ("empty", "")]), credentials };
        let key = || AuthValue::Credentials;
        let header = |given: &Given, auth: &ServerAuth| {
            given
                .header_for(auth)
                .map(|header| header.map(|(name, value)| format!("{name}: {}", value.expose())))
        };
        let with_key = given(credentials(&[("apiKey", "k")]));
        for (auth, expected) in [
            (ServerAuth::Nothing, None),
            (ServerAuth::Organization, Some("Authorization: Bearer k")),
            (ServerAuth::Bearer(key()), Some("Authorization: Bearer k")),
            (ServerAuth::Bearer(AuthValue::Setting("token".into())), Some("Authorization: Bearer t")),
            (
                ServerAuth::Key { value: key(), header: "X-Key".into(), prefix: "Token ".into() },
                Some("X-Key: Token k"),
            ),
            (
                ServerAuth::Basic {
                    username: "u".into(),
                    password: AuthValue::Given(Secret::new("p".to_owned())),
                },
                Some("Authorization: Basic dTpw"),
            ),
        ] {
            assert_eq!(header(&with_key, &auth), Ok(expected.map(str::to_owned)), "{auth:?}");
        }
        let connected = given(credentials(&[("accessToken", "a")]));
        for auth in [ServerAuth::Connection, ServerAuth::Organization] {
            assert_eq!(header(&connected, &auth), Ok(Some("Authorization: Bearer a".to_owned())));
        }
        let nothing = given(None);
        assert_eq!(header(&nothing, &ServerAuth::Organization), Ok(None));
        for (auth, why) in [
            (ServerAuth::Bearer(key()), "no key or token"),
            (ServerAuth::Bearer(AuthValue::Setting("empty".into())), "the setting `empty` has no value"),
            (ServerAuth::Connection, "has not connected its account"),
        ] {
            assert!(header(&nothing, &auth).unwrap_err().contains(why), "{auth:?}");
        }
    }
}
