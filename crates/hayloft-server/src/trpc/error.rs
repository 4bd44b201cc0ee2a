//! Refusals as tRPC clients read them.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

/// The kinds of refusals that this server gives. Plugins' own procedures give others beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The request's text is not what it says it is.
    ParseError,
    /// The request says something that is wrong.
    BadRequest,
    /// There is no such procedure.
    NotFound,
    /// The procedure is of another kind.
    MethodNotSupported,
    /// The request did not arrive in time.
    Timeout,
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

/// A refusal, of one call or of a whole request.
#[derive(Clone, Debug)]
pub(crate) struct TrpcError {
    code: Code,
    message: String,
    retry_after: Option<Duration>,
}

impl TrpcError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
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
