//! `GET` and `POST /v1/{names}`: procedures, one or several at once, on the wire of tRPC
//!
//! `plugins.<procedure>` is one of the host's own ([`super::plugins`]), `plugins.<plugin>.<procedure>` one of a plugin's
//! own router. The organization is the one in
//! `x-organization-id`, else in `?organizationId=`, else that of the token. A refusal is what tRPC clients read, but for a
//! path that is no name of a procedure at all.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use hayloft_host::{CallProcedure, CallProcedureError, HookError, ProcedureAnswer};
use hayloft_model::{Caller, OrganizationId};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use crate::auth::bearer;
use crate::auth::organization::{X_ORGANIZATION_ID, path_parameter};
use crate::body::{CollectError, collect};
use crate::endpoints::fallback;
use crate::endpoints::procedures::plugins::{Asked, Procedure};
use crate::problem::ProblemDetails;
use crate::query;
use crate::state::AppState;
use crate::trpc::wire::{self, Answer, Call};
use crate::trpc::{Code, TrpcError};

/// What stands before the name of a plugin's router.
const OF_PLUGINS: &str = "plugins.";

/// Answers the calls of a request, all at the same time.
pub(crate) async fn call(State(state): State<AppState>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let names = match path_parameter(&mut parts, &state, "names").await {
        Ok(names) if names.contains('.') => names,
        Ok(_) => return fallback::unknown_path().await.into_response(),
        Err(problem) => return problem.into_response(),
    };
    if parts.method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response();
    }
    let body = match collect(body, state.limits.request_body).await {
        Ok(body) => body,
        Err(error) => return wire::refuse(&unread(error)),
    };
    let query = query::pairs(&parts.uri);
    let calls = match wire::read(&parts.method, &names, &query, &parts.headers, &body) {
        Ok(calls) => calls,
        Err(error) => return wire::refuse(&error),
    };
    let caller = bearer::caller(&parts.headers, &state);
    let organization = organization(&parts.headers, &query, caller.as_ref());
    let answers = calls.calls.into_iter().map(async |call| {
        let path = call.path.clone();
        let answered = match &organization {
            Ok(organization) => answer(&state, caller.as_ref(), *organization, call).await,
            Err(error) => Err(error.clone()),
        };
        answered.unwrap_or_else(|error| Answer::refusal(&error, &path))
    });
    wire::respond(join_all(answers).await, calls.batched)
}

/// Which organization the calls are for.
fn organization(
    headers: &HeaderMap,
    query: &[(String, String)],
    caller: Option<&Caller>,
) -> Result<Option<OrganizationId>, TrpcError> {
    let mut fields = headers.get_all(X_ORGANIZATION_ID).iter();
    let named = match (fields.next(), fields.next()) {
        (Some(_), Some(_)) => {
            let message = format!("the field `{X_ORGANIZATION_ID}` stands twice");
            return Err(TrpcError::new(Code::BadRequest, message));
        }
        (Some(field), None) => Some(field.to_str().ok()),
        (None, _) => {
            query.iter().find(|(name, _)| name == "organizationId").map(|(_, value)| Some(value.as_str()))
        }
    };
    match (named, caller) {
        // A text that is no id names no organization, and nobody has procedures there.
        (Some(named), _) => Ok(named.and_then(|named| named.parse().ok())),
        (None, Some(Caller::Organization { organization, .. })) => Ok(Some(*organization)),
        // Who sent a token meant its organization.
        (None, None) if headers.contains_key(AUTHORIZATION) => {
            let message = "the bearer token is not, or no longer, a token of this Hayloft";
            Err(TrpcError::new(Code::Unauthorized, message))
        }
        (None, Some(Caller::Administrator) | None) => {
            let message = format!(
                "no organization is named: send the field `{X_ORGANIZATION_ID}`, `?organizationId=` or a token of it"
            );
            Err(TrpcError::new(Code::BadRequest, message))
        }
    }
}

async fn answer(
    state: &AppState,
    caller: Option<&Caller>,
    organization: Option<OrganizationId>,
    call: Call,
) -> Result<Answer, TrpcError> {
    let Call { path: name, kind, input } = call;
    if let Some((procedure, own_kind)) = Procedure::find(&name) {
        if let Some(own_kind) = own_kind.filter(|own_kind| *own_kind != kind) {
            return Err(TrpcError::other_kind(&name, kind, own_kind));
        }
        let Some(caller) = caller else {
            return Err(TrpcError::new(Code::Unauthorized, "a bearer token of the organization is needed"));
        };
        // Those who do not see an organization hear that it is not there.
        let organization = organization
            .filter(|organization| caller.sees(*organization) && state.host.organization_exists(organization))
            .ok_or_else(ProblemDetails::unknown_organization)?;
        return procedure
            .answer(Asked::new(&state.host, caller, organization, input))
            .await
            .map(Answer::data);
    }
    let of_router = name.strip_prefix(OF_PLUGINS).and_then(|name| name.split_once('.'));
    let (Some((namespace, path)), Some(organization)) = (of_router, organization) else {
        return Err(TrpcError::unknown(&name));
    };
    let call = CallProcedure { namespace: namespace.to_owned(), path: path.to_owned(), kind, input };
    match state.host.call_procedure(caller, organization, call).await {
        Ok(ProcedureAnswer { status, body }) => Ok(answered(&name, status, body)),
        Err(error) => Err(refusal(&name, kind, &error)),
    }
}

