//! The first words of a session with a server: `initialize`, and what the server says about itself.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::message::{self, write};
use crate::revision::{Introduction, Revision};

use super::error::{CallError, CloseReason, OpenError};
use super::link::{self, Link, Request};
use super::upstream::{CallDeadline, UpstreamOptions};

/// How we introduce ourselves to servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientDetails {
    /// The programmatic name.
    pub name: String,
    /// The name for people.
    pub title: Option<String>,
    /// The version of the software.
    pub version: String,
}

/// What a server said about itself.
#[derive(Clone, Debug)]
pub struct UpstreamDetails {
    /// The revision that it answered with.
    pub revision: Revision,
    /// Its programmatic name; empty when it gave none.
    pub name: String,
    /// Its name for people.
    pub title: Option<String>,
    /// Its version; empty when it gave none.
    pub version: String,
    /// What a model should know to use its tools well.
    pub instructions: Option<String>,
    /// Its `capabilities`, as it wrote them.
    pub capabilities: Box<RawValue>,
    /// Whether it has tools at all.
    pub tools: ToolsCapability,
}

/// Whether a server declared the `tools` capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolsCapability {
    /// It did.
    Declared,
    /// It did not, so it is not asked for tools.
    Absent,
}

/// Opens the session: `initialize`, then the notification that it is taken up.
pub(super) async fn introduce(link: &Link, options: &UpstreamOptions) -> Result<UpstreamDetails, OpenError> {
    let params = initialize_params(&options.client);
    let request = Request {
        method: link::INITIALIZE,
        size: params.len(),
        progress: None,
        deadline: CallDeadline::fixed(options.open_within),
    };
    let write_params = |_, out: &mut Vec<u8>| out.extend_from_slice(params.as_bytes());
    let result = link.request(request, write_params, &CancellationToken::new()).await.map_err(open_error)?;
    let details = read_result(&result)?;
    link.tell(write::notification("notifications/initialized", None)).await.map_err(OpenError::Closed)?;
    Ok(details)
}

fn open_error(error: CallError) -> OpenError {
    match error {
        CallError::Refused(error) => OpenError::Refused(error),
        CallError::Timeout(after) => OpenError::Timeout(after),
        CallError::Closed(CloseReason::Transport(error)) | CallError::Transport(error) => {
            OpenError::Transport(error)
        }
        CallError::Closed(reason) => OpenError::Closed(reason),
        CallError::Cancelled => OpenError::Closed(CloseReason::ByHost),
        CallError::Malformed(_) | CallError::TooLarge { .. } | CallError::Overloaded { .. } => {
            OpenError::Malformed(error.to_string())
        }
    }
}

/// No capabilities: a session is shared by many callers, so there is nobody whom a server could ask anything.
fn initialize_params(client: &ClientDetails) -> String {
    let mut introduction = json!({ "name": client.name, "version": client.version });
    if let Some(title) = &client.title
        && Revision::NEWEST.rules().introduction >= Introduction::Titled
    {
        introduction["title"] = title.as_str().into();
    }
    json!({ "protocolVersion": Revision::NEWEST.name(), "capabilities": {}, "clientInfo": introduction })
        .to_string()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InitializeResult<'a> {
    protocol_version: String,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
    #[serde(default)]
    server_info: ServerInfo,
    instructions: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ServerInfo {
    name: String,
    title: Option<String>,
    version: String,
}

#[derive(Deserialize)]
struct Capabilities<'a> {
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
}

fn read_result(result: &RawValue) -> Result<UpstreamDetails, OpenError> {
    let malformed = |why| OpenError::Malformed(format!("the answer to `initialize` is not valid: {why}"));
    let result: InitializeResult<'_> = message::object(result).map_err(malformed)?;
    let revision = Revision::named(&result.protocol_version)
        .ok_or_else(|| OpenError::UnknownRevision(result.protocol_version.chars().take(40).collect()))?;
    let tools = match result.capabilities {
        Some(raw) => message::object::<Capabilities<'_>>(raw).map_err(malformed)?.tools,
        None => None,
    };
    Ok(UpstreamDetails {
        revision,
        name: result.server_info.name,
        title: result.server_info.title,
        version: result.server_info.version,
        instructions: result.instructions,
        capabilities: result.capabilities.map_or_else(|| write::into_raw("{}".to_owned()), ToOwned::to_owned),
        tools: if tools.is_some() { ToolsCapability::Declared } else { ToolsCapability::Absent },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<UpstreamDetails, String> {
        read_result(&RawValue::from_string(json.to_owned()).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_servers_say_is_read_leniently() {
        let full = read(
            r#"{"protocolVersion":"2024-11-05","capabilities":{"tools":{},"x":{"y" :1}},"serverInfo":{"name":"n","version":"1"},"instructions":"i"}"#,
        )
        .unwrap();
        assert_eq!((full.revision, full.tools), (Revision::V2024_11_05, ToolsCapability::Declared));
        assert_eq!(full.capabilities.get(), r#"{"tools":{},"x":{"y" :1}}"#);
        let bare = read(r#"{"protocolVersion":"2025-03-26"}"#).unwrap();
        assert_eq!((bare.tools, bare.name.as_str()), (ToolsCapability::Absent, ""));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let cases = [
            (
                r#"{"protocolVersion":"1999-01-01"}"#,
                "failed to open a session: the server speaks revision `1999-01-01`, which is not supported",
            ),
            (
                "{}",
                "failed to open a session: the answer to `initialize` is not valid: missing field `protocolVersion` at line 1 column 2",
            ),
            (
                r#"["2025-03-26",{}]"#,
                "failed to open a session: the answer to `initialize` is not valid: it is not an object",
            ),
        ];
        for (json, expected) in cases {
            assert_eq!(read(json).unwrap_err(), expected);
        }
    }
}
