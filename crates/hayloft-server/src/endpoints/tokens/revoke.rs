//! `DELETE /v1/orgs/{org}/tokens/{token}`

use axum::extract::{FromRequestParts, State};
use hayloft_host::RevokeTokenError;
use hayloft_model::TokenId;
use http::StatusCode;
use http::request::Parts;

use crate::auth::InOrganization;
use crate::auth::organization::path_parameter;
use crate::mcp::principal_of;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<RevokeTokenError> for ProblemDetails {
    fn from(error: RevokeTokenError) -> Self {
        match error {
            RevokeTokenError::Denied(denied) => denied.into(),
            RevokeTokenError::UnknownToken(_) => unknown_token(),
            RevokeTokenError::Store(error) => Self::internal(&error),
        }
    }
}

pub(super) fn unknown_token() -> ProblemDetails {
    ProblemDetails::new(
        StatusCode::NOT_FOUND,
        "unknown-token",
        "The token does not exist",
        "the organization has no token of this id",
    )
}

/// The token in the path. A text that is no id names no token.
pub(crate) struct TokenInPath(pub(super) TokenId);

impl FromRequestParts<AppState> for TokenInPath {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ProblemDetails> {
        path_parameter(parts, state, "token").await?.parse().map(Self).map_err(|_| unknown_token())
    }
}

/// Revoke a token.
///
/// From the moment of the answer it is nobody's. Revoking it again changes nothing.
#[utoipa::path(
    delete,
    path = "/v1/orgs/{org}/tokens/{token}",
    operation_id = "revokeToken",
    tag = "organizations",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("token" = String, Path, description = "The token's public name, `tok_…`"),
    ),
    responses((status = NO_CONTENT, description = "The token is revoked."), Inaccessible)
)]
pub(crate) async fn revoke(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
    TokenInPath(token): TokenInPath,
) -> Result<StatusCode, ProblemDetails> {
    state.host.revoke_token(&caller, organization, token).await?;
    // What the token opened ends with it: streams that only listen would never be asked for it again.
    state.mcp.end_sessions_of(&principal_of(token));
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use hayloft_host::Denied;

    use super::*;

    #[test]
    fn each_failure_has_its_status() {
        let token: TokenId = format!("tok_{:032x}", 1).parse().unwrap();
        let table = [
            (RevokeTokenError::Denied(Denied::UnknownOrganization), 404),
            (RevokeTokenError::UnknownToken(token), 404),
        ];
        for (error, status) in table {
            assert_eq!(ProblemDetails::from(error).status(), status);
        }
    }
}
