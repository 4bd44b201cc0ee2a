//! `GET /v1/orgs`

use axum::Json;
use axum::extract::State;
use hayloft_host::ListOrganizationsError;
use serde::Serialize;
use utoipa::ToSchema;

use super::OrganizationBody;
use crate::auth::Authenticated;
use crate::openapi::refusals::Unauthenticated;
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<ListOrganizationsError> for ProblemDetails {
    fn from(error: ListOrganizationsError) -> Self {
        match error {
            ListOrganizationsError::Store(error) => Self::internal(&error),
        }
    }
}

/// Organizations.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrganizationList)]
pub(crate) struct ListBody {
    /// Oldest first.
    orgs: Vec<OrganizationBody>,
}

/// List the organizations that the token can see.
///
/// The administrator sees all, everybody else their own.
#[utoipa::path(
    get,
    path = "/v1/orgs",
    operation_id = "listOrganizations",
    tag = "organizations",
    security(("bearer" = [])),
    responses((status = OK, body = ListBody, description = "The organizations, oldest first."), Unauthenticated)
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
) -> Result<Json<ListBody>, ProblemDetails> {
    let organizations = state.host.list_organizations(&caller).await?;
    Ok(Json(ListBody { orgs: organizations.into_iter().map(OrganizationBody::from).collect() }))
}
