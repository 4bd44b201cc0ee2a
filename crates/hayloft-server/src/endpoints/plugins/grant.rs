//! `POST /v1/orgs/{org}/plugins/{plugin}/permissions`

use axum::Json;
use axum::extract::State;
use hayloft_host::GrantPermissionsError;
use hayloft_model::Problem;
use hayloft_model::plugin::Permission;
use http::StatusCode;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{DetailBody, PermissionShape};
use crate::auth::OnPlugin;
use crate::body::{FromBody, JsonBody, ObjectReader};
use crate::openapi::refusals::{BadBody, Inaccessible};
use crate::problem::{ProblemBody, ProblemDetails};
use crate::state::AppState;

impl From<GrantPermissionsError> for ProblemDetails {
    fn from(error: GrantPermissionsError) -> Self {
        match error {
            GrantPermissionsError::Denied(denied) => denied.into(),
            GrantPermissionsError::UnknownPlugin(_) => Self::unknown_plugin(),
            GrantPermissionsError::NotEnabled(_) => Self::new(
                StatusCode::CONFLICT,
                "plugin-disabled",
                "The plugin is switched off",
                "switching the plugin on grants what it asks for; until then there is nothing to grant",
            ),
            GrantPermissionsError::NotAsked(problems) => Self::invalid(problems),
            GrantPermissionsError::Store(error) => Self::internal(&error),
        }
    }
}

/// What is granted.
#[derive(ToSchema)]
#[schema(as = GrantPermissions)]
pub(crate) struct Wish {
    /// Entries of the plugin's `pendingPermissions`, each as it stands there.
    #[schema(value_type = Vec<PermissionShape>)]
    permissions: Vec<Permission>,
}

impl FromBody for Wish {
    fn read(object: &mut ObjectReader<'_>) -> Option<Self> {
        Some(Self { permissions: object.required("permissions", permissions)? })
    }
}

fn permissions(value: Value) -> Result<Vec<Permission>, Problem> {
    serde_json::from_value(value).map_err(|error| {
        Problem::error("", format!("must be a list of permissions: {error}"))
            .hint(r#"such as `[{"kind":"network","name":"api.example.com:443"}]`"#)
    })
}

/// Grant a plugin what its newer version asks for.
///
/// A newer version runs on what was granted to the one before, until what it asks for beyond that is granted here, one
/// by one as it stands in `pendingPermissions`. Its worker is replaced by one that has it. What is granted already is no
/// error.
#[utoipa::path(
    post,
    path = "/v1/orgs/{org}/plugins/{plugin}/permissions",
    operation_id = "grantPluginPermissions",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    request_body(content = Wish, example = json!({
        "permissions": [{ "kind": "network", "name": "api.example.com:443" }]
    })),
    responses(
        (status = OK, body = DetailBody, description = "Granted; this is what became of the plugin."),
        (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin is switched off."),
        Inaccessible,
        BadBody,
    )
)]
pub(crate) async fn grant(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Json<DetailBody>, ProblemDetails> {
    Ok(Json(state.host.grant_permissions(&caller, organization, &plugin, wish.permissions).await?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::read;

    #[test]
    fn only_permissions_are_read() {
        let good = br#"{"permissions":[{"kind":"network","name":"a.example:443"}]}"#;
        assert_eq!(read::<Wish>(&good[..].into()).ok().unwrap().permissions.len(), 1);
        for bad in [
            r#"{}"#,
            r#"{"permissions":{}}"#,
            r#"{"permissions":[{"kind":"all","name":"x"}]}"#,
            r#"{"permissions":["network"]}"#,
        ] {
            assert_eq!(read::<Wish>(&bad.as_bytes().to_vec().into()).err().unwrap().status(), 422, "{bad}");
        }
    }
}
