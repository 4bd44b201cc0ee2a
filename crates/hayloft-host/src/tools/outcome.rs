//! What the journal and the metrics say of a call that has ended.

use hayloft_mcp::ToolFailure;
use hayloft_mcp::service::BreakReason;
use hayloft_store::calls::CallOutcome;
use serde_json::value::RawValue;

use super::call::CallToolError;

/// How a call ended, as the journal and the metrics tell it.
pub(crate) fn told(outcome: &Result<Box<RawValue>, CallToolError>) -> (CallOutcome, Option<&'static str>) {
    match outcome {
        Ok(_) => (CallOutcome::Done, None),
        Err(CallToolError::Denied(_)) => (CallOutcome::BadInput, Some("denied")),
        Err(CallToolError::Unavailable { reason: reason @ BreakReason::TooMany, .. }) => {
            (CallOutcome::BadInput, Some(reason.as_str()))
        }
        Err(CallToolError::Unavailable { reason, .. }) => (CallOutcome::PluginBroke, Some(reason.as_str())),
        Err(CallToolError::Failed(failure)) => match failure {
            ToolFailure::UnknownTool { .. } | ToolFailure::UnknownItem { .. } => {
                (CallOutcome::BadInput, Some("unknown_tool"))
            }
            ToolFailure::Forbidden | ToolFailure::NotCallable { .. } => {
                (CallOutcome::BadInput, Some("denied"))
            }
            ToolFailure::BadArguments { .. } => (CallOutcome::BadInput, Some("bad_arguments")),
            ToolFailure::Refused(_) => (CallOutcome::Refused, None),
            ToolFailure::Broke { reason, .. } => (CallOutcome::PluginBroke, Some(reason.as_str())),
            ToolFailure::Cancelled => (CallOutcome::BadInput, Some("cancelled")),
            ToolFailure::Internal(_) => (CallOutcome::HostBroke, None),
        },
    }
}
