//! `PUT /v1/orgs/{org}/tokens/{token}`

use axum::extract::State;
use hayloft_host::ChangeRoleError;
use hayloft_model::Role;
use http::StatusCode;
use utoipa::ToSchema;

use super::revoke::{TokenInPath, unknown_token};
use super::{RoleName, role};
use crate::auth::InOrganization;
use crate::body::{FromBody, JsonBody, ObjectReader};
use crate::openapi::refusals::{BadBody, Inaccessible};
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<ChangeRoleError> for ProblemDetails {
    fn from(error: ChangeRoleError) -> Self {
        match error {
            ChangeRoleError::Denied(denied) => denied.into(),
            ChangeRoleError::UnknownToken(_) => unknown_token(),
            ChangeRoleError::Store(error) => Self::internal(&error),
        }
    }
}

/// What becomes of a token.
#[derive(ToSchema)]
#[schema(as = TokenChange)]
pub(crate) struct Wish {
    /// What it may do from now on.
    #[schema(value_type = RoleName)]
    role: Role,
}

impl FromBody for Wish {
    fn read(object: &mut ObjectReader<'_>) -> Option<Self> {
        Some(Self { role: object.required("role", role)? })
    }
}

/// Give a token another role.
///
/// It counts from the moment of the answer, in sessions that are open as well.
#[utoipa::path(
    put,
    path = "/v1/orgs/{org}/tokens/{token}",
    operation_id = "changeTokenRole",
    tag = "organizations",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("token" = String, Path, description = "The token's public name, `tok_…`"),
    ),
    request_body = Wish,
    responses((status = NO_CONTENT, description = "The token has this role."), Inaccessible, BadBody)
)]
pub(crate) async fn change_role(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
    TokenInPath(token): TokenInPath,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<StatusCode, ProblemDetails> {
    state.host.change_role(&caller, organization, token, wish.role).await?;
    Ok(StatusCode::NO_CONTENT)
}
