//! `plugins.validateAuth`: have a plugin judge the saved credentials, or others that are saved nowhere. Of one that is
//! nothing but servers elsewhere, those do.

use hayloft_host::{AuthTrial, ValidateAuthError};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Asked, GivenAuth, plugin_id, values};
use crate::endpoints::plugins::restart::{does_not_start, switched_off};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plugin_id: String,
    configuration: Option<Map<String, Value>>,
    auth: Option<GivenAuth>,
}

impl From<ValidateAuthError> for ProblemDetails {
    fn from(error: ValidateAuthError) -> Self {
        match error {
            ValidateAuthError::Denied(denied) => denied.into(),
            ValidateAuthError::UnknownPlugin(_) => Self::unknown_plugin(),
            ValidateAuthError::NotEnabled(_) => switched_off(),
            ValidateAuthError::Unavailable(ref unavailable) => {
                does_not_start(error.to_string(), unavailable.retry_after())
            }
            ValidateAuthError::Broken(ref broken) => {
                let (status, reason) = if broken.is_timeout() {
                    (StatusCode::GATEWAY_TIMEOUT, "timeout")
                } else {
                    (StatusCode::BAD_GATEWAY, "crashed")
                };
                let title = "The plugin did not judge the credentials";
                Self::new(status, "no-verdict", title, error.to_string()).with_reason(reason)
            }
            ValidateAuthError::NobodyJudged { .. } => {
                let title = "Nobody judged the credentials";
                Self::new(StatusCode::BAD_GATEWAY, "no-verdict", title, error.to_string())
                    .with_reason("unavailable")
            }
        }
    }
}

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let Input { plugin_id: id, configuration, auth } = asked.input()?;
    let trial = AuthTrial { config: configuration.map(values), credentials: auth.map(Into::into) };
    let verdict = asked.host.validate_auth(asked.caller, asked.organization, &plugin_id(&id)?, trial).await;
    let verdict = verdict.map_err(ProblemDetails::from)?;
    let mut answer = json!({ "valid": verdict.valid });
    if let Some(error) = verdict.error.filter(|_| !verdict.valid) {
        answer["error"] = error.into();
    }
    Ok(answer)
}
