//! `POST /v1/orgs`

use axum::Json;
use axum::extract::State;
use hayloft_host::CreateOrganizationError;
use http::StatusCode;
use utoipa::ToSchema;

use super::OrganizationBody;
use crate::auth::Authenticated;
use crate::body::{FromBody, JsonBody, ObjectReader, object};
use crate::openapi::refusals::{BadBody, Inaccessible};
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<CreateOrganizationError> for ProblemDetails {
    fn from(error: CreateOrganizationError) -> Self {
        match error {
            CreateOrganizationError::Denied(denied) => denied.into(),
            CreateOrganizationError::Invalid(problems) => Self::invalid(problems),
            CreateOrganizationError::Store(error) => Self::internal(&error),
        }
    }
}

/// What the organization is to be.
#[derive(Debug, PartialEq, ToSchema)]
pub(crate) struct NewOrganization {
    /// The name that people read, at most 200 characters.
    name: String,
}

impl FromBody for NewOrganization {
    fn read(object: &mut ObjectReader<'_>) -> Option<Self> {
        Some(Self { name: object.required("name", object::text)? })
    }
}

/// Make an organization.
///
/// Only the administrator may.
#[utoipa::path(
    post,
    path = "/v1/orgs",
    operation_id = "createOrganization",
    tag = "organizations",
    security(("bearer" = [])),
    request_body = NewOrganization,
    responses((status = CREATED, body = OrganizationBody, description = "The organization is made."), Inaccessible, BadBody)
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    JsonBody(wish): JsonBody<NewOrganization>,
) -> Result<(StatusCode, Json<OrganizationBody>), ProblemDetails> {
    let organization = state.host.create_organization(&caller, &wish.name).await?;
    Ok((StatusCode::CREATED, Json(organization.into())))
}

#[cfg(test)]
mod tests {
    use hayloft_host::Denied;
    use hayloft_model::Problems;

    use super::*;
    use crate::body::read;

    #[test]
    fn the_body_has_a_name_and_nothing_else() {
        assert_eq!(
            read(&br#"{"name":"Acme"}"#[..].into()).ok(),
            Some(NewOrganization { name: "Acme".into() })
        );
        for bad in [r#"{}"#, r#"{"name":1}"#, r#"{"name":"a","id":"b"}"#] {
            assert!(read::<NewOrganization>(&bad.as_bytes().to_vec().into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_failure_has_its_status() {
        let table = [
            (CreateOrganizationError::Denied(Denied::AdministratorOnly), 403),
            (CreateOrganizationError::Invalid(Problems::new()), 422),
        ];
        for (error, status) in table {
            assert_eq!(ProblemDetails::from(error).status(), status);
        }
    }
}
