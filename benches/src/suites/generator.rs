//! What the generator itself takes: calls to an echo in Rust that does next to nothing. What is measured of others
//! cannot be less.

use crate::callers::mcp::USUAL_REVISION;
use crate::callers::{Target, Tool};
use crate::load::{Burst, Subject, interleaved};
use crate::metric::Metric;
use crate::options::Options;

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let tool = Tool { name: "echo", arguments: r#"{"message":"hello"}"#, expected: r#""message":"hello""# };
    let address = crate::echo::start()?;
    let target =
        Target::Mcp { address, path: "/mcp".to_owned(), token: None, revision: USUAL_REVISION, tool };
    let subject = [Subject { name: "the generator's own echo", target, pid: None }];
    let alone = interleaved(&subject, 1, options.calls(4_000), options.rounds()).await?;
    let crowd = interleaved(&subject, 32, options.calls(40_000), options.rounds()).await?;
    Ok(vec![
        Metric::time(
            "generator.call",
            "generator: a call to an echo in Rust, 1 caller",
            &alone[0],
            |burst| burst.quantile(0.5),
        ),
        Metric::time(
            "generator.throughput",
            "generator: time per call, 32 callers",
            &crowd[0],
            Burst::time_per_call,
        ),
    ])
}
