//! `POST /v1/orgs/{org}/tools/{tool}/call`

use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hayloft_host::{BreakReason, CallTool, CallToolError, ToolFailure};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::auth::InOrganization;
use crate::auth::organization::path_parameter;
use crate::body::{FromBody, JsonBody, ObjectReader, object};
use crate::openapi::refusals::{BadBody, Inaccessible};
use crate::problem::{ProblemBody, ProblemDetails};
use crate::state::AppState;

impl From<CallToolError> for ProblemDetails {
    fn from(error: CallToolError) -> Self {
        match error {
            CallToolError::Denied(denied) => denied.into(),
            CallToolError::Failed(failure) => failure.into(),
            CallToolError::Unavailable { reason, message, retry_after } => {
                broke(reason, message, retry_after)
            }
        }
    }
}

impl From<ToolFailure> for ProblemDetails {
    fn from(failure: ToolFailure) -> Self {
        match failure {
            ToolFailure::UnknownTool { name } => Self::new(
                StatusCode::NOT_FOUND,
                "unknown-tool",
                "The tool does not exist",
                format!("the organization has no tool `{}`", name.chars().take(200).collect::<String>()),
            ),
            ToolFailure::UnknownItem { .. } => {
                Self::new(StatusCode::NOT_FOUND, "unknown-item", "It does not exist", failure.to_string())
            }
            // Rights are checked, and told, before this.
            ToolFailure::Forbidden => Self::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "The token does not allow this",
                failure.to_string(),
            ),
            ToolFailure::NotCallable { message } => Self::new(
                StatusCode::FORBIDDEN,
                "tool-not-callable",
                "The plugin does not let its tools be called",
                message,
            ),
            ToolFailure::BadArguments { problems } => Self::invalid(problems.into_iter().collect()),
            ToolFailure::Refused(error) => Self::new(
                StatusCode::BAD_GATEWAY,
                "tool-error",
                "The tool's server answered with an error",
                error.message(),
            )
            .with_upstream(error.code(), error.data().map(ToOwned::to_owned)),
            ToolFailure::Broke { reason, message, retry_after } => broke(reason, message, retry_after),
            ToolFailure::Cancelled => broke_with(
                StatusCode::SERVICE_UNAVAILABLE,
                "cancelled",
                String::from("the call was cancelled before the tool answered"),
                None,
            ),
            ToolFailure::Internal(message) => {
                tracing::error!(message, "failed to call a tool");
                Self::internal_silent()
            }
        }
    }
}

/// The plugin broke: 504 when it was too slow, 503 when another try may find it well, else 502.
fn broke(reason: BreakReason, message: String, retry_after: Option<Duration>) -> ProblemDetails {
    if reason == BreakReason::Overloaded {
        // Nothing is broken; there is only too much of it.
        let title = "Too many calls wait already";
        return ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-calls", title, message)
            .with_reason(reason.as_str())
            .with_retry_after(retry_after);
    }
    if reason == BreakReason::TooMany {
        return too_many(message, retry_after);
    }
    let status = match reason {
        BreakReason::Timeout => StatusCode::GATEWAY_TIMEOUT,
        BreakReason::TooMany => StatusCode::TOO_MANY_REQUESTS,
        BreakReason::Unavailable | BreakReason::Quarantined | BreakReason::Overloaded => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        BreakReason::Crashed | BreakReason::TooLarge | BreakReason::Failed => StatusCode::BAD_GATEWAY,
    };
    broke_with(status, reason.as_str(), message, retry_after)
}

/// The plugin is called faster than it may be.
pub(crate) fn too_many(message: String, retry_after: Option<Duration>) -> ProblemDetails {
    ProblemDetails::new(StatusCode::TOO_MANY_REQUESTS, "too-many-calls", "Too many calls", message)
        .with_reason(BreakReason::TooMany.as_str())
        .with_retry_after(retry_after)
}

fn broke_with(
    status: StatusCode,
    reason: &'static str,
    message: String,
    retry_after: Option<Duration>,
) -> ProblemDetails {
    ProblemDetails::new(status, "plugin-broke", "The plugin broke", message)
        .with_reason(reason)
        .with_retry_after(retry_after)
}

/// What to call the tool with.
#[derive(Debug, ToSchema)]
#[schema(as = ToolCall)]
pub(crate) struct Wish {
    /// The tool's arguments, as its `inputSchema` describes them. `{}` if absent.
    #[schema(value_type = Object, required = false)]
    arguments: Option<Box<RawValue>>,
}

impl FromBody for Wish {
    const MAY_BE_ABSENT: bool = true;

    fn read(object: &mut ObjectReader<'_>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Raw {
            arguments: Option<Box<RawValue>>,
        }
        if object.optional("arguments", object::object).is_none() {
            return Some(Self { arguments: None });
        }
        // What goes to the tool is the text that was sent, so that no number is rounded on the way.
        let raw: Raw = serde_json::from_slice(object.text()).ok()?;
        Some(Self { arguments: raw.arguments })
    }
}

