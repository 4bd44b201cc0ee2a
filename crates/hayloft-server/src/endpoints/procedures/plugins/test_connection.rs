//! `plugins.testConnection`: have a plugin judge its credentials and ask its servers for their tools, and say how it is
//! then. The worker is started for that.

use serde_json::{Value, json};

use super::{Asked, OfPlugin};
use crate::endpoints::plugins::health::HealthBody;
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let health = asked.host.test_connection(asked.caller, asked.organization, &id).await;
    Ok(json!(HealthBody::from(health.map_err(ProblemDetails::from)?)))
}
