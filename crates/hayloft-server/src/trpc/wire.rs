//! From a request to calls, and from answers to a response.
//!
//! `GET /v1/a.b?input=…` asks a query, `POST /v1/a.b` with the input as its body a mutation. With `?batch=1` the path
//! has several names with commas between them, and the inputs are the members `"0"`, `"1"`, … of one object.

use std::collections::HashMap;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hayloft_host::CallableKind;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Code, TrpcError};
use crate::problem::ProblemDetails;

/// How many calls one request may have.
const MOST_CALLS: usize = 100;

/// The longest name of a procedure, in bytes.
const LONGEST_NAME: usize = 512;

/// The calls of one request.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) calls: Vec<Call>,
    /// Whether the answers go into one array.
    pub(crate) batched: bool,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    /// The procedure's whole name.
    pub(crate) path: String,
    /// What the caller wants of it.
    pub(crate) kind: CallableKind,
    /// What it is given.
    pub(crate) input: Option<Box<RawValue>>,
}

/// JSON that is sent as it is written: what a plugin said passes raw, with every digit of its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written(String);

impl Written {
    /// The JSON of what has raw parts.
    pub(crate) fn of(data: &impl Serialize) -> Result<Self, TrpcError> {
        serde_json::to_string(data).map(Self).map_err(|error| ProblemDetails::internal(&error).into())
    }
}

impl From<Value> for Written {
    fn from(value: Value) -> Self {
        Self(value.to_string())
    }
}

impl From<Box<RawValue>> for Written {
    fn from(raw: Box<RawValue>) -> Self {
        Self(Box::<str>::from(raw).into_string())
    }
}

/// The answer to one call.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Written,
    pub(crate) retry_after: Option<Duration>,
}

