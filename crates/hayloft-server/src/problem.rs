//! Every refusal of the web face as RFC 9457 problem details.
//!
//! Knows status codes and wording; must not know what any operation does. A failure of our own shows only the id of
//! the request; what happened stands in the log under the same id.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use hayloft_host::Denied;
use hayloft_model::{Problem, Problems, Scope, Severity};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::middleware::observe::current_request_id;

/// The media type of every refusal (RFC 9457 section 3).
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What a refused request gets.
#[derive(Clone, Debug)]
pub(crate) struct ProblemDetails(Box<Refusal>);

/// The answer, boxed so that what goes well does not carry its room around.
#[derive(Clone, Debug)]
struct Refusal {
    status: StatusCode,
    body: ProblemBody,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
    allow: Option<HeaderValue>,
}

/// The body of a refusal (RFC 9457 section 3.1) with the extensions of this API.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Which kind of problem it is: a URN that never changes for one kind.
    #[serde(rename = "type")]
    #[schema(example = "urn:hayloft:problem:unknown-plugin")]
    kind: Cow<'static, str>,
    /// The kind in words.
    title: &'static str,
    /// The status code of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong this time.
    detail: String,
    /// The request, for a look into the log. Only with failures of the host itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Everything that is wrong with what was sent, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ProblemEntry>,
    /// How a plugin broke: `crashed`, `timeout`, `unavailable`, `quarantined` and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'static, str>>,
    /// The code of the error that a plugin's server answered with (JSON-RPC).
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    /// What came with that error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    data: Option<Box<serde_json::value::RawValue>>,
}

/// One thing that is wrong with what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ProblemEntry {
    /// `error`, or `warning` when it does not stand in the way.
    severity: SeverityName,
    /// The place, such as `config.apiKey` or `query.tail`.
    at: String,
    /// What is wrong there.
    message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Severity)]
pub(crate) enum SeverityName {
    /// Works, but not as its author may think.
    Warning,
    /// Stands in the way.
    Error,
}

impl From<Problem> for ProblemEntry {
    fn from(problem: Problem) -> Self {
        let severity = match problem.severity {
            Severity::Warning => SeverityName::Warning,
            Severity::Error => SeverityName::Error,
        };
        Self { severity, at: problem.at, message: problem.message, hint: problem.hint }
    }
}

/// The entries of a list of problems.
pub(crate) fn entries(problems: Problems) -> Vec<ProblemEntry> {
    problems.into_iter().map(ProblemEntry::from).collect()
}

impl ProblemDetails {
    /// A problem of the given kind, a slug in kebab case.
    pub(crate) fn new(
        status: StatusCode,
        slug: &str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let body = ProblemBody {
            kind: format!("urn:hayloft:problem:{slug}").into(),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            instance: None,
            problems: Vec::new(),
            reason: None,
            code: None,
            data: None,
        };
        Self(Box::new(Refusal { status, body, retry_after: None, challenge: None, allow: None }))
    }

