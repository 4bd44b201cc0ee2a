//! `PUT /v1/orgs/{org}/plugins/{plugin}/priority`

use axum::Json;
use axum::extract::State;
use hayloft_host::ChoosePriorityError;
use hayloft_model::{Priority, PriorityOutOfRange, Problem};
use utoipa::ToSchema;

use super::body::DetailBody;
use crate::auth::OnPlugin;
use crate::body::{FromBody, JsonBody, ObjectReader};
use crate::openapi::refusals::{BadBody, Inaccessible};
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<ChoosePriorityError> for ProblemDetails {
    fn from(error: ChoosePriorityError) -> Self {
        match error {
            ChoosePriorityError::Denied(denied) => denied.into(),
            ChoosePriorityError::UnknownPlugin(_) => Self::unknown_plugin(),
            ChoosePriorityError::Store(error) => Self::internal(&error),
        }
    }
}

/// How urgent the plugin is.
#[derive(Debug, ToSchema)]
#[schema(as = ChoosePriority)]
pub(crate) struct Wish {
    /// More is earlier; 0 is usual.
    #[schema(value_type = i32, minimum = -100, maximum = 100)]
    priority: Priority,
}

impl FromBody for Wish {
    fn read(object: &mut ObjectReader<'_>) -> Option<Self> {
        let priority = object.required("priority", |value| {
            let number = value.as_i64().ok_or(PriorityOutOfRange);
            number.and_then(Priority::try_from).map_err(|error| Problem::error("", error.to_string()))
        })?;
        Some(Self { priority })
    }
}

/// Choose which of the organization's plugins starts first.
///
/// It counts when several of the organization's plugins wait to be started: those of the highest priority come first, and
/// among equals whoever came first. It takes nothing from other organizations.
#[utoipa::path(
    put,
    path = "/v1/orgs/{org}/plugins/{plugin}/priority",
    operation_id = "choosePluginPriority",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    request_body = Wish,
    responses((status = OK, body = DetailBody, description = "The plugin."), Inaccessible, BadBody)
)]
pub(crate) async fn choose(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Json<DetailBody>, ProblemDetails> {
    Ok(Json(state.host.choose_priority(&caller, organization, &plugin, wish.priority).await?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::read;

    #[test]
    fn a_priority_is_a_number_within_its_bounds() {
        let read = |text: &'static str| read::<Wish>(&text.as_bytes().into()).map(|wish| wish.priority.get());
        assert_eq!(read(r#"{"priority":-100}"#).unwrap(), -100);
        for bad in ["{}", r#"{"priority":101}"#, r#"{"priority":null}"#, r#"{"priority":1.5}"#] {
            assert_eq!(read(bad).unwrap_err().status(), 422, "{bad}");
        }
    }
}
