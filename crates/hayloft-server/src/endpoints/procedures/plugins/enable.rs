//! `plugins.enable`: switch a plugin on, with settings if some are given.

use hayloft_host::SavePlugin;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Asked, GivenAuth, plugin_id, values};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plugin_id: String,
    configuration: Option<Map<String, Value>>,
    auth: Option<GivenAuth>,
}

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let Input { plugin_id: id, configuration, auth } = asked.input()?;
    let wish =
        SavePlugin { enabled: Some(true), config: configuration.map(values), auth: auth.map(Into::into) };
    let saved = asked.host.save_plugin(asked.caller, asked.organization, &plugin_id(&id)?, wish).await;
    saved.map_err(ProblemDetails::from)?;
    Ok(json!({ "success": true }))
}
