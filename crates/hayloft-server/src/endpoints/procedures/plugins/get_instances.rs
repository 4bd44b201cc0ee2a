//! `plugins.getInstances`: what the organization has of plugins that were ever switched on there.

use serde_json::{Value, json};

use super::Asked;
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let instances =
        asked.host.list_instances(asked.caller, asked.organization).map_err(ProblemDetails::from)?;
    Ok(json!(instances))
}
