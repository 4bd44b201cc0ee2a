//! `plugins.refreshMCPTools`: ask a plugin's servers for their tools anew.

use hayloft_host::RefreshToolsError;
use serde_json::{Value, json};

use super::{Asked, OfPlugin, not_enabled, shape};
use crate::problem::ProblemDetails;
use crate::trpc::{Code, TrpcError};

fn refusal(error: RefreshToolsError) -> TrpcError {
    match error {
        RefreshToolsError::Denied(denied) => ProblemDetails::from(denied).into(),
        RefreshToolsError::UnknownPlugin(_) => ProblemDetails::unknown_plugin().into(),
        RefreshToolsError::NotEnabled(plugin) => not_enabled(&plugin),
        RefreshToolsError::Unavailable(ref unavailable) => {
            let pause = unavailable.retry_after();
            TrpcError::new(Code::ServiceUnavailable, error.to_string()).retry_after(pause)
        }
        RefreshToolsError::Store(error) => ProblemDetails::internal(&error).into(),
    }
}

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let tools = asked.host.refresh_tools(asked.caller, asked.organization, &id).await.map_err(refusal)?;
    Ok(json!({ "success": true, "tools": tools.iter().map(shape::tool).collect::<Vec<_>>() }))
}