impl Answer {
    /// What a procedure gives.
    pub(crate) fn data(Written(data): Written) -> Self {
        let body = Written(format!(r#"{{"result":{{"data":{data}}}}}"#));
        Self { status: StatusCode::OK, body, retry_after: None }
    }

    /// The answer to a call that was refused.
    pub(crate) fn refusal(error: &TrpcError, path: &str) -> Self {
        Self { status: error.status(), body: error.body(Some(path)).into(), retry_after: error.pause() }
    }
}

/// Reads the calls of a request. `names` is what stands in the path, percent-decoded.
pub(crate) fn read(
    method: &Method,
    names: &str,
    query: &[(String, String)],
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Calls, TrpcError> {
    let parameter = |name| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let (kind, input) = if *method == Method::GET {
        (CallableKind::Query, parameter("input").map(str::as_bytes))
    } else if *method == Method::POST {
        require_json(headers)?;
        (CallableKind::Mutation, Some(&body[..]).filter(|body| !body.is_empty()))
    } else {
        let method: String = method.as_str().chars().take(20).collect();
        let message = format!("Unexpected request method {method}");
        return Err(TrpcError::new(Code::MethodNotSupported, message));
    };
    let batched = parameter("batch") == Some("1");
    let names: Vec<&str> = if batched { names.split(',').collect() } else { vec![names] };
    if names.len() > MOST_CALLS {
        let message = format!("a batch has at most {MOST_CALLS} calls");
        return Err(TrpcError::new(Code::BadRequest, message));
    }
    if names.iter().any(|name| name.len() > LONGEST_NAME) {
        let message = format!("the name of a procedure has at most {LONGEST_NAME} bytes");
        return Err(TrpcError::new(Code::BadRequest, message));
    }
    let mut inputs: HashMap<String, Box<RawValue>> = match input {
        None => HashMap::new(),
        Some(text) if batched => parsed(text)?,
        Some(text) => HashMap::from([(String::from("0"), parsed(text)?)]),
    };
    let call = |(index, name): (usize, &str)| Call {
        path: name.to_owned(),
        kind,
        input: inputs.remove(&index.to_string()),
    };
    Ok(Calls { calls: names.into_iter().enumerate().map(call).collect(), batched })
}

fn require_json(headers: &HeaderMap) -> Result<(), TrpcError> {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return Err(TrpcError::new(Code::UnsupportedMediaType, "Missing content-type header"));
    };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let kind: String = kind.chars().take(80).collect();
    Err(TrpcError::new(Code::UnsupportedMediaType, format!("Unsupported content-type \"{kind}\"")))
}

fn parsed<'a, T: serde::Deserialize<'a>>(text: &'a [u8]) -> Result<T, TrpcError> {
    serde_json::from_slice(text)
        .map_err(|error| TrpcError::new(Code::ParseError, format!("the input cannot be read: {error}")))
}

/// The response with the answers in the order of their calls. Where they differ in status, it is 207.
pub(crate) fn respond(answers: Vec<Answer>, batched: bool) -> Response {
    let mut statuses = answers.iter().map(|answer| answer.status);
    let first = statuses.next().unwrap_or(StatusCode::OK);
    let status = if statuses.all(|status| status == first) { first } else { StatusCode::MULTI_STATUS };
    let pause = answers.iter().filter_map(|answer| answer.retry_after).max();
    let bodies: Vec<String> = answers.into_iter().map(|answer| answer.body.0).collect();
    // Without a batch there is one call, and one answer.
    let body = if batched { format!("[{}]", bodies.join(",")) } else { bodies.concat() };
    written(status, body, pause)
}

/// The response to a request that could not be read.
pub(crate) fn refuse(error: &TrpcError) -> Response {
    written(error.status(), error.body(None).to_string(), error.pause())
}

fn written(status: StatusCode, body: String, pause: Option<Duration>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    let mut response = (status, [(CONTENT_TYPE, kind)], body).into_response();
    if let Some(pause) = pause {
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::json;

    use super::*;

    fn pairs(query: &[(&str, &str)]) -> Vec<(String, String)> {
        query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn json_headers() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))])
    }

    fn shown(calls: Result<Calls, TrpcError>) -> String {
        match calls {
            Ok(calls) => {
                let call = |call: &Call| {
                    let input = call.input.as_ref().map_or("-", |input| input.get());
                    format!("{} {} {input}", call.kind, call.path)
                };
                let all: Vec<_> = calls.calls.iter().map(call).collect();
                format!("{}{}", if calls.batched { "batch: " } else { "" }, all.join("; "))
            }
            Err(error) => {
                format!("{} {:?}", error.status().as_u16(), error.body(None)["error"]["data"]["code"])
            }
        }
    }

    #[test]
    fn calls_read_as_clients_write_them() {
        let get = |names, query: &[(&str, &str)]| {
            shown(read(&Method::GET, names, &pairs(query), &HeaderMap::new(), &Bytes::new()))
        };
        let post = |names, query: &[(&str, &str)], body: &'static str| {
            shown(read(
                &Method::POST,
                names,
                &pairs(query),
                &json_headers(),
                &Bytes::from_static(body.as_bytes()),
            ))
        };
        assert_eq!(get("a.b", &[]), "query a.b -");
        assert_eq!(get("a.b", &[("input", r#"{"x": 1e400}"#)]), r#"query a.b {"x": 1e400}"#);
        assert_eq!(get("a.b", &[("input", "null")]), "query a.b null");
        assert_eq!(post("a.b", &[], ""), "mutation a.b -");
        assert_eq!(post("a.b", &[], "[1]"), "mutation a.b [1]");
        assert_eq!(
            get("a.b,a.c,a.d", &[("batch", "1"), ("input", r#"{"0":1,"2":{"y":"z"}}"#)]),
            r#"batch: query a.b 1; query a.c -; query a.d {"y":"z"}"#
        );
        assert_eq!(post("a.b", &[("batch", "1")], r#"{"0":7}"#), "batch: mutation a.b 7");
        assert_eq!(post("a.b,a.c", &[("batch", "1")], ""), "batch: mutation a.b -; mutation a.c -");
        // Without `batch`, a comma is part of a name that nothing has.
        assert_eq!(get("a.b,a.c", &[]), "query a.b,a.c -");
    }

    #[test]
    fn what_is_no_call_is_refused() {
        let get = |names: &str, query: &[(&str, &str)]| {
            shown(read(&Method::GET, names, &pairs(query), &HeaderMap::new(), &Bytes::new()))
        };
        assert_eq!(get("a.b", &[("input", "{")]), r#"400 String("PARSE_ERROR")"#);
        assert_eq!(get("a.b", &[("input", "[1]"), ("batch", "1")]), r#"400 String("PARSE_ERROR")"#);
        let names = vec!["a.b"; MOST_CALLS + 1].join(",");
        assert_eq!(get(&names, &[("batch", "1")]), r#"400 String("BAD_REQUEST")"#);
        assert_eq!(get(&"a".repeat(LONGEST_NAME + 1), &[]), r#"400 String("BAD_REQUEST")"#);
        let read = |method: Method, headers: &HeaderMap| {
            shown(read(&method, "a.b", &[], headers, &Bytes::from_static(b"1")))
        };
        assert_eq!(read(Method::PUT, &json_headers()), r#"405 String("METHOD_NOT_SUPPORTED")"#);
        assert_eq!(read(Method::POST, &HeaderMap::new()), r#"415 String("UNSUPPORTED_MEDIA_TYPE")"#);
        let text = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
        assert_eq!(read(Method::POST, &text), r#"415 String("UNSUPPORTED_MEDIA_TYPE")"#);
        assert_eq!(read(Method::POST, &json_headers()), "mutation a.b 1");
    }

    #[tokio::test]
    async fn a_batch_has_the_status_that_all_have() {
        let answer = |status: u16, pause: Option<u64>| Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: json!(status).into(),
            retry_after: pause.map(Duration::from_millis),
        };
        for (answers, batched, expected, body) in [
            (vec![answer(200, None)], false, 200, "200"),
            (vec![answer(404, None)], false, 404, "404"),
            (vec![answer(200, None), answer(200, None)], true, 200, "[200,200]"),
            (vec![answer(404, None), answer(404, None)], true, 404, "[404,404]"),
            (vec![answer(200, None), answer(503, Some(1500))], true, 207, "[200,503]"),
        ] {
            let response = respond(answers, batched);
            assert_eq!(response.status().as_u16(), expected);
            assert_eq!(response.headers().get(RETRY_AFTER).is_some(), body.contains("503"));
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
        }
    }

    #[test]
    fn what_a_plugin_said_keeps_its_digits() {
        let raw = r#"{ "n":12345678901234567890123,"far":1e400,"one":1.0}"#;
        let answer = Answer::data(RawValue::from_string(raw.to_owned()).unwrap().into());
        assert_eq!(answer.body.0, format!(r#"{{"result":{{"data":{raw}}}}}"#));
    }
}
