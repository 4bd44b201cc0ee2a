//! `POST`, `GET` and `DELETE /v1/mcp`

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use hayloft_mcp::Unread;

use crate::auth::ActingFor;
use crate::body::{CollectError, collect};
use crate::mcp::McpCaller;
use crate::openapi::refusals::{Inaccessible, Unauthenticated};
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// The longest message of a client, in bytes. The same as the worker channel takes.
pub(crate) const LONGEST_MESSAGE: usize = 4 << 20;

/// Say something to the MCP endpoint.
///
/// Streamable HTTP of the Model Context Protocol, revisions 2025-06-18 and 2025-11-25. The organization is the
/// token's; the administrator names one in `x-organization-id`.
#[utoipa::path(
    post,
    path = "/v1/mcp",
    operation_id = "postMcp",
    tag = "mcp",
    security(("bearer" = [])),
    request_body(content = Object, content_type = "application/json", description = "One JSON-RPC message"),
    responses(
        (status = OK, body = Object, content_type = "application/json",
            description = "The answer, as JSON or as a stream of events."),
        (status = ACCEPTED, description = "A notification or an answer was taken."),
        Inaccessible,
    )
)]
pub(crate) async fn post(
    state: State<AppState>,
    who: ActingFor,
    request: Request,
) -> Result<Response, ProblemDetails> {
    answer(state, who, request).await
}

/// Listen to the MCP endpoint.
///
/// A stream of the session's notifications, such as `notifications/tools/list_changed`.
#[utoipa::path(
    get,
    path = "/v1/mcp",
    operation_id = "listenMcp",
    tag = "mcp",
    security(("bearer" = [])),
    responses((status = OK, body = String, content_type = "text/event-stream", description = "A stream of events."), Unauthenticated)
)]
pub(crate) async fn listen(
    state: State<AppState>,
    who: ActingFor,
    request: Request,
) -> Result<Response, ProblemDetails> {
    answer(state, who, request).await
}

/// End a session of the MCP endpoint.
#[utoipa::path(
    delete,
    path = "/v1/mcp",
    operation_id = "deleteMcp",
    tag = "mcp",
    security(("bearer" = [])),
    responses((status = NO_CONTENT, description = "The session is ended."), Unauthenticated)
)]
pub(crate) async fn leave(
    state: State<AppState>,
    who: ActingFor,
    request: Request,
) -> Result<Response, ProblemDetails> {
    answer(state, who, request).await
}

async fn answer(
    State(state): State<AppState>,
    ActingFor { caller, organization }: ActingFor,
    request: Request,
) -> Result<Response, ProblemDetails> {
    let (parts, body) = request.into_parts();
    let answer = match collect(body, state.mcp.max_message_bytes()).await {
        Ok(body) => state.mcp.handle(&parts, body, McpCaller { caller, organization }).await,
        Err(error) => state.mcp.refuse(match error {
            CollectError::TooLarge { .. } => Unread::TooLarge,
            CollectError::TooSlow => Unread::TooSlow,
            CollectError::Incomplete => Unread::Incomplete,
        }),
    };
    Ok(answer.map(Body::new))
}
