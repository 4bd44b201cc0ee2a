//! Control payloads of a worker, read without trust.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{CapabilityUse, FatalStage, KvOperation, OpenServer, RegisterServer, WireError, WorkerMessage};

/// A message that is not one of the protocol's.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableMessage {
    /// Its type is none of the protocol's.
    #[error("the worker sent a message of the unknown type `{0}`")]
    UnknownType(String),
    /// It is not JSON, or does not have the shape of its type.
    #[error("the worker sent a message that cannot be read: {0}")]
    Shape(#[from] serde_json::Error),
}

impl WorkerMessage {
    /// Reads a control payload. The registration stays as it was sent, which a derived reader would not keep.
    ///
    /// # Errors
    /// When it is not one of the protocol's messages.
    pub fn read(payload: &[u8]) -> Result<Self, UnreadableMessage> {
        #[derive(Deserialize)]
        struct Tagged<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct Metadata {
            registration: Box<RawValue>,
        }
        #[derive(Deserialize)]
        struct Fatal {
            stage: FatalStage,
            error: WireError,
        }
        #[derive(Deserialize)]
        struct Pong {
            nonce: u64,
        }
        #[derive(Deserialize)]
        struct Success {
            id: u64,
            value: Value,
        }
        #[derive(Deserialize)]
        struct Failure {
            id: u64,
            error: WireError,
        }
        #[derive(Deserialize)]
        struct OpenMcp {
            id: u64,
            server: OpenServer,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct CloseMcp {
            id: u64,
            server_id: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct UpdateAuth {
            id: u64,
            method_id: String,
            credentials: serde_json::Map<String, Value>,
        }
        #[derive(Deserialize)]
        struct UpdateRegistration {
            id: u64,
            registration: Box<RawValue>,
        }
        #[derive(Deserialize)]
        struct RegisterMcp {
            id: u64,
            server: RegisterServer,
        }
        #[derive(Deserialize)]
        struct Kv {
            id: u64,
            #[serde(flatten)]
            operation: KvOperation,
        }
        #[derive(Deserialize)]
        struct ReportUse {
            id: u64,
            since: i64,
            uses: Vec<CapabilityUse>,
        }

        let Tagged { kind } = serde_json::from_slice(payload)?;
        Ok(match &*kind {
            "hello" => Self::Hello(serde_json::from_slice(payload)?),
            "metadata" => {
                let Metadata { registration } = serde_json::from_slice(payload)?;
                Self::Metadata { registration }
            }
            "ready" => Self::Ready {},
            "fatal" => {
                let Fatal { stage, error } = serde_json::from_slice(payload)?;
                Self::Fatal { stage, error }
            }
            "pong" => {
                let Pong { nonce } = serde_json::from_slice(payload)?;
                Self::Pong { nonce }
            }
            "result" => {
                let Success { id, value } = serde_json::from_slice(payload)?;
                Self::Result { id, value }
            }
            "failure" => {
                let Failure { id, error } = serde_json::from_slice(payload)?;
                Self::Failure { id, error }
            }
            "openMcp" => {
                let OpenMcp { id, server } = serde_json::from_slice(payload)?;
                Self::OpenMcp { id, server }
            }
            "closeMcp" => {
                let CloseMcp { id, server_id } = serde_json::from_slice(payload)?;
                Self::CloseMcp { id, server_id }
            }
            "updateAuth" => {
                let UpdateAuth { id, method_id, credentials } = serde_json::from_slice(payload)?;
                Self::UpdateAuth { id, method_id, credentials }
            }
            "updateRegistration" => {
                let UpdateRegistration { id, registration } = serde_json::from_slice(payload)?;
                Self::UpdateRegistration { id, registration }
            }
            "registerMcp" => {
                let RegisterMcp { id, server } = serde_json::from_slice(payload)?;
                Self::RegisterMcp { id, server }
            }
            "kv" => {
                let Kv { id, operation } = serde_json::from_slice(payload)?;
                Self::Kv { id, operation }
            }
            "reportUse" => {
                let ReportUse { id, since, uses } = serde_json::from_slice(payload)?;
                Self::ReportUse { id, since, uses }
            }
            other => return Err(UnreadableMessage::UnknownType(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_message_of_a_worker_reads() {
        let error = json!({ "name": "Error", "message": "no", "reason": "thrown" });
        for message in [
            json!({ "type": "hello", "protocol": 1, "node": "24", "runner": "1", "sdk": "1" }),
            json!({ "type": "metadata", "registration": {} }),
            json!({ "type": "ready" }),
            json!({ "type": "fatal", "stage": "initialize", "error": error }),
            json!({ "type": "pong", "nonce": 1 }),
            json!({ "type": "result", "id": 1, "value": {} }),
            json!({ "type": "failure", "id": 1, "error": error }),
            json!({ "type": "openMcp", "id": 1, "server": { "id": "a", "kind": "inProcess" } }),
            json!({ "type": "openMcp", "id": 1, "server": { "id": "a", "kind": "stdio", "command": "node",
                "args": [], "cwd": ".", "env": {}, "timeoutMs": 1 } }),
            json!({ "type": "openMcp", "id": 1, "server": { "id": "a", "kind": "external", "url": "https://a" } }),
            json!({ "type": "closeMcp", "id": 1, "serverId": "a" }),
            json!({ "type": "updateAuth", "id": 1, "methodId": "a", "credentials": {} }),
            json!({ "type": "updateRegistration", "id": 1, "registration": {} }),
            json!({ "type": "registerMcp", "id": 1, "server": { "kind": "local", "id": "a", "cwd": "mcp",
                "startCommand": "node index.js", "installCommand": "npm ci", "transports": ["stdio", "websocket"],
                "env": { "A": "b" }, "tools": [{ "name": "echo", "inputSchema": {} }] } }),
            json!({ "type": "registerMcp", "id": 1, "server": { "kind": "remote", "id": "a", "url": "https://a.example",
                "transports": ["http", "sse"], "headers": {}, "auth": { "type": "oauth2", "scopes": ["a"],
                "clientIdEnvVar": "A_ID" }, "tools": [] } }),
            json!({ "type": "kv", "id": 1, "op": "get", "key": "a" }),
            json!({ "type": "kv", "id": 1, "op": "set", "key": "a", "value": "b", "ttlSeconds": 60 }),
            json!({ "type": "kv", "id": 1, "op": "delete", "key": "a" }),
            json!({ "type": "reportUse", "id": 1, "since": 1_700_000_000_000_u64,
                "uses": [{ "capability": "kv", "count": 1, "denied": 0 }] }),
        ] {
            assert!(WorkerMessage::read(message.to_string().as_bytes()).is_ok(), "{message}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let deep = format!(r#"{{"type":"result","id":1,"value":{}"#, "[".repeat(100_000));
        for payload in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"type":"load"}"#,
            r#"{"type":"pong"}"#,
            r#"{"type":"pong","nonce":-1}"#,
            r#"{"type":"kv","id":1,"op":"get"}"#,
            r#"{"type":"kv","id":1,"op":"list","key":"a"}"#,
            r#"{"type":"kv","id":1,"op":"set","key":"a","value":"b","ttlSeconds":-1}"#,
            r#"{"type":"reportUse","id":1,"since":0,"uses":[{"capability":"kv","count":-1,"denied":0}]}"#,
            r#"{"type":"registerMcp","id":1,"server":{"kind":"other","id":"a"}}"#,
            &deep,
        ] {
            assert!(WorkerMessage::read(payload.as_bytes()).is_err(), "{:.40}", payload);
        }
    }

    #[test]
    fn a_registration_stays_as_it_was_sent() {
        let payload = br#"{"type":"metadata","registration":{"b":1e400,"a":{"b":[ ]}}}"#;
        let Ok(WorkerMessage::Metadata { registration }) = WorkerMessage::read(payload) else {
            panic!("unread")
        };
        assert_eq!(registration.get(), r#"{"b":1e400,"a":{"b":[ ]}}"#);
    }
}
