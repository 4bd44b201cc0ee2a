//! `plugins.getMCPTools`: the organization's tools, or those of one plugin.

use serde::Deserialize;

use super::{Asked, plugin_id as plugin_id_of, shape};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;
use crate::trpc::wire::Written;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plugin_id: Option<String>,
}

pub(super) fn answer(asked: Asked<'_>) -> Result<Written, TrpcError> {
    let Input { plugin_id } = asked.optional_input()?;
    let tools = match plugin_id {
        None => asked.host.list_tools(asked.caller, asked.organization).map_err(ProblemDetails::from)?,
        Some(id) => {
            let id = plugin_id_of(&id)?;
            let tools = asked.host.list_tools_of(asked.caller, asked.organization, &id);
            tools.map_err(ProblemDetails::from)?.ok_or_else(ProblemDetails::unknown_plugin)?
        }
    };
    Written::of(&shape::tools(&tools)?)
}
