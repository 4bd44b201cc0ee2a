//! `plugins.getMCPTools`: the organization's tools, or those of one plugin.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, shape};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plugin_id: Option<String>,
}

pub(super) fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let Input { plugin_id } = asked.optional_input()?;
    let tools = asked.host.list_tools(asked.caller, asked.organization).map_err(ProblemDetails::from)?;
    let wanted =
        tools.iter().filter(|tool| plugin_id.as_deref().is_none_or(|id| tool.plugin_id.as_str() == id));
    Ok(json!(wanted.map(shape::tool).collect::<Vec<_>>()))
}
