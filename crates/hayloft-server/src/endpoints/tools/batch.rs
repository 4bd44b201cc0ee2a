//! `POST /v1/orgs/{org}/tools/call`

use axum::Json;
use axum::extract::State;
use hayloft_host::{CallTool, MOST_CALLS};
use hayloft_model::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::call::ResultShape;
use crate::auth::InOrganization;
use crate::body::{FromBody, JsonBody, ObjectReader};
use crate::openapi::refusals::{BadBody, Inaccessible};
use crate::problem::{ProblemBody, ProblemDetails};
use crate::state::AppState;

/// Which tools to call.
#[derive(Debug, ToSchema)]
#[schema(as = ToolCalls)]
pub(crate) struct Wish {
    /// The calls, 100 at most.
    #[schema(value_type = Vec<NamedCallShape>, min_items = 1, max_items = 100)]
    calls: Vec<NamedCall>,
}

/// One of the calls.
#[derive(ToSchema)]
#[schema(as = NamedToolCall)]
#[expect(dead_code, reason = "it documents the shape that `NamedCall` reads")]
pub(crate) struct NamedCallShape {
    /// The tool's public name.
    #[schema(example = "shopify__get_order")]
    name: String,
    /// The tool's arguments, as its `inputSchema` describes them. `{}` if absent.
    #[schema(value_type = Object, required = false)]
    arguments: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct NamedCall {
    name: String,
    arguments: Option<Box<RawValue>>,
}

impl FromBody for Wish {
    fn read(object: &mut ObjectReader<'_>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Raw {
            calls: Vec<NamedCall>,
        }
        object.required("calls", checked)?;
        // What goes to the tools is the text that was sent, so that no number is rounded on the way.
        let raw: Raw = serde_json::from_slice(object.text()).ok()?;
        Some(Self { calls: raw.calls })
    }
}

/// Whether each element is a call. Everything that is wrong is said at once, with the index of its call.
fn checked(calls: Value) -> Result<(), Problem> {
    let Value::Array(calls) = calls else { return Err(Problem::error("", "must be an array of calls")) };
    if calls.is_empty() || calls.len() > MOST_CALLS {
        let message = format!("has {} calls, and must have 1 to {MOST_CALLS}", calls.len());
        return Err(Problem::error("", message));
    }
    let wrong: Vec<_> = calls
        .iter()
        .enumerate()
        .flat_map(|(index, call)| faults(call).into_iter().map(move |fault| format!("[{index}]{fault}")))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(Problem::error("", wrong.join("; "))) }
}

fn faults(call: &Value) -> Vec<String> {
    let Value::Object(members) = call else { return vec![String::from(" must be an object")] };
    let mut faults = Vec::new();
    match members.get("name") {
        Some(Value::String(_)) => {}
        Some(_) => faults.push(String::from(".name must be a string")),
        None => faults.push(String::from(".name is missing")),
    }
    if members.get("arguments").is_some_and(|arguments| !arguments.is_object()) {
        faults.push(String::from(".arguments must be an object"));
    }
    let others = members.keys().filter(|name| !matches!(name.as_str(), "name" | "arguments"));
    faults.extend(others.map(|name| format!(".{name} is not a member of a call")));
    faults
}

/// What came of the calls.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ToolOutcomes)]
pub(crate) struct Outcomes {
    /// One for each call, in their order.
    results: Vec<Outcome>,
}

/// What came of one call: a result, or the problem that the call alone would have been refused with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ToolOutcome)]
pub(crate) enum Outcome {
    /// The result as the tool's server wrote it; `isError` in it means that the tool says no.
    #[schema(value_type = ResultShape)]
    Result(Box<RawValue>),
    /// Why there is none.
    Error(ProblemBody),
}

/// Call several tools at once.
///
/// They run at the same time. What happens to one of them is nothing to the others: the answer is 200 with the outcome
/// of each.
#[utoipa::path(
    post,
    path = "/v1/orgs/{org}/tools/call",
    operation_id = "callTools",
    tag = "tools",
    security(("bearer" = [])),
    params(("org" = String, Path, description = "The organization's id")),
    request_body = Wish,
    responses((status = OK, body = Outcomes, description = "What came of each call."), Inaccessible, BadBody)
)]
pub(crate) async fn call(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
    JsonBody(wish): JsonBody<Wish>,
) -> Json<Outcomes> {
    let cancelled = CancellationToken::new();
    // A client that hangs up drops this future, and with it the guard, which cancels the calls.
    let _hung_up = cancelled.clone().drop_guard();
    let calls = wish.calls.into_iter().map(|call| CallTool {
        name: call.name,
        arguments: call.arguments,
        meta: None,
        progress: None,
        cancelled: cancelled.clone(),
    });
    let outcomes = state.host.call_tools(&caller, organization, calls.collect()).await;
    let results = outcomes.into_iter().map(|outcome| match outcome {
        Ok(result) => Outcome::Result(result),
        Err(error) => Outcome::Error(ProblemDetails::from(error).into_body()),
    });
    Json(Outcomes { results: results.collect() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::body::read;

    #[test]
    fn calls_are_read_as_they_were_sent_and_all_faults_are_told() {
        let read = |text: &str| read::<Wish>(&Bytes::from(text.to_owned()));
        let wish = read(r#"{"calls":[{"name":"a","arguments":{"n":1.0 }},{"name":"b"}]}"#).unwrap();
        assert_eq!(wish.calls[0].arguments.as_ref().unwrap().get(), r#"{"n":1.0 }"#);
        assert!(wish.calls[1].name == "b" && wish.calls[1].arguments.is_none());
        let many = |count: usize| format!(r#"{{"calls":[{}]}}"#, vec![r#"{"name":"a"}"#; count].join(","));
        assert!(read(&many(MOST_CALLS)).is_ok());
        let bad = [
            many(0),
            many(MOST_CALLS + 1),
            String::from("{}"),
            String::from(r#"{"calls":{}}"#),
            String::from(r#"{"calls":[1,{"arguments":[]},{"name":1,"x":2}]}"#),
        ];
        for text in &bad {
            assert_eq!(read(text).unwrap_err().status(), 422, "{text}");
        }
        let told = checked(serde_json::json!([1, { "arguments": [] }, { "name": 1, "x": 2 }])).unwrap_err();
        assert_eq!(
            told.message,
            "[0] must be an object; [1].name is missing; [1].arguments must be an object; \
             [2].name must be a string; [2].x is not a member of a call"
        );
    }
}
