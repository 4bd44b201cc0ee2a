//! `PUT /v1/pools/{plugin}`

use std::num::NonZeroUsize;

use axum::Json;
use axum::extract::{Path, State};
use hayloft_host::LimitPoolError;
use hayloft_model::{PluginId, Problem};
use serde_json::Value;
use utoipa::ToSchema;

use super::body::PoolBody;
use crate::auth::Authenticated;
use crate::body::{FromBody, JsonBody, ObjectReader};
use crate::openapi::refusals::{BadBody, Inaccessible};
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// More workers of one plugin than any machine has room for are a slip of the finger.
const MOST: u64 = 100_000;

impl From<LimitPoolError> for ProblemDetails {
    fn from(error: LimitPoolError) -> Self {
        match error {
            LimitPoolError::Denied(denied) => denied.into(),
            LimitPoolError::UnknownPlugin(_) => Self::unknown_plugin(),
            LimitPoolError::Store(error) => Self::internal(&error),
        }
    }
}

/// How many workers the plugin may have.
#[derive(Debug, ToSchema)]
#[schema(as = LimitPool)]
pub(crate) struct Wish {
    /// Over all organizations; `null` leaves it to the configuration.
    #[schema(required = true, value_type = Option<u32>, minimum = 1, maximum = 100_000)]
    workers: Option<NonZeroUsize>,
}

impl FromBody for Wish {
    fn read(object: &mut ObjectReader<'_>) -> Option<Self> {
        let workers = object.required("workers", |value| {
            let number = value.as_u64().filter(|number| *number <= MOST);
            match number.and_then(|number| usize::try_from(number).ok()).and_then(NonZeroUsize::new) {
                Some(workers) => Ok(Some(workers)),
                None if value == Value::Null => Ok(None),
                None => {
                    Err(Problem::error("", format!("must be a whole number from 1 to {MOST}, or `null`")))
                }
            }
        })?;
        Some(Self { workers })
    }
}

/// Choose how many workers a plugin may have.
///
/// Counted over all organizations; each has one, whatever it runs in between. It wins over the configuration and holds
/// until it is taken back. Workers that are too many are stopped when others wait for a place, the least recently used
/// first and none in the middle of a call. Only for the administrator.
#[utoipa::path(
    put,
    path = "/v1/pools/{plugin}",
    operation_id = "limitPool",
    tag = "operations",
    security(("bearer" = [])),
    params(("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`")),
    request_body = Wish,
    responses((status = OK, body = PoolBody, description = "The pool from now on."), Inaccessible, BadBody)
)]
pub(crate) async fn limit(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(plugin): Path<String>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Json<PoolBody>, ProblemDetails> {
    let plugin: PluginId = plugin.parse().map_err(|_| ProblemDetails::unknown_plugin())?;
    Ok(Json(state.host.limit_pool(&caller, &plugin, wish.workers).await?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::read;

    #[test]
    fn a_pool_has_a_size_or_the_configurations() {
        let read = |text: &'static str| read::<Wish>(&text.as_bytes().into()).map(|wish| wish.workers);
        assert_eq!(read(r#"{"workers":3}"#).unwrap(), NonZeroUsize::new(3));
        assert_eq!(read(r#"{"workers":null}"#).unwrap(), None);
        for bad in
            ["{}", r#"{"workers":0}"#, r#"{"workers":"3"}"#, r#"{"workers":1.5}"#, r#"{"workers":100001}"#]
        {
            assert_eq!(read(bad).unwrap_err().status(), 422, "{bad}");
        }
    }
}
