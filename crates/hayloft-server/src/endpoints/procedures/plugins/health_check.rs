//! `plugins.healthCheck`: how a plugin is, from what the host knows. Nothing is started for it.

use serde_json::Value;

use super::{Asked, OfPlugin, shape};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let got = asked.host.get_plugin(asked.caller, asked.organization, &id).await;
    Ok(shape::health(&got.map_err(ProblemDetails::from)?, asked.host.now()))
}
