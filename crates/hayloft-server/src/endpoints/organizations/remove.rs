//! `DELETE /v1/orgs/{org}`

use axum::extract::State;
use hayloft_host::RemoveOrganizationError;
use http::StatusCode;

use crate::auth::InOrganization;
use crate::mcp::{administrator_of, principal_of};
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<RemoveOrganizationError> for ProblemDetails {
    fn from(error: RemoveOrganizationError) -> Self {
        match error {
            RemoveOrganizationError::Denied(denied) => denied.into(),
            RemoveOrganizationError::Store(error) => Self::internal(&error),
        }
    }
}

/// Remove an organization.
///
/// Only the administrator may. Its tokens, sessions and routes end at once; then its plugins are switched off, each with its
/// `onDisable`, and what it gave is erased. Its audit trail stays, its id is never used again.
#[utoipa::path(
    delete,
    path = "/v1/orgs/{org}",
    operation_id = "removeOrganization",
    tag = "organizations",
    security(("bearer" = [])),
    params(("org" = String, Path, description = "The organization's id")),
    responses((status = NO_CONTENT, description = "The organization is removed."), Inaccessible)
)]
pub(crate) async fn remove(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
) -> Result<StatusCode, ProblemDetails> {
    let mcp = state.mcp.clone();
    let let_go = move |tokens: &[_]| {
        tokens.iter().for_each(|token| mcp.end_sessions_of(&principal_of(*token)));
        mcp.end_sessions_of(&administrator_of(organization));
    };
    state.host.remove_organization(&caller, organization, let_go).await?;
    Ok(StatusCode::NO_CONTENT)
}
