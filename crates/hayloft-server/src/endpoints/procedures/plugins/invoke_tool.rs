//! `plugins.invokeTool`: call a tool, by its public name or, with the plugin or where it is unique, by its own.

use hayloft_host::CallTool;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::{Asked, plugin_id};
use crate::problem::ProblemDetails;
use crate::trpc::wire::Written;
use crate::trpc::{Code, TrpcError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plugin_id: Option<String>,
    tool_name: String,
    arguments: Option<Box<RawValue>>,
}

pub(super) async fn answer(asked: Asked<'_>) -> Result<Written, TrpcError> {
    let Input { plugin_id: plugin, tool_name, arguments } = asked.input()?;
    let (host, caller, organization) = (asked.host, asked.caller, asked.organization);
    let arguments = arguments.filter(|arguments| arguments.get() != "null");
    if arguments.as_ref().is_some_and(|arguments| !arguments.get().starts_with('{')) {
        return Err(TrpcError::new(
            Code::BadRequest,
            "the input is not what this takes: `arguments` is no object",
        ));
    }
    let plugin = plugin.as_deref().map(plugin_id).transpose()?;
    let name =
        host.find_tool(caller, organization, plugin.as_ref(), &tool_name).map_err(ProblemDetails::from)?;
    let cancelled = CancellationToken::new();
    // A client that hangs up drops this future, and with it the guard, which cancels the call.
    let _hung_up = cancelled.clone().drop_guard();
    let call = CallTool { name, arguments, meta: None, progress: None, cancelled };
    Ok(host.call_tool(caller, organization, call).await.map_err(ProblemDetails::from)?.into())
}
