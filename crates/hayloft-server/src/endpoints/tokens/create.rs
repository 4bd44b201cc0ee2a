//! `POST /v1/orgs/{org}/tokens`

use axum::Json;
use axum::extract::State;
use hayloft_host::{CreateToken, CreateTokenError};
use hayloft_model::Role;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{RoleName, role};
use crate::auth::InOrganization;
use crate::body::{FromBody, JsonBody, ObjectReader, object};
use crate::openapi::refusals::{BadBody, Inaccessible};
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<CreateTokenError> for ProblemDetails {
    fn from(error: CreateTokenError) -> Self {
        match error {
            CreateTokenError::Denied(denied) => denied.into(),
            CreateTokenError::Invalid(problems) => Self::invalid(problems),
            CreateTokenError::Store(error) => Self::internal(&error),
        }
    }
}

/// What the token is to be.
#[derive(ToSchema)]
#[schema(as = NewToken)]
pub(crate) struct Wish {
    /// What it may do.
    #[schema(value_type = RoleName)]
    role: Role,
    /// A note on who uses it, at most 200 characters.
    #[schema(nullable = false)]
    name: Option<String>,
}

impl FromBody for Wish {
    fn read(object: &mut ObjectReader<'_>) -> Option<Self> {
        let (role, name) = (object.required("role", role), object.optional("name", object::text));
        Some(Self { role: role?, name })
    }
}

/// A token, with the only sight of the token itself.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedToken)]
pub(crate) struct Created {
    /// Its public name, for revoking it.
    id: String,
    /// What it may do.
    role: RoleName,
    /// The bearer token. It is shown this once and stored only as a hash.
    token: String,
}

/// Make a token of an organization.
#[utoipa::path(
    post,
    path = "/v1/orgs/{org}/tokens",
    operation_id = "createToken",
    tag = "organizations",
    security(("bearer" = [])),
    params(("org" = String, Path, description = "The organization's id")),
    request_body = Wish,
    responses((status = CREATED, body = Created, description = "The token is made; this is the only time that it is shown."), Inaccessible, BadBody)
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<(StatusCode, Json<Created>), ProblemDetails> {
    let wish = CreateToken { role: wish.role, name: wish.name };
    let created = state.host.create_token(&caller, organization, wish).await?;
    let body = Created {
        id: created.id.to_string(),
        role: created.role.into(),
        token: created.token.expose().clone(),
    };
    Ok((StatusCode::CREATED, Json(body)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::read;

    #[test]
    fn the_body_has_a_role() {
        let read = |text: &'static str| read::<Wish>(&text.as_bytes().into());
        let wish = read(r#"{"role":"agent","name":"desk"}"#).ok().unwrap();
        assert_eq!((wish.role, wish.name.as_deref()), (Role::Agent, Some("desk")));
        for bad in [r#"{}"#, r#"{"role":"root"}"#, r#"{"role":1}"#, r#"{"role":"agent","name":2}"#] {
            assert_eq!(read(bad).err().unwrap().status(), 422, "{bad}");
        }
    }
}
