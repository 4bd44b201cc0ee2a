//! `plugins.restart`: start a plugin's worker anew.

use serde_json::{Value, json};

use super::{Asked, OfPlugin};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let restarted = asked.host.restart_plugin(asked.caller, asked.organization, &id).await;
    restarted.map_err(ProblemDetails::from)?;
    Ok(json!({ "success": true }))
}
