//! From one organization to a thousand, each with a token and a plugin that is switched on and sleeps: what a call of the
//! first of them takes, what the host pays for it, and what it holds for each of the others.

use anyhow::ensure;
use hayloft_testkit::{Organization, TestServer};

use crate::callers::Caller;
use crate::load::{Burst, burst};
use crate::memory::kib_at_rest;
use crate::metric::{Metric, Unit};
use crate::options::Options;
use crate::programs::{HELLO_PLUGIN, HELLO_THROUGH_HAYLOFT, organizations, serve_examples, tool_of};

/// Organizations whose workers run at once while they are made. All of them together would not fit into a small machine.
const BATCH: usize = 50;

/// Callers of the first organization.
const CALLERS: usize = 32;

struct Subject {
    server: TestServer,
    first: Organization,
}

impl Subject {
    /// A Hayloft with so many organizations. None of their plugins run.
    async fn start(options: &Options, count: usize) -> anyhow::Result<Self> {
        let mut server = serve_examples(options).await;
        let mut first = None;
        let mut made = 0;
        while made < count {
            let batch = organizations(&server, BATCH.min(count - made), &[HELLO_PLUGIN.to_owned()]).await?;
            made += batch.len();
            first = first.or_else(|| batch.into_iter().next());
            // This is what stops the plugins.
            server.restart().await;
        }
        let Some(first) = first else { anyhow::bail!("there is no organization") };
        Ok(Self { server, first })
    }

    async fn callers(&self) -> anyhow::Result<Vec<Caller>> {
        let target = tool_of(&self.server, &self.first, HELLO_THROUGH_HAYLOFT)?;
        let mut callers = Vec::new();
        for _ in 0..CALLERS {
            callers.push(target.connect().await?);
        }
        Ok(callers)
    }
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let count = options.count(1_000, 20);
    let one = Subject::start(options, 1).await?;
    let many = Subject::start(options, count).await?;
    let others = f64::from(u32::try_from(count - 1)?);
    ensure!(many.server.processes().is_empty(), "plugins run that should sleep");
    let (small, large) = (kib_at_rest(&[one.server.pid()]).await?, kib_at_rest(&[many.server.pid()]).await?);
    let (mut few, mut all) = (one.callers().await?, many.callers().await?);
    // Nobody pays for what is only done once.
    burst("one organization", None, &mut few, options.calls(4_000)).await?;
    burst("the first of many", None, &mut all, options.calls(4_000)).await?;
    let [mut alone, mut among, mut alone_crowd, mut among_crowd] = [const { Vec::new() }; 4];
    for _ in 0..options.rounds() {
        let (one, many) = (Some(one.server.pid()), Some(many.server.pid()));
        let (calls, load) = (options.calls(1_000), options.calls(8_000));
        alone.push(burst("one organization", one, &mut few[..1], calls).await?);
        among.push(burst("the first of many", many, &mut all[..1], calls).await?);
        alone_crowd.push(burst("one organization", one, &mut few, load).await?);
        among_crowd.push(burst("the first of many", many, &mut all, load).await?);
    }
    Ok(vec![
        Metric::ratio(
            "growth.call",
            "tool call, 1 caller: 1,000 organizations ÷ 1 organization",
            &among,
            &alone,
            |burst| burst.quantile(0.5),
        ),
        Metric::ratio(
            "growth.cpu",
            "processor time of the host per call, 32 callers: 1,000 organizations ÷ 1",
            &among_crowd,
            &alone_crowd,
            Burst::cpu_per_call,
        ),
        Metric::plain(
            "growth.memory",
            "memory of the host for each idle organization with a plugin",
            Unit::Kibibytes,
            &[(large - small) / others],
        ),
    ])
}
