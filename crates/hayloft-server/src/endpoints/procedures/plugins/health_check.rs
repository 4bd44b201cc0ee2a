//! `plugins.healthCheck`: how a plugin is, from what the host knows. Nothing is started for it.

use serde_json::{Value, json};

use super::{Asked, OfPlugin};
use crate::endpoints::plugins::health::HealthBody;
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let health = asked.host.check_health(asked.caller, asked.organization, &id);
    Ok(json!(HealthBody::from(health.map_err(ProblemDetails::from)?)))
}
