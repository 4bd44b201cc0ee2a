//! `PUT /v1/orgs/{org}/plugins/{plugin}`

use axum::Json;
use axum::extract::State;
use hayloft_host::{SavePlugin, SavePluginError};
use hayloft_model::config::{ConfigValues, Credentials};
use http::StatusCode;
use utoipa::ToSchema;

use super::body::DetailBody;
use crate::auth::OnPlugin;
use crate::body::{FromBody, JsonBody, ObjectReader, object};
use crate::openapi::refusals::{BadBody, Inaccessible};
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<SavePluginError> for ProblemDetails {
    fn from(error: SavePluginError) -> Self {
        match error {
            SavePluginError::Denied(denied) => denied.into(),
            SavePluginError::UnknownPlugin(_) => Self::unknown_plugin(),
            SavePluginError::Invalid(problems) => Self::invalid(problems),
            SavePluginError::Store(error) => Self::internal(&error),
        }
    }
}

/// What is to change. What is absent stays.
#[derive(ToSchema)]
#[schema(as = SavePlugin)]
pub(crate) struct Wish {
    /// Whether the plugin is on.
    #[schema(nullable = false)]
    enabled: Option<bool>,
    /// Settings by field: an absent one stays, `null` clears it, its mask keeps it.
    #[schema(value_type = Object, required = false)]
    config: Option<ConfigValues>,
    /// How the plugin gets its credentials.
    #[schema(value_type = WishedAuth, required = false)]
    auth: Option<Credentials>,
}

/// The chosen auth method and what it needs.
#[derive(ToSchema)]
#[schema(as = SaveAuth, rename_all = "camelCase")]
#[expect(dead_code, reason = "it documents the shape that `auth` reads")]
pub(crate) struct WishedAuth {
    /// The id of one of the plugin's methods.
    method_id: String,
    /// What the method needs, by name.
    #[schema(value_type = Object)]
    credentials: ConfigValues,
}

impl FromBody for Wish {
    fn read(object: &mut ObjectReader<'_>) -> Option<Self> {
        Some(Self {
            enabled: object.optional("enabled", object::boolean),
            config: object.optional("config", object::values),
            auth: object.nested("auth", auth),
        })
    }
}

fn auth(object: &mut ObjectReader<'_>) -> Option<Credentials> {
    let method_id = object.required("methodId", object::text);
    let values = object.required("credentials", object::values);
    Some(Credentials { method_id: method_id?, values: values? })
}

/// Switch a plugin on or off, give it settings and credentials.
///
/// Nothing is stored unless all of it is valid. A candidate worker then shows whether the values work; the answer waits
/// up to ten seconds for it and is 202 when that was not enough.
#[utoipa::path(
    put,
    path = "/v1/orgs/{org}/plugins/{plugin}",
    operation_id = "savePlugin",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    request_body = Wish,
    responses(
        (status = OK, body = DetailBody, description = "Saved; this is what became of it."),
        (status = ACCEPTED, body = DetailBody, description = "Saved; the plugin is still trying the values."),
        Inaccessible,
        BadBody,
    )
)]
pub(crate) async fn save(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<(StatusCode, Json<DetailBody>), ProblemDetails> {
    let wish = SavePlugin { enabled: wish.enabled, config: wish.config, auth: wish.auth };
    let outcome = state.host.save_plugin(&caller, organization, &plugin, wish).await?;
    let status = if outcome.pending { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(outcome.detail.into())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::body::read;

    #[test]
    fn what_is_absent_stays_absent_and_null_is_kept() {
        let wish: Wish = read(&br#"{"config":{"key":null,"region":"eu"}}"#[..].into()).ok().unwrap();
        assert!(wish.enabled.is_none() && wish.auth.is_none());
        let config = wish.config.unwrap();
        assert_eq!(config.get("key"), Some(&json!(null)));
        assert_eq!(config.get("region"), Some(&json!("eu")));
    }

    #[test]
    fn credentials_need_their_method() {
        let body = br#"{"enabled":true,"auth":{"methodId":"key","credentials":{"apiKey":"sk_1"}}}"#;
        let wish: Wish = read(&body[..].into()).ok().unwrap();
        assert_eq!(wish.auth.unwrap().method_id, "key");
        for bad in [
            r#"{"auth":{"methodId":"key"}}"#,
            r#"{"auth":{"credentials":{}}}"#,
            r#"{"auth":null}"#,
            r#"{"auth":{"methodId":"key","credentials":{},"token":"x"}}"#,
            r#"{"enabled":"yes"}"#,
            r#"{"config":[]}"#,
        ] {
            assert_eq!(read::<Wish>(&bad.as_bytes().to_vec().into()).err().unwrap().status(), 422, "{bad}");
        }
    }
}
