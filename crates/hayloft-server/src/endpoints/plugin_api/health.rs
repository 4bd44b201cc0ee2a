//! `GET /v1/plugin-api/health`

use axum::{Extension, Json};
use hayloft_host::GateCaller;
use serde::Serialize;

use super::rest::Done;

/// That the Plugin API answers, and whom.
#[derive(Serialize)]
pub(crate) struct HealthBody {
    /// Always `ok`: a host that cannot say so does not answer.
    status: &'static str,
    /// The version of Hayloft.
    version: &'static str,
    /// The plugin that asks, as the host knows it.
    plugin: String,
    /// The worker that asks, as it stands in the host's log.
    worker: String,
}

/// Say that the Plugin API answers. It tells a worker nothing that is not its own: not even what the public `/health`
/// says of the machine. It needs no token, so that a program can find out whether there is a host before it has one.
pub(crate) async fn health(Extension(caller): Extension<GateCaller>) -> Json<Done<HealthBody>> {
    Json(Done::new(HealthBody {
        status: "ok",
        version: hayloft_host::VERSION,
        plugin: caller.plugin().to_string(),
        worker: caller.worker().to_string(),
    }))
}
