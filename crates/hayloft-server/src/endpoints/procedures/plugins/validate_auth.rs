//! `plugins.validateAuth`: have a plugin judge the saved credentials, or others that are saved nowhere.

use hayloft_host::{AuthTrial, ValidateAuthError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Asked, GivenAuth, not_enabled, plugin_id, values};
use crate::problem::ProblemDetails;
use crate::trpc::{Code, TrpcError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plugin_id: String,
    configuration: Option<Map<String, Value>>,
    auth: Option<GivenAuth>,
}

fn refusal(error: ValidateAuthError) -> TrpcError {
    match error {
        ValidateAuthError::Denied(denied) => ProblemDetails::from(denied).into(),
        ValidateAuthError::UnknownPlugin(_) => ProblemDetails::unknown_plugin().into(),
        ValidateAuthError::NotEnabled(plugin) => not_enabled(&plugin),
        ValidateAuthError::Unavailable(ref unavailable) => {
            let pause = unavailable.retry_after();
            TrpcError::new(Code::ServiceUnavailable, error.to_string()).retry_after(pause)
        }
        ValidateAuthError::Broken(ref broken) => {
            let code = if broken.is_timeout() { Code::GatewayTimeout } else { Code::BadGateway };
            TrpcError::new(code, error.to_string())
        }
    }
}

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let Input { plugin_id: id, configuration, auth } = asked.input()?;
    let trial = AuthTrial { config: configuration.map(values), credentials: auth.map(Into::into) };
    let verdict = asked.host.validate_auth(asked.caller, asked.organization, &plugin_id(&id)?, trial).await;
    let verdict = verdict.map_err(refusal)?;
    let mut answer = json!({ "valid": verdict.valid });
    if let Some(error) = verdict.error.filter(|_| !verdict.valid) {
        answer["error"] = error.into();
    }
    Ok(answer)
}
