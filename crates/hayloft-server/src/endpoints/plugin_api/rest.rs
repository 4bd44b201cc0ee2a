//! The operations of the Plugin API by REST, in the shape that SDKs read: `{ success: true, data }`, or
//! `{ success: false, error }` with everything that was wrong as `problems`.

use axum::body::Body;
use axum::extract::{RawPathParams, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Json};
use hayloft_host::{CallableKind, GateCaller};
use hayloft_model::Problems;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::operation::{Asking, LONGEST, Operation};
use crate::body::collect;
use crate::plugin_api::HostSlot;
use crate::problem::{ProblemDetails, ProblemEntry};

/// An answer.
#[derive(Serialize)]
pub(crate) struct Done<T> {
    success: bool,
    data: T,
}

impl<T> Done<T> {
    pub(crate) const fn new(data: T) -> Self {
        Self { success: true, data }
    }
}

/// A refusal.
struct Refused(ProblemDetails);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            success: bool,
            error: String,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            problems: &'a [ProblemEntry],
        }
        let Self(problem) = self;
        let body = Body { success: false, error: problem.told(), problems: problem.entries() };
        let mut response = (problem.status(), Json(body)).into_response();
        let of_problem = problem.into_response();
        for name in [RETRY_AFTER, WWW_AUTHENTICATE] as [HeaderName; 2] {
            if let Some(value) = of_problem.headers().get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        response
    }
}

/// The methods under which an operation answers at its path.
pub(crate) fn route(operation: Operation) -> MethodRouter<HostSlot> {
    let answer = move |State(slot): State<HostSlot>,
                       Extension(caller): Extension<GateCaller>,
                       parameters: RawPathParams,
                       headers: HeaderMap,
                       body: Body| async move {
        let parameter = parameters.iter().next().map(|(name, value)| (name.to_owned(), value.to_owned()));
        match answer(operation, &slot, &caller, parameter, &headers, body).await {
            Ok(data) => (StatusCode::OK, Json(Done::new(data))).into_response(),
            Err(problem) => Refused(problem).into_response(),
        }
    };
    // A query whose input does not fit into a path is posted.
    match operation.kind {
        CallableKind::Query if operation.path.contains('{') => get(answer),
        CallableKind::Query | CallableKind::Mutation => post(answer),
    }
}

async fn answer(
    operation: Operation,
    slot: &HostSlot,
    caller: &GateCaller,
    parameter: Option<(String, String)>,
    headers: &HeaderMap,
    body: Body,
) -> Result<serde_json::Value, ProblemDetails> {
    let asking = Asking::read(caller, headers)?;
    let input = match parameter {
        Some((name, value)) => raw(&json!({ name: value }).to_string())?,
        None => {
            let bytes = collect(body, LONGEST).await?;
            let text = std::str::from_utf8(&bytes).map_err(|error| {
                ProblemDetails::bad_request(format!("the body is no text: {error}"), Problems::new())
            })?;
            if text.trim().is_empty() { None } else { raw(text)? }
        }
    };
    operation.run(slot, &asking, input.as_deref()).await
}

fn raw(text: &str) -> Result<Option<Box<RawValue>>, ProblemDetails> {
    serde_json::from_str(text).map(Some).map_err(|error| {
        ProblemDetails::bad_request(format!("the body is not JSON: {error}"), Problems::new())
    })
}
