//! `plugins.restart`: start a plugin's worker anew.

use hayloft_host::RestartPluginError;
use serde_json::{Value, json};

use super::{Asked, OfPlugin, not_enabled};
use crate::problem::ProblemDetails;
use crate::trpc::{Code, TrpcError};

fn refusal(error: RestartPluginError) -> TrpcError {
    match error {
        RestartPluginError::Denied(denied) => ProblemDetails::from(denied).into(),
        RestartPluginError::UnknownPlugin(_) => ProblemDetails::unknown_plugin().into(),
        RestartPluginError::NotEnabled(plugin) => not_enabled(&plugin),
        RestartPluginError::Unavailable(ref unavailable) => {
            let pause = unavailable.retry_after();
            TrpcError::new(Code::ServiceUnavailable, error.to_string()).retry_after(pause)
        }
        RestartPluginError::Store(error) => ProblemDetails::internal(&error).into(),
    }
}

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    asked.host.restart_plugin(asked.caller, asked.organization, &id).await.map_err(refusal)?;
    Ok(json!({ "success": true }))
}
