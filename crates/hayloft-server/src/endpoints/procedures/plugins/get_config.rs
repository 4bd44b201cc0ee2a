//! `plugins.getConfig`: the saved settings by field. Secrets are masked; a mask that is sent back keeps its value.

use serde_json::{Value, json};

use super::{Asked, OfPlugin};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let got = asked.host.get_plugin(asked.caller, asked.organization, &id).await;
    Ok(json!(got.map_err(ProblemDetails::from)?.config))
}
