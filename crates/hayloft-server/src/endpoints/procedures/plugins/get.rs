//! `plugins.get`: one plugin with its settings, its auth and what it brings to the dashboard.

use serde_json::Value;

use super::{Asked, OfPlugin, shape};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let got = asked.host.get_plugin(asked.caller, asked.organization, &id).await;
    Ok(shape::detail(got.map_err(ProblemDetails::from)?))
}
