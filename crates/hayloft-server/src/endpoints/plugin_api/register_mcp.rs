//! `POST /v1/plugin-api/mcp/register-local` and `POST /v1/plugin-api/mcp/register-remote`

use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use hayloft_host::{GateCaller, RegisterServerError, ServerPlace};
use hayloft_model::Problems;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::body::collect;
use crate::plugin_api::HostSlot;
use crate::problem::ProblemDetails;

/// The longest message, in bytes. Its tools are most of it.
const LONGEST: usize = 1 << 20;

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

/// The server that was taken over.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegisteredBody {
    /// Always true: whatever else happened is a problem.
    success: bool,
    /// What it is called from now on, in messages and for the next registration in its place.
    server_id: String,
}

/// Take over an MCP server that is a program of the plugin's folder. Whose it is, the gate says: no token is needed, and
/// none helps.
pub(crate) async fn local(
    State(slot): State<HostSlot>,
    Extension(caller): Extension<GateCaller>,
    body: Body,
) -> Result<Json<RegisteredBody>, ProblemDetails> {
    register(&slot, &caller, ServerPlace::Local, body).await
}

/// Take over an MCP server that is elsewhere.
pub(crate) async fn remote(
    State(slot): State<HostSlot>,
    Extension(caller): Extension<GateCaller>,
    body: Body,
) -> Result<Json<RegisteredBody>, ProblemDetails> {
    register(&slot, &caller, ServerPlace::Remote, body).await
}

async fn register(
    slot: &HostSlot,
    caller: &GateCaller,
    place: ServerPlace,
    body: Body,
) -> Result<Json<RegisteredBody>, ProblemDetails> {
    let bytes = collect(body, LONGEST).await?;
    let message: Box<RawValue> = serde_json::from_slice(&bytes).map_err(|error| {
        ProblemDetails::bad_request(format!("the body is not JSON: {error}"), Problems::new())
    })?;
    let host = slot.host()?;
    let key = caller.key().ok_or(RegisterServerError::NotBound)?;
    let server_id = host.register_server(key, caller.worker(), place, &message).await?.to_string();
    Ok(Json(RegisteredBody { success: true, server_id }))
}
