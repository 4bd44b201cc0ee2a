//! Refusals as tRPC clients read them.

use std::time::Duration;

use hayloft_host::CallableKind;
use http::StatusCode;
use serde_json::{Value, json};

use crate::problem::{ProblemDetails, ProblemEntry};

/// The kinds of refusals that this server gives. Plugins' own procedures give others beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The request's text is not what it says it is.
    ParseError,
    /// The request says something that is wrong.
    BadRequest,
    /// Nobody says who asks, or the token is none.
    Unauthorized,
    /// Who asks may not.
    Forbidden,
    /// There is no such procedure, or nothing of the name that it was given.
    NotFound,
    /// The procedure is of another kind.
    MethodNotSupported,
    /// The request did not arrive in time.
    Timeout,
    /// What is there stands in the way.
    Conflict,
    /// What the request says can be read, and is wrong.
    UnprocessableContent,
    /// Too much was asked for.
    TooManyRequests,
    /// We broke.
    Internal,
    /// This host does not do that.
    NotImplemented,
    /// The request is too large.
    PayloadTooLarge,
    /// The request's body is no JSON.
    UnsupportedMediaType,
    /// A plugin broke.
    BadGateway,
    /// A plugin cannot serve at the moment.
    ServiceUnavailable,
    /// A plugin took too long.
    GatewayTimeout,
}

impl Code {
    /// Its name, its number (as JSON-RPC numbers errors) and its status.
    const fn spelled(self) -> (&'static str, i32, StatusCode) {
        match self {
            Self::ParseError => ("PARSE_ERROR", -32700, StatusCode::BAD_REQUEST),
            Self::BadRequest => ("BAD_REQUEST", -32600, StatusCode::BAD_REQUEST),
            Self::Unauthorized => ("UNAUTHORIZED", -32001, StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("FORBIDDEN", -32003, StatusCode::FORBIDDEN),
            Self::Conflict => ("CONFLICT", -32009, StatusCode::CONFLICT),
            Self::UnprocessableContent => ("UNPROCESSABLE_CONTENT", -32022, StatusCode::UNPROCESSABLE_ENTITY),
            Self::TooManyRequests => ("TOO_MANY_REQUESTS", -32029, StatusCode::TOO_MANY_REQUESTS),
            Self::Internal => ("INTERNAL_SERVER_ERROR", -32603, StatusCode::INTERNAL_SERVER_ERROR),
            Self::NotImplemented => ("NOT_IMPLEMENTED", -32603, StatusCode::NOT_IMPLEMENTED),
            Self::NotFound => ("NOT_FOUND", -32004, StatusCode::NOT_FOUND),
            Self::MethodNotSupported => ("METHOD_NOT_SUPPORTED", -32005, StatusCode::METHOD_NOT_ALLOWED),
            Self::Timeout => ("TIMEOUT", -32008, StatusCode::REQUEST_TIMEOUT),
            Self::PayloadTooLarge => ("PAYLOAD_TOO_LARGE", -32013, StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => {
                ("UNSUPPORTED_MEDIA_TYPE", -32015, StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::BadGateway => ("BAD_GATEWAY", -32603, StatusCode::BAD_GATEWAY),
            Self::ServiceUnavailable => ("SERVICE_UNAVAILABLE", -32603, StatusCode::SERVICE_UNAVAILABLE),
            Self::GatewayTimeout => ("GATEWAY_TIMEOUT", -32603, StatusCode::GATEWAY_TIMEOUT),
        }
    }
}

impl Code {
    /// The kind of a refusal that has this status elsewhere.
    fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST => Self::BadRequest,
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotSupported,
            StatusCode::REQUEST_TIMEOUT => Self::Timeout,
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::UnprocessableContent,
            StatusCode::TOO_MANY_REQUESTS => Self::TooManyRequests,
            StatusCode::NOT_IMPLEMENTED => Self::NotImplemented,
            StatusCode::BAD_GATEWAY => Self::BadGateway,
            StatusCode::SERVICE_UNAVAILABLE => Self::ServiceUnavailable,
            StatusCode::GATEWAY_TIMEOUT => Self::GatewayTimeout,
            _ => Self::Internal,
        }
    }
}

/// A refusal, of one call or of a whole request.
#[derive(Clone, Debug)]
pub(crate) struct TrpcError {
    code: Code,
    message: String,
    retry_after: Option<Duration>,
    /// Everything that is wrong with what was sent.
    problems: Vec<ProblemEntry>,
    /// How a plugin broke.
    reason: Option<String>,
}

impl From<ProblemDetails> for TrpcError {
    /// The same refusal in the words of this wire.
    fn from(problem: ProblemDetails) -> Self {
        Self {
            code: Code::of(problem.status()),
            message: problem.told(),
            retry_after: problem.pause(),
            problems: problem.entries().to_vec(),
            reason: problem.reason().map(str::to_owned),
        }
    }
}

impl TrpcError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None, problems: Vec::new(), reason: None }
    }

    /// There is no procedure of this name.
    pub(crate) fn unknown(path: &str) -> Self {
        Self::new(Code::NotFound, format!("No procedure found on path \"{path}\""))
    }

    /// It is called as what it is not.
    pub(crate) fn other_kind(path: &str, asked: CallableKind, kind: impl std::fmt::Debug) -> Self {
        let method = match asked {
            CallableKind::Query => "GET",
            CallableKind::Mutation => "POST",
        };
        let kind = format!("{kind:?}").to_lowercase();
        let message = format!("Unsupported {method}-request to {kind} procedure at path \"{path}\"");
        Self::new(Code::MethodNotSupported, message)
    }

    /// With when to try again.
    pub(crate) const fn retry_after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.code.spelled().2
    }

    pub(crate) const fn pause(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The envelope. `path` is the procedure's whole name, where the refusal is of one call.
    pub(crate) fn body(&self, path: Option<&str>) -> Value {
        let (name, number, status) = self.code.spelled();
        let mut data = json!({ "code": name, "httpStatus": status.as_u16() });
        if let (Some(path), Some(data)) = (path, data.as_object_mut()) {
            data.insert(String::from("path"), path.into());
        }
        if !self.problems.is_empty() {
            data["problems"] = json!(self.problems);
        }
        if let Some(reason) = &self.reason {
            data["reason"] = reason.as_str().into();
        }
        json!({ "error": { "message": self.message, "code": number, "data": data } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_shape_that_clients_read() {
        let refusal = TrpcError::new(Code::NotFound, "no");
        assert_eq!(
            refusal.body(Some("plugins.a.b")).to_string(),
            r#"{"error":{"message":"no","code":-32004,"data":{"code":"NOT_FOUND","httpStatus":404,"path":"plugins.a.b"}}}"#
        );
        let refusal = TrpcError::new(Code::ParseError, "no");
        assert_eq!(
            refusal.body(None).to_string(),
            r#"{"error":{"message":"no","code":-32700,"data":{"code":"PARSE_ERROR","httpStatus":400}}}"#
        );
    }
}
