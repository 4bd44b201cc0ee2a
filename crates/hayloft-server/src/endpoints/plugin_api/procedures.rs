//! `GET` and `POST /v1/pluginApi.<name>`: the operations of the Plugin API on the wire of tRPC, one or several at once.

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use hayloft_host::GateCaller;
use http::{Method, StatusCode};

use super::operation::{Asking, LONGEST, OPERATIONS};
use crate::body::collect;
use crate::plugin_api::{HostSlot, unknown_path};
use crate::problem::ProblemDetails;
use crate::query;
use crate::trpc::TrpcError;
use crate::trpc::wire::{self, Answer, Call};

/// What stands before the name of an operation.
const PREFIX: &str = "pluginApi.";

/// Answers the calls of a request, all at the same time.
pub(crate) async fn call(
    State(slot): State<HostSlot>,
    Extension(caller): Extension<GateCaller>,
    Path(names): Path<String>,
    request: Request,
) -> Response {
    if !names.starts_with(PREFIX) {
        return unknown_path().await.into_response();
    }
    let (parts, body) = request.into_parts();
    if parts.method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response();
    }
    let body = match collect(body, LONGEST).await {
        Ok(body) => body,
        Err(error) => return wire::refuse(&TrpcError::from(ProblemDetails::from(error))),
    };
    let calls = match wire::read(&parts.method, &names, &query::pairs(&parts.uri), &parts.headers, &body) {
        Ok(calls) => calls,
        Err(error) => return wire::refuse(&error),
    };
    let asking = Asking::read(&caller, &parts.headers);
    let answers = calls.calls.into_iter().map(async |call| {
        let path = call.path.clone();
        let answered = match &asking {
            Ok(asking) => answer(&slot, asking, call).await,
            Err(problem) => Err(problem.clone().into()),
        };
        answered.unwrap_or_else(|error| Answer::refusal(&error, &path))
    });
    wire::respond(join_all(answers).await, calls.batched)
}

async fn answer(slot: &HostSlot, asking: &Asking, call: Call) -> Result<Answer, TrpcError> {
    let Call { path, kind, input } = call;
    let name = path.strip_prefix(PREFIX);
    let Some(operation) = OPERATIONS.into_iter().find(|operation| Some(operation.name) == name) else {
        return Err(TrpcError::unknown(&path));
    };
    if operation.kind != kind {
        return Err(TrpcError::other_kind(&path, kind, operation.kind));
    }
    let data = operation.run(slot, asking, input.as_deref()).await?;
    Ok(Answer::data(data.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_operation_has_a_name_and_a_place_of_its_own() {
        for (index, operation) in OPERATIONS.into_iter().enumerate() {
            let others = &OPERATIONS[index + 1..];
            assert!(others.iter().all(|other| other.name != operation.name && other.path != operation.path));
        }
        assert_eq!(Answer::data(json!(1).into()).body, json!({ "result": { "data": 1 } }).into());
    }
}
