//! What idle workers hold: those of fifty organizations, each with its jail, beside as many Node processes that do
//! nothing but wait. Pages that processes share are divided among them, so both are weighed as crowds, one after the
//! other.

use anyhow::ensure;
use hayloft_testkit::NodeService;

use crate::memory::{kib_at_rest, kib_of};
use crate::metric::{Metric, Unit};
use crate::options::Options;
use crate::programs::{
    HELLO_PLUGIN, HELLO_THROUGH_HAYLOFT, baseline_file, organizations, serve_examples, tool_of,
};

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let count = options.count(50, 6);
    let each = f64::from(u32::try_from(count)?);
    let mut server = serve_examples(options).await;
    let organizations = organizations(&server, count, &[HELLO_PLUGIN.to_owned()]).await?;
    let (mut workers, mut floors, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.long_rounds() {
        server.restart().await;
        let host = [server.pid()];
        let before = kib_at_rest(&host).await?;
        for organization in &organizations {
            let target = tool_of(&server, organization, HELLO_THROUGH_HAYLOFT)?;
            target.connect().await?.call().await?;
        }
        let pids: Vec<_> = server.processes().iter().map(|process| process.pid).collect();
        ensure!(pids.len() >= count, "{} processes run {count} workers", pids.len());
        workers.push(kib_at_rest(&pids).await? / each);
        held.push((kib_of(&host)? - before) / each);
        server.terminate().await;

        let script = baseline_file("idle.cjs");
        let idle: Vec<_> = (0..count).map(|_| NodeService::start::<&str>(&script, &[], &[])).collect();
        let pids: Vec<_> = idle.iter().map(NodeService::pid).collect();
        floors.push(kib_at_rest(&pids).await? / each);
    }
    Ok(vec![
        Metric::quotient(
            "idle.worker",
            "memory of an idle worker with its jail, of 50 ÷ a Node process that waits, of 50",
            Unit::Kibibytes,
            &workers,
            &floors,
        ),
        Metric::plain(
            "idle.host",
            "memory of the host for each worker that runs and each session",
            Unit::Kibibytes,
            &held,
        ),
    ])
}