/// The public name of the tool in the path.
pub(crate) struct ToolInPath(String);

impl FromRequestParts<AppState> for ToolInPath {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ProblemDetails> {
        path_parameter(parts, state, "tool").await.map(Self)
    }
}

/// The result as the tool's server wrote it.
#[derive(ToSchema)]
#[schema(as = ToolResult, rename_all = "camelCase")]
#[expect(dead_code, reason = "it documents what passes through raw")]
pub(crate) struct ResultShape {
    /// What the tool says, as MCP content blocks.
    #[schema(value_type = Vec<Object>)]
    content: Vec<serde_json::Value>,
    /// The same as data, for tools with an `outputSchema`.
    #[schema(value_type = Option<Object>)]
    structured_content: Option<serde_json::Value>,
    /// Whether the tool says no. That is an answer of the tool, hence 200.
    is_error: Option<bool>,
}

/// Call a tool.
///
/// The answer is the MCP result exactly as the tool's server wrote it.
#[utoipa::path(
    post,
    path = "/v1/orgs/{org}/tools/{tool}/call",
    operation_id = "callTool",
    tag = "tools",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("tool" = String, Path, description = "The tool's public name, or its own where only one tool has it"),
    ),
    request_body = Wish,
    responses(
        (status = OK, body = ResultShape, description = "The result; `isError` in it means that the tool says no."),
        (status = BAD_GATEWAY, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin broke (`reason`), or its server answered with an error (`code`)."),
        (status = TOO_MANY_REQUESTS, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin is called faster than this host allows; `Retry-After` says when to try again."),
        (status = SERVICE_UNAVAILABLE, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin cannot serve at the moment; `Retry-After` says when to try again, if that helps."),
        (status = GATEWAY_TIMEOUT, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin did not answer in time."),
        Inaccessible,
        BadBody,
    )
)]
pub(crate) async fn call(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
    ToolInPath(name): ToolInPath,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Response, ProblemDetails> {
    let name = state.host.find_tool(&caller, organization, None, &name)?;
    let cancelled = CancellationToken::new();
    // A client that hangs up drops this future, and with it the guard, which cancels the call.
    let _hung_up = cancelled.clone().drop_guard();
    let call = CallTool { name, arguments: wish.arguments, meta: None, progress: None, cancelled };
    let result = state.host.call_tool(&caller, organization, call).await?;
    let text = Bytes::from(String::from(Box::<str>::from(result)));
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

#[cfg(test)]
mod tests {
    use hayloft_host::Denied;
    use hayloft_model::Problem;

    use super::*;
    use crate::body::read;

    #[test]
    fn arguments_pass_as_they_were_sent() {
        let read = |text: &'static str| read::<Wish>(&text.as_bytes().into()).map(|wish| wish.arguments);
        assert!(read("{}").unwrap().is_none());
        let arguments = read(r#"{"arguments":{"n":12345678901234567890123 ,"x":1.0}}"#).unwrap().unwrap();
        assert_eq!(arguments.get(), r#"{"n":12345678901234567890123 ,"x":1.0}"#);
        for bad in [r#"{"arguments":[]}"#, r#"{"arguments":null}"#, r#"{"args":{}}"#] {
            assert_eq!(read(bad).unwrap_err().status(), 422, "{bad}");
        }
        assert_eq!(read(r#"{"arguments":{"a":1,"a":2}}"#).unwrap_err().status(), 400);
    }

    #[test]
    fn each_failure_has_its_status() {
        let broke =
            |reason| ToolFailure::Broke { reason, message: String::from("worker ended"), retry_after: None };
        let table = [
            (CallToolError::Denied(Denied::UnknownOrganization), 404),
            (ToolFailure::UnknownTool { name: "x".into() }.into(), 404),
            (ToolFailure::Forbidden.into(), 403),
            (ToolFailure::NotCallable { message: String::from("no") }.into(), 403),
            (ToolFailure::BadArguments { problems: vec![Problem::error("a", "is missing")] }.into(), 422),
            (broke(BreakReason::Crashed).into(), 502),
            (broke(BreakReason::TooLarge).into(), 502),
            (broke(BreakReason::Failed).into(), 502),
            (broke(BreakReason::Timeout).into(), 504),
            (broke(BreakReason::Unavailable).into(), 503),
            (broke(BreakReason::Overloaded).into(), 503),
            (broke(BreakReason::TooMany).into(), 429),
            (broke(BreakReason::Quarantined).into(), 503),
            (ToolFailure::Cancelled.into(), 503),
            (ToolFailure::Internal("canary".into()).into(), 500),
        ];
        for (error, status) in table {
            let text = error.to_string();
            assert_eq!(ProblemDetails::from(error).status(), status, "{text}");
        }
    }
}
