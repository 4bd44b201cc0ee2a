//! What is measured, suite by suite.

mod crowd;
mod cycles;
mod egress;
mod generator;
mod growth;
mod idle;
mod jail;
mod launch;
mod neighbours;
mod packages;
mod recovery;
mod reload;
mod route;
mod soak;
mod start;
mod storm;
mod tenants;
mod tool_call;
mod warm;

use crate::metric::Metric;
use crate::options::{Options, Suite};

/// Runs a suite.
pub(crate) async fn run(suite: Suite, options: &Options) -> anyhow::Result<Vec<Metric>> {
    match suite {
        Suite::Generator => generator::run(options).await,
        Suite::ToolCall => tool_call::run(options).await,
        Suite::Crowd => crowd::run(options).await,
        Suite::Route => route::run(options).await,
        Suite::Start => start::run(options).await,
        Suite::Warm => warm::run(options).await,
        Suite::Jail => jail::run(options).await,
        Suite::Egress => egress::run(options).await,
        Suite::Packages => packages::run(options).await,
        Suite::Launch => launch::run(options).await,
        Suite::Reload => reload::run(options).await,
        Suite::Idle => idle::run(options).await,
        Suite::Storm => storm::run(options).await,
        Suite::Recovery => recovery::run(options).await,
        Suite::Tenants => tenants::run(options).await,
        Suite::Growth => growth::run(options).await,
        Suite::Neighbours => neighbours::run(options).await,
        Suite::Cycles => cycles::run(options).await,
        Suite::Soak => soak::run(options).await,
    }
}
