//! `GET` and `PUT /v1/orgs/{org}/tools/cache`

use axum::Json;
use axum::extract::State;
use hayloft_host::{CachingChoice, ChooseCachingError, ResultCaching};
use hayloft_model::Problem;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::InOrganization;
use crate::body::{FromBody, JsonBody, ObjectReader};
use crate::openapi::refusals::{BadBody, Inaccessible};
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<ChooseCachingError> for ProblemDetails {
    fn from(error: ChooseCachingError) -> Self {
        match error {
            ChooseCachingError::Denied(denied) => denied.into(),
            ChooseCachingError::Store(error) => Self::internal(&error),
        }
    }
}

/// Whether results of tools that only read are kept for a while.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ToolCache)]
pub(crate) struct CacheBody {
    /// Whether they are.
    enabled: bool,
    /// What the organization chose; `null` when the operator's default counts.
    chosen: Option<bool>,
}

impl From<CachingChoice> for CacheBody {
    fn from(choice: CachingChoice) -> Self {
        let on = |caching| caching == ResultCaching::On;
        Self { enabled: on(choice.caching), chosen: choice.chosen.map(on) }
    }
}

/// What the organization chooses.
#[derive(Debug, ToSchema)]
#[schema(as = ChooseToolCache)]
pub(crate) struct Wish {
    /// Whether results are kept; `null` leaves it to the operator.
    #[schema(required = true)]
    enabled: Option<bool>,
}

impl FromBody for Wish {
    fn read(object: &mut ObjectReader<'_>) -> Option<Self> {
        let enabled = object.required("enabled", |value| match value {
            Value::Null => Ok(None),
            Value::Bool(enabled) => Ok(Some(enabled)),
            _ => Err(Problem::error("", "must be `true`, `false` or `null`")),
        })?;
        Some(Self { enabled })
    }
}

/// See whether results of tools are kept.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/tools/cache",
    operation_id = "getToolCache",
    tag = "tools",
    security(("bearer" = [])),
    params(("org" = String, Path, description = "The organization's id")),
    responses((status = OK, body = CacheBody, description = "What counts."), Inaccessible)
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
) -> Result<Json<CacheBody>, ProblemDetails> {
    Ok(Json(state.host.result_caching(&caller, organization)?.into()))
}

/// Choose whether results of tools are kept.
///
/// Only those of tools that say that they only read (`readOnlyHint`), or for how long their results hold. A result that
/// was kept says so in its `_meta`, as `hayloft/cache`. Whatever was kept is forgotten.
#[utoipa::path(
    put,
    path = "/v1/orgs/{org}/tools/cache",
    operation_id = "chooseToolCache",
    tag = "tools",
    security(("bearer" = [])),
    params(("org" = String, Path, description = "The organization's id")),
    request_body = Wish,
    responses((status = OK, body = CacheBody, description = "What counts from now on."), Inaccessible, BadBody)
)]
pub(crate) async fn choose(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Json<CacheBody>, ProblemDetails> {
    let on = |enabled| if enabled { ResultCaching::On } else { ResultCaching::Off };
    let choice = wish.enabled.map(on);
    Ok(Json(state.host.choose_result_caching(&caller, organization, choice).await?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::read;

    #[test]
    fn on_off_and_nothing_are_three_choices() {
        let read = |text: &'static str| read::<Wish>(&text.as_bytes().into()).map(|wish| wish.enabled);
        assert_eq!(read(r#"{"enabled":true}"#).unwrap(), Some(true));
        assert_eq!(read(r#"{"enabled":null}"#).unwrap(), None);
        for bad in ["{}", r#"{"enabled":"yes"}"#, r#"{"enabled":true,"x":1}"#] {
            assert_eq!(read(bad).unwrap_err().status(), 422, "{bad}");
        }
    }
}