    /// 400: the request is not what this API reads, with every problem.
    pub(crate) fn bad_request(detail: impl Into<String>, problems: Problems) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be read", detail)
            .with_problems(problems)
    }

    /// 422: the request can be read but what it says is wrong, with every problem.
    pub(crate) fn invalid(problems: Problems) -> Self {
        let detail = match problems.len() {
            1 => String::from("1 problem with what was sent"),
            count => format!("{count} problems with what was sent"),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "What was sent is not valid", detail)
            .with_problems(problems)
    }

    /// 401 with the challenge that RFC 6750 section 3 asks for.
    pub(crate) fn unauthorized(challenge: &'static str, detail: &'static str) -> Self {
        let mut problem =
            Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A bearer token is needed", detail);
        problem.0.challenge = Some(challenge);
        problem
    }

    /// 404 for an organization that does not exist or is not the caller's. The two must look the same.
    pub(crate) fn unknown_organization() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-organization",
            "The organization does not exist",
            "no organization of this id is visible to this token",
        )
    }

    /// 404 for a plugin.
    pub(crate) fn unknown_plugin() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-plugin",
            "The plugin does not exist",
            "this Hayloft has no plugin of this id",
        )
    }

    /// 413 for a body over the limit.
    pub(crate) fn content_too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "content-too-large",
            "The body is too large",
            format!("the body has more than the {limit} bytes allowed"),
        )
    }

    /// 500, told to the log in full and to the client only by the request's id.
    pub(crate) fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "failed to answer a request");
        Self::internal_silent()
    }

    /// 500 for a failure that was logged where it was noticed.
    pub(crate) fn internal_silent() -> Self {
        let mut problem = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The host failed",
            "this is not your fault; the log has the details under the id of this request",
        );
        problem.0.body.instance = current_request_id().map(|id| format!("urn:hayloft:request:{id}"));
        problem
    }

    /// With every problem of what was sent.
    pub(crate) fn with_problems(mut self, problems: Problems) -> Self {
        self.0.body.problems = entries(problems);
        self
    }

    /// With the word for how a plugin broke.
    pub(crate) fn with_reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.0.body.reason = Some(reason.into());
        self
    }

    /// With the error that a plugin's server answered with.
    pub(crate) fn with_upstream(mut self, code: i64, data: Option<Box<serde_json::value::RawValue>>) -> Self {
        self.0.body.code = Some(code);
        self.0.body.data = data;
        self
    }

    /// With a `Retry-After` in whole seconds, rounded up.
    pub(crate) fn with_retry_after(mut self, pause: Option<Duration>) -> Self {
        self.0.retry_after = pause;
        self
    }

    /// With the methods that the resource has.
    pub(crate) fn with_allow(mut self, allow: Option<HeaderValue>) -> Self {
        self.0.allow = allow;
        self
    }

    /// What went wrong, in one line with the places of everything that was wrong.
    pub(crate) fn told(&self) -> String {
        let body = &self.0.body;
        let mut places = body.problems.iter().map(|problem| format!("{}: {}", problem.at, problem.message));
        match places.next() {
            Some(first) => places.fold(first, |told, next| told + "; " + &next),
            None => body.detail.clone(),
        }
    }

    /// Everything that was wrong with what was sent.
    pub(crate) fn entries(&self) -> &[ProblemEntry] {
        &self.0.body.problems
    }

    /// How a plugin broke.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.0.body.reason.as_deref()
    }

    /// When to try again, if that helps.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The body alone, for an answer in which a refusal is one of several outcomes.
    pub(crate) fn into_body(self) -> ProblemBody {
        self.0.body
    }

    /// The status code of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }
}

impl IntoResponse for ProblemDetails {
    fn into_response(self) -> Response {
        let Refusal { status, body, retry_after, challenge, allow } = *self.0;
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(pause) = retry_after {
            let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(allow) = allow {
            headers.insert(ALLOW, allow);
        }
        response
    }
}

impl From<Denied> for ProblemDetails {
    fn from(denied: Denied) -> Self {
        let forbidden = |detail: String| {
            Self::new(StatusCode::FORBIDDEN, "forbidden", "The token does not allow this", detail)
        };
        match denied {
            Denied::UnknownOrganization => Self::unknown_organization(),
            Denied::Forbidden { scope } => {
                forbidden(format!("the token's role does not include {}", described(scope)))
            }
            Denied::AdministratorOnly => {
                forbidden("only the administrator of this Hayloft may do this".into())
            }
        }
    }
}

const fn described(scope: Scope) -> &'static str {
    match scope {
        Scope::PluginsRead => "reading plugins",
        Scope::PluginsWrite => "changing plugins",
        Scope::ToolsRead => "listing tools",
        Scope::ToolsCall => "calling tools",
        Scope::Access => "tokens and the audit trail",
    }
}

/// An error and all its causes on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a `String` cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;

    async fn shown(problem: ProblemDetails) -> (http::response::Parts, Value) {
        let (parts, body) = problem.into_response().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_problem_has_the_members_of_the_rfc() {
        let problems = Problems::from(Problem::error("name", "is empty").hint("give it a name"));
        let (parts, body) = shown(ProblemDetails::invalid(problems)).await;
        assert_eq!(parts.status, 422);
        assert_eq!(parts.headers[CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(
            body,
            json!({
                "type": "urn:hayloft:problem:invalid",
                "title": "What was sent is not valid",
                "status": 422,
                "detail": "1 problem with what was sent",
                "problems": [{ "severity": "error", "at": "name", "message": "is empty", "hint": "give it a name" }],
            })
        );
    }

    #[tokio::test]
    async fn the_pause_is_rounded_up_and_never_zero() {
        for (pause, header) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (90_000, "90")] {
            let problem =
                ProblemDetails::content_too_large(1).with_retry_after(Some(Duration::from_millis(pause)));
            assert_eq!(shown(problem).await.0.headers[RETRY_AFTER], header);
        }
    }

    #[tokio::test]
    async fn our_own_failure_says_nothing_of_its_cause() {
        let (parts, body) = shown(ProblemDetails::internal(&std::io::Error::other("canary"))).await;
        assert_eq!(parts.status, 500);
        assert!(!body.to_string().contains("canary"));
    }
}
