//! `plugins.statistics` and `plugins.metrics`: how much a plugin's tools were used.

use serde_json::{Value, json};

use super::{Asked, OfPlugin};
use crate::endpoints::plugins::statistics::StatisticsBody;
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let statistics = asked.host.plugin_statistics(asked.caller, asked.organization, &id).await;
    Ok(json!(StatisticsBody::from(statistics.map_err(ProblemDetails::from)?)))
}
