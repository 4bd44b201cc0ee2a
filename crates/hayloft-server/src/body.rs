//! JSON bodies, read strictly: one meaning or none, and all problems at once.
//!
//! What is not JSON is refused with 400 and the place in the text; what is JSON but not what the operation takes is
//! refused with 422 and every problem with its place.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use hayloft_model::{Problem, Problems};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use crate::problem::ProblemDetails;
use crate::state::AppState;

pub(crate) mod object;
pub(crate) mod strict_json;

pub(crate) use object::ObjectReader;

use strict_json::Fault;

/// How long a body may take to arrive in full.
const ARRIVAL: Duration = Duration::from_secs(30);

/// A body that an operation takes.
pub(crate) trait FromBody: Sized {
    /// Whether a request without a body counts as `{}`.
    const MAY_BE_ABSENT: bool = false;

    /// Reads the members. What is wrong goes to the reader; `None` only if something was.
    fn read(object: &mut ObjectReader<'_>) -> Option<Self>;
}

/// Extracts a body that was read in full and found right.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: FromBody> FromRequest<AppState> for JsonBody<T> {
    type Rejection = ProblemDetails;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ProblemDetails> {
        let (parts, body) = request.into_parts();
        let bytes = collect(body, state.limits.request_body).await?;
        if bytes.is_empty() && T::MAY_BE_ABSENT {
            return read(&Bytes::from_static(b"{}")).map(Self);
        }
        require_json(&parts.headers)?;
        read(&bytes).map(Self)
    }
}

/// Reads a body of an operation from its text.
pub(crate) fn read<T: FromBody>(bytes: &Bytes) -> Result<T, ProblemDetails> {
    let value = strict_json::parse(bytes).map_err(|fault| match fault {
        Fault::Syntax { line, column, message } => ProblemDetails::bad_request(
            format!("the body is not JSON: {message}"),
            Problem::error(format!("body:{line}:{column}"), message).into(),
        ),
        Fault::Duplicates(problems) => ProblemDetails::bad_request("the body says one thing twice", problems),
    })?;
    let Value::Object(fields) = value else {
        return Err(ProblemDetails::invalid(Problem::error("body", "must be an object").into()));
    };
    let mut problems = Problems::new();
    let mut object = ObjectReader::new("", fields, bytes, &mut problems);
    let read = T::read(&mut object);
    object.finish();
    match read {
        Some(read) if problems.is_empty() => Ok(read),
        _ => Err(ProblemDetails::invalid(problems)),
    }
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CollectError {
    /// It is larger than it may be.
    TooLarge {
        /// The most that it may have, in bytes.
        limit: usize,
    },
    /// It did not arrive in time.
    TooSlow,
    /// It broke off.
    Incomplete,
}

impl From<CollectError> for ProblemDetails {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::TooLarge { limit } => Self::content_too_large(limit),
            CollectError::TooSlow => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "slow-body",
                "The body took too long",
                format!("the body did not arrive within {} s", ARRIVAL.as_secs()),
            ),
            CollectError::Incomplete => Self::bad_request("the body ended early", Problems::new()),
        }
    }
}

/// Reads a body in full. One that says beforehand that it is too large is not waited for.
pub(crate) async fn collect(body: axum::body::Body, limit: usize) -> Result<Bytes, CollectError> {
    if usize::try_from(body.size_hint().lower()).map_or(true, |size| size > limit) {
        return Err(CollectError::TooLarge { limit });
    }
    match tokio::time::timeout(ARRIVAL, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(CollectError::TooLarge { limit }),
        Ok(Err(_)) => Err(CollectError::Incomplete),
        Err(_) => Err(CollectError::TooSlow),
    }
}

/// A body must say that it is JSON: a page of another origin cannot do that without asking first.
fn require_json(headers: &HeaderMap) -> Result<(), ProblemDetails> {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let problem = Problem::error("header.content-type", "must be `application/json`")
        .hint("send `content-type: application/json`");
    Err(ProblemDetails::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "The body has the wrong type",
        "this operation takes `application/json`",
    )
    .with_problems(problem.into()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http_body_util::Full;

    use super::*;

    struct Named;

    impl FromBody for Named {
        fn read(object: &mut ObjectReader<'_>) -> Option<Self> {
            object.required("name", object::text).map(|_| Self)
        }
    }

    fn status(body: &'static str) -> u16 {
        read::<Named>(&Bytes::from_static(body.as_bytes()))
            .map_or_else(|problem| problem.status().as_u16(), |_| 200)
    }

    #[test]
    fn what_is_no_json_is_400_and_what_is_wrong_json_422() {
        let table = [
            (r#"{"name":"a"}"#, 200),
            ("", 400),
            ("{", 400),
            (r#"{"name":"a"} x"#, 400),
            (r#"{"name":"a","name":"b"}"#, 400),
            (r#"{"name":"\ud800"}"#, 400),
            (r#"{"name":1e999999}"#, 400),
            ("[]", 422),
            (r#"{"name":1}"#, 422),
            (r#"{}"#, 422),
            (r#"{"name":"a","nam":1}"#, 422),
        ];
        for (body, expected) in table {
            assert_eq!(status(body), expected, "{body}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!(r#"{{"name":{}"#, "[".repeat(100_000));
        assert_eq!(read::<Named>(&deep.into()).map(|_| ()).unwrap_err().status(), 400);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_413() {
        let told = |size: usize| axum::body::Body::new(Full::new(Bytes::from(vec![b' '; size])));
        let untold = |size: usize| {
            let pieces = (0..size).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b" ")));
            axum::body::Body::from_stream(futures::stream::iter(pieces))
        };
        let bodies: [&dyn Fn(usize) -> axum::body::Body; 2] = [&told, &untold];
        for body in bodies {
            assert_eq!(collect(body(10), 10).await.unwrap().len(), 10);
            let error = collect(body(11), 10).await.unwrap_err();
            assert_eq!(ProblemDetails::from(error).status(), 413);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_408() {
        let endless = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let error = collect(axum::body::Body::from_stream(endless), 10).await.unwrap_err();
        assert_eq!(ProblemDetails::from(error).status(), 408);
    }

    #[test]
    fn only_json_is_taken() {
        let table = [
            (Some("application/json"), true),
            (Some("Application/JSON; charset=utf-8"), true),
            (Some("text/plain"), false),
            (Some("application/jsonx"), false),
            (Some("application/x-www-form-urlencoded"), false),
            (None, false),
        ];
        for (value, accepted) in table {
            let headers =
                value.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))).into_iter().collect();
            assert_eq!(require_json(&headers).is_ok(), accepted, "{value:?}");
        }
    }
}
