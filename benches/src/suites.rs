//! What is measured, suite by suite.

mod crowd;
mod egress;
mod generator;
mod jail;
mod neighbours;
mod packages;
mod route;
mod start;
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
    if options.wants(Suite::Neighbours) {
        metrics.extend(neighbours::run(options).await?);
    }
    Ok(metrics)
}
