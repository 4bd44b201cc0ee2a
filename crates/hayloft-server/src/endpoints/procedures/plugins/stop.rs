//! `plugins.stop`: end a plugin's worker. The next call starts another one.

use serde_json::{Value, json};

use super::{Asked, OfPlugin};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let stopped = asked.host.stop_plugin(asked.caller, asked.organization, &id).await;
    stopped.map_err(ProblemDetails::from)?;
    Ok(json!({ "success": true }))
}
