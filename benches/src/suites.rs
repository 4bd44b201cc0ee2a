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

/// Runs the suites that were asked for, one after the other.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let mut metrics = Vec::new();
    if options.wants(Suite::Generator) {
        metrics.extend(generator::run(options).await?);
    }
    if options.wants(Suite::ToolCall) {
        metrics.extend(tool_call::run(options).await?);
    }
    if options.wants(Suite::Crowd) {
        metrics.extend(crowd::run(options).await?);
    }
    if options.wants(Suite::Route) {
        metrics.extend(route::run(options).await?);
    }
    if options.wants(Suite::Start) {
        metrics.extend(start::run(options).await?);
    }
    if options.wants(Suite::Warm) {
        metrics.extend(warm::run(options).await?);
    }
    if options.wants(Suite::Jail) {
        metrics.extend(jail::run(options).await?);
    }
    if options.wants(Suite::Egress) {
        metrics.extend(egress::run(options).await?);
    }
    if options.wants(Suite::Packages) {
        metrics.extend(packages::run(options).await?);
    }
    if options.wants(Suite::Launch) {
        metrics.extend(launch::run(options).await?);
    }
    if options.wants(Suite::Reload) {
        metrics.extend(reload::run(options).await?);
    }
    if options.wants(Suite::Idle) {
        metrics.extend(idle::run(options).await?);
    }
    if options.wants(Suite::Storm) {
        metrics.extend(storm::run(options).await?);
    }
    if options.wants(Suite::Recovery) {
        metrics.extend(recovery::run(options).await?);
    }
    if options.wants(Suite::Tenants) {
        metrics.extend(tenants::run(options).await?);
    }
    if options.wants(Suite::Growth) {
        metrics.extend(growth::run(options).await?);
    }
    if options.wants(Suite::Neighbours) {
        metrics.extend(neighbours::run(options).await?);
    }
    if options.wants(Suite::Cycles) {
        metrics.extend(cycles::run(options).await?);
    }
    if options.wants(Suite::Soak) {
        metrics.extend(soak::run(options).await?);
    }
    Ok(metrics)
}
