//! `plugins.updateConfig` and `plugins.configure`: save settings. What is absent stays.

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
    #[serde(default)]
    configuration: Map<String, Value>,
    auth: Option<GivenAuth>,
}

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let Input { plugin_id: id, configuration, auth } = asked.input()?;
    let wish = SavePlugin { enabled: None, config: Some(values(configuration)), auth: auth.map(Into::into) };
    let saved = asked.host.save_plugin(asked.caller, asked.organization, &plugin_id(&id)?, wish).await;
    saved.map_err(ProblemDetails::from)?;
    Ok(json!({ "success": true }))
}