/// What the plugin's router answered, under the name by which it was asked.
fn answered(name: &str, status: u16, mut body: Value) -> Answer {
    if let Some(path) = body.pointer_mut("/error/data/path") {
        *path = name.into();
    }
    // Whatever the plugin says, an answer is a success or a failure.
    let failed = StatusCode::from_u16(status).ok().filter(|status| status.as_u16() >= 400);
    let status = match failed {
        Some(status) if status.as_u16() < 600 => status,
        Some(_) => StatusCode::INTERNAL_SERVER_ERROR,
        None => StatusCode::OK,
    };
    Answer { status, body: body.into(), retry_after: None }
}

/// The caller may be a stranger: it learns the kind of the failure, the log has the rest.
fn refusal(name: &str, kind: hayloft_host::CallableKind, error: &CallProcedureError) -> TrpcError {
    match error {
        CallProcedureError::UnknownProcedure => TrpcError::unknown(name),
        CallProcedureError::OtherKind(other) => TrpcError::other_kind(name, kind, other),
        CallProcedureError::TooMany { retry_after } => {
            TrpcError::new(Code::TooManyRequests, error.to_string()).retry_after(Some(*retry_after))
        }
        CallProcedureError::Unavailable(_) => {
            tracing::warn!(name, %error, "failed to have a plugin answer a procedure");
            TrpcError::new(
                Code::ServiceUnavailable,
                "the plugin cannot serve at the moment; its organization can see why",
            )
            .retry_after(error.retry_after())
        }
        CallProcedureError::Broken(HookError::TooLong { .. }) => {
            TrpcError::new(Code::PayloadTooLarge, "the input is larger than a plugin can be given")
        }
        CallProcedureError::Broken(broken) => {
            tracing::warn!(name, %error, "failed to have a plugin answer a procedure");
            if broken.is_timeout() {
                TrpcError::new(Code::GatewayTimeout, "the plugin did not answer in time")
            } else {
                TrpcError::new(Code::BadGateway, "the plugin broke before it answered")
            }
        }
    }
}

fn unread(error: CollectError) -> TrpcError {
    match error {
        CollectError::TooLarge { limit } => {
            TrpcError::new(Code::PayloadTooLarge, format!("the body has more than the {limit} bytes allowed"))
        }
        CollectError::TooSlow => TrpcError::new(Code::Timeout, "the body did not arrive in time"),
        CollectError::Incomplete => TrpcError::new(Code::BadRequest, "the body ended early"),
    }
}

#[cfg(test)]
mod tests {
    use hayloft_model::{Role, TokenId};
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    #[test]
    fn the_organization_is_the_named_one_or_the_tokens() {
        let [one, two] = [1, 2].map(|number| format!("org_{number:032x}"));
        let own: OrganizationId = one.parse().unwrap();
        let token: TokenId = format!("tok_{:032x}", 3).parse().unwrap();
        let member = Caller::Organization { organization: own, role: Role::Member, token };
        let other: OrganizationId = two.parse().unwrap();
        let cases = [
            (vec![], None, Some(&member), Ok(Some(own))),
            (vec![&two], None, Some(&member), Ok(Some(other))),
            (vec![&two], Some(&one), None, Ok(Some(other))),
            (vec![], Some(&one), None, Ok(Some(own))),
            (vec![], None, None, Err(400)),
            (vec![], None, Some(&Caller::Administrator), Err(400)),
            (vec![&one, &two], None, None, Err(400)),
        ];
        for (fields, parameter, caller, expected) in cases {
            let headers: HeaderMap = fields
                .iter()
                .map(|id| (HeaderName::from_static(X_ORGANIZATION_ID), HeaderValue::from_str(id).unwrap()))
                .collect();
            let query: Vec<_> =
                parameter.iter().map(|id| ("organizationId".to_owned(), (*id).clone())).collect();
            let got = organization(&headers, &query, caller).map_err(|error| error.status().as_u16());
            assert_eq!(got, expected, "{fields:?} {parameter:?}");
        }
        let nonsense = [("organizationId".to_owned(), "x".to_owned())];
        assert_eq!(organization(&HeaderMap::new(), &nonsense, Some(&member)).unwrap(), None);
    }

    #[test]
    fn a_plugins_answer_keeps_its_words_and_gets_its_name() {
        let answer = answered("plugins.shop.a", 200, json!({ "result": { "data": 1 } }));
        let expected = json!({ "result": { "data": 1 } }).into();
        assert_eq!((answer.status.as_u16(), answer.body), (200, expected));
        let error = json!({ "error": { "message": "no", "code": -32001, "data": { "path": "a", "x": 1 } } });
        for (said, status) in
            [(401, 401), (0, 200), (99, 200), (204, 200), (302, 200), (599, 599), (600, 500)]
        {
            let answer = answered("plugins.shop.a", said, error.clone());
            assert_eq!(answer.status.as_u16(), status, "{said}");
            let mut named = error.clone();
            named["error"]["data"]["path"] = "plugins.shop.a".into();
            assert_eq!(answer.body, named.into());
        }
    }
}
