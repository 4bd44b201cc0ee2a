//! `mcp.registerLocal` and `mcp.registerRemote`: take over an MCP server that is a program of the plugin's folder, or one
//! that is elsewhere.

use hayloft_host::{Host, RegisterServerError, ServerPlace};
use http::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::operation::Asking;
use crate::problem::ProblemDetails;

impl From<RegisterServerError> for ProblemDetails {
    fn from(error: RegisterServerError) -> Self {
        match error {
            RegisterServerError::Invalid(problems) => Self::invalid(problems),
            RegisterServerError::NotBound => {
                Self::new(StatusCode::CONFLICT, "not-bound", "The worker serves nobody", error.to_string())
            }
            RegisterServerError::TooOften => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-servers",
                "Too many MCP servers",
                error.to_string(),
            ),
            RegisterServerError::Refused(refused) => Self::new(
                StatusCode::CONFLICT,
                "not-taken",
                "The MCP server was not taken",
                refused.to_string(),
            ),
            RegisterServerError::Store(error) => Self::internal(&error),
        }
    }
}

/// Takes the server over, and gives what it is called from now on: in messages, and for the next registration in its
/// place.
pub(crate) async fn register(
    host: &Host,
    asking: &Asking,
    place: ServerPlace,
    server: &RawValue,
) -> Result<Value, ProblemDetails> {
    let id = host.register_server(&asking.key, asking.caller.worker(), place, server).await?;
    Ok(json!({ "serverId": id }))
}
