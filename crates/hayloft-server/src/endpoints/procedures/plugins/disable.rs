//! `plugins.disable`: switch a plugin off. Its settings stay.

use serde_json::{Value, json};

use super::{Asked, OfPlugin};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let disabled = asked.host.disable_plugin(asked.caller, asked.organization, &id).await;
    disabled.map_err(ProblemDetails::from)?;
    Ok(json!({ "success": true }))
}
