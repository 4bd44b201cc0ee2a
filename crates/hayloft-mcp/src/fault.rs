//! JSON-RPC errors: the codes, and which failure is told to clients under which.

use std::time::Duration;

use serde_json::json;

use crate::client::ServerError;
use crate::ids::RequestId;
use crate::item::ItemKind;
use crate::message::{MessageError, write};
use crate::service::{BreakReason, ListFailure, ToolFailure};

/// The codes that clients can see. The last one is ours, in the range that JSON-RPC leaves to implementations.
pub(crate) mod code {
    pub(crate) const PARSE: i64 = -32700;
    pub(crate) const INVALID_REQUEST: i64 = -32600;
    pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
    pub(crate) const INVALID_PARAMS: i64 = -32602;
    pub(crate) const INTERNAL: i64 = -32603;
    /// Something about the session or the transport rather than about the message.
    pub(crate) const TRANSPORT: i64 = -32000;
    /// The word of the language server protocol for a request that its client cancelled.
    pub(crate) const CANCELLED: i64 = -32800;
    /// The protocol's own code for a resource that is not there.
    pub(crate) const RESOURCE_NOT_FOUND: i64 = -32002;
    /// The plugin broke; `data.reason` says how.
    pub(crate) const PLUGIN_BROKE: i64 = -32050;
}

/// An error as it goes to a client.
#[derive(Debug)]
pub(crate) struct Fault {
    code: i64,
    message: String,
    /// JSON.
    data: Option<String>,
}

impl Fault {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(crate) fn with_data(mut self, data: &serde_json::Value) -> Self {
        self.data = Some(data.to_string());
        self
    }

    /// The whole message.
    pub(crate) fn to_message(&self, id: Option<&RequestId>) -> Vec<u8> {
        write::error(id, self.code, &self.message, self.data.as_deref())
    }

    /// A server's own error goes to the client as it stands, with one exception: the codes that mean "we broke" and
    /// "the plugin broke" are for us to give, so that what went wrong where stays true.
    fn of_server(error: &ServerError) -> Self {
        match error.code() {
            code::INTERNAL | code::PLUGIN_BROKE => Self {
                code: code::PLUGIN_BROKE,
                message: error.message().to_owned(),
                data: Some(format!(
                    r#"{{"reason":"{}","error":{}}}"#,
                    BreakReason::Failed,
                    error.raw().get()
                )),
            },
            code => Self {
                code,
                message: error.message().to_owned(),
                data: error.data().map(|data| data.get().to_owned()),
            },
        }
    }
}

/// Whole seconds, never too few: who comes back too early waits once more.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl From<&ToolFailure> for Fault {
    fn from(failure: &ToolFailure) -> Self {
        let message = failure.to_string();
        match failure {
            ToolFailure::UnknownTool { name } => {
                Self::new(code::INVALID_PARAMS, message).with_data(&json!({ "tool": name }))
            }
            ToolFailure::UnknownItem { kind: ItemKind::Prompt, identity } => {
                Self::new(code::INVALID_PARAMS, message).with_data(&json!({ "name": identity }))
            }
            ToolFailure::UnknownItem { kind: _, identity } => {
                Self::new(code::RESOURCE_NOT_FOUND, message).with_data(&json!({ "uri": identity }))
            }
            ToolFailure::BadArguments { problems } => {
                let message = match problems.as_slice() {
                    [only] => format!("{message}: `{}` {}", only.at, only.message),
                    _ => message,
                };
                Self::new(code::INVALID_PARAMS, message).with_data(&json!({ "problems": problems }))
            }
            ToolFailure::Refused(error) => Self::of_server(error),
            ToolFailure::Forbidden | ToolFailure::NotCallable { .. } => {
                Self::new(code::INVALID_PARAMS, message)
            }
            ToolFailure::Broke { reason, retry_after, .. } => {
                let mut data = json!({ "reason": reason.as_str() });
                if let Some(wait) = retry_after {
                    data["retryAfter"] = seconds(*wait).into();
                }
                Self::new(code::PLUGIN_BROKE, message).with_data(&data)
            }
            ToolFailure::Cancelled => Self::new(code::CANCELLED, message),
            ToolFailure::Internal(_) => Self::new(code::INTERNAL, message),
        }
    }
}

