//! `plugins.stopAll`: end all workers of the organization. The next calls start others.

use serde_json::{Value, json};

use super::Asked;
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let stopped = asked.host.stop_plugins(asked.caller, asked.organization).await;
    Ok(json!({ "success": true, "stopped": stopped.map_err(ProblemDetails::from)? }))
}
