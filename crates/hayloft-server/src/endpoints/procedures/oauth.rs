//! `plugins.oauth.isAvailable`, `.status`, `.initiate` and `.revoke`: what is known of a plugin's OAuth. No connection is
//! made yet, and whoever asks for one is told so.

use hayloft_model::plugin::auth::{ClientCredential, OAuth2};
use serde_json::{Value, json};

use super::plugins::{Asked, OfPlugin};
use crate::problem::ProblemDetails;
use crate::trpc::{Code, TrpcError};

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Procedure {
    /// Whether the plugin has OAuth and its client is known.
    IsAvailable,
    /// Whether the organization is connected.
    Status,
    /// Begin to connect.
    Initiate,
    /// End a connection.
    Revoke,
}

pub(super) async fn answer(procedure: Procedure, asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let known = asked.host.oauth_availability(asked.caller, asked.organization, &id).await;
    let known = known.map_err(ProblemDetails::from)?;
    let available = known.lacks.is_empty();
    match procedure {
        Procedure::IsAvailable => {
            let mut answer = json!({ "available": available });
            if let Some(method) = &known.method {
                answer["methodId"] = method.id.as_str().into();
                answer["oauth"] = shape(method);
            }
            if !available {
                answer["reason"] = known.lacks.join("; ").into();
            }
            Ok(answer)
        }
        Procedure::Status => Ok(json!({ "connected": false, "available": available })),
        Procedure::Initiate if !available => {
            Err(TrpcError::new(Code::UnprocessableContent, known.lacks.join("; ")))
        }
        Procedure::Initiate => {
            Err(TrpcError::new(Code::NotImplemented, "this host does not connect plugins by OAuth"))
        }
        Procedure::Revoke => {
            Err(TrpcError::new(Code::Conflict, format!("the plugin `{id}` has no connection to revoke")))
        }
    }
}

/// The fields of an OAuth method as a manifest writes them.
pub(super) fn shape(method: &OAuth2) -> Value {
    let mut shown = json!({
        "scopes": method.scopes,
        "optionalScopes": method.optional_scopes,
        "pkce": method.pkce.unwrap_or(false),
    });
    let texts = [("authorizationUrl", &method.authorization_url), ("tokenUrl", &method.token_url)];
    for (name, text) in texts {
        if let Some(text) = text {
            shown[name] = text.as_str().into();
        }
    }
    for (name, credential) in [("clientId", &method.client_id), ("clientSecret", &method.client_secret)] {
        match credential {
            Some(ClientCredential::Host { env }) => shown[format!("{name}EnvVar")] = env.as_str().into(),
            Some(ClientCredential::Field(field)) => {
                shown[format!("{name}Field")] = field.name.as_str().into()
            }
            None => {}
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_shown_by_where_it_comes_from() {
        let method: OAuth2 = serde_json::from_value(json!({
            "id": "oauth2", "label": "x", "authorizationUrl": "https://a.test/", "tokenUrl": "https://b.test/",
            "scopes": ["read"], "optionalScopes": ["admin"], "pkce": true,
            "clientId": { "env": "CLIENT_ID" }, "clientSecret": { "name": "secret" },
        }))
        .unwrap();
        assert_eq!(
            shape(&method),
            json!({
                "authorizationUrl": "https://a.test/", "tokenUrl": "https://b.test/", "scopes": ["read"],
                "optionalScopes": ["admin"], "pkce": true, "clientIdEnvVar": "CLIENT_ID",
                "clientSecretField": "secret",
            })
        );
    }
}