impl From<&ListFailure> for Fault {
    fn from(failure: &ListFailure) -> Self {
        let code = match failure {
            ListFailure::UnknownCursor => code::INVALID_PARAMS,
            ListFailure::Internal(_) => code::INTERNAL,
        };
        Self::new(code, failure.to_string())
    }
}

impl From<&MessageError> for Fault {
    fn from(error: &MessageError) -> Self {
        let code = match error {
            MessageError::Syntax(_) => code::PARSE,
            MessageError::TooLarge { .. }
            | MessageError::TooDeep { .. }
            | MessageError::Batch
            | MessageError::Shape(_) => code::INVALID_REQUEST,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use hayloft_model::Problem;
    use serde_json::value::RawValue;

    use super::*;

    fn refused(json: &str) -> ToolFailure {
        ToolFailure::Refused(ServerError::of(&RawValue::from_string(json.to_owned()).unwrap()))
    }

    #[test]
    fn each_failure_has_its_code() {
        let cases = [
            (
                ToolFailure::UnknownTool { name: "a__b".into() },
                r#"{"code":-32602,"message":"tool `a__b` is unknown","data":{"tool":"a__b"}}"#,
            ),
            (
                ToolFailure::BadArguments {
                    problems: vec![Problem::error("a", "is not a number").hint("send one")],
                },
                r#"{"code":-32602,"message":"arguments do not fit the tool's input schema: `a` is not a number","data":{"problems":[{"severity":"error","at":"a","message":"is not a number","hint":"send one"}]}}"#,
            ),
            (
                ToolFailure::Broke {
                    reason: BreakReason::Crashed,
                    message: "worker ended".into(),
                    retry_after: None,
                },
                r#"{"code":-32050,"message":"worker ended","data":{"reason":"crashed"}}"#,
            ),
            (
                ToolFailure::Broke {
                    reason: BreakReason::Crashed,
                    message: "worker ended".into(),
                    retry_after: Some(Duration::from_millis(1500)),
                },
                r#"{"code":-32050,"message":"worker ended","data":{"reason":"crashed","retryAfter":2}}"#,
            ),
            (
                ToolFailure::Forbidden,
                r#"{"code":-32602,"message":"the token's role does not allow calling tools"}"#,
            ),
            (
                ToolFailure::Internal("journal is full".into()),
                r#"{"code":-32603,"message":"journal is full"}"#,
            ),
            (ToolFailure::Cancelled, r#"{"code":-32800,"message":"call was cancelled"}"#),
            (
                refused(r#"{"code":-32602,"message":"m","data":{"x" : 1}}"#),
                r#"{"code":-32602,"message":"m","data":{"x" : 1}}"#,
            ),
            (
                refused(r#"{"code":-32603,"message":"m","x":1}"#),
                r#"{"code":-32050,"message":"m","data":{"reason":"failed","error":{"code":-32603,"message":"m","x":1}}}"#,
            ),
            (
                refused(r#"{"code":-32050,"message":"m","data":{"reason":"crashed"}}"#),
                r#"{"code":-32050,"message":"m","data":{"reason":"failed","error":{"code":-32050,"message":"m","data":{"reason":"crashed"}}}}"#,
            ),
            (
                refused("[]"),
                r#"{"code":-32050,"message":"server gave no message with its error","data":{"reason":"failed","error":[]}}"#,
            ),
        ];
        let id = RequestId::of_json("1").unwrap();
        for (failure, expected) in cases {
            let text = write::into_text(Fault::from(&failure).to_message(Some(&id)));
            assert_eq!(text, format!(r#"{{"jsonrpc":"2.0","id":1,"error":{expected}}}"#));
        }
    }
}
