//! Fifty organizations with ten plugins each, all of whose workers run: what a call takes among them, beside a Hayloft
//! with one worker, and what they cost while nobody calls.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::try_join_all;
use hayloft_sandbox::Tier;
use hayloft_testkit::{Organization, PluginFolder, TestServer};
use tokio::time::sleep;

use crate::callers::{Caller, Tool};
use crate::cpu;
use crate::direct_worker::DirectWorker;
use crate::ground::Ground;
use crate::load::{Burst, burst, quantile};
use crate::memory::{kib_at_rest, kib_of};
use crate::metric::{Metric, Unit};
use crate::options::Options;
use crate::programs::{HELLO, hello_again, hello_tool, organizations, tool_of};

/// The tools of the plugins, by the names that the endpoint gives them.
const TOOLS: [&str; 10] = [
    "n0__hello",
    "n1__hello",
    "n2__hello",
    "n3__hello",
    "n4__hello",
    "n5__hello",
    "n6__hello",
    "n7__hello",
    "n8__hello",
    "n9__hello",
];

/// How long the machine is watched while nobody calls.
const QUIET: Duration = Duration::from_secs(10);

/// A Hayloft and what there is in it.
struct Estate {
    server: TestServer,
    organizations: Vec<Organization>,
    tools: Vec<&'static str>,
    _plugins: PluginFolder,
}

impl Estate {
    async fn start(options: &Options, count: usize, plugins: usize) -> anyhow::Result<Self> {
        let folder = PluginFolder::new();
        let ids: Vec<_> = (0..plugins).map(|number| format!("hay-plugin-n{number}")).collect();
        ids.iter().for_each(|id| hello_again(&folder, id));
        let server = TestServer::builder()
            .binary(&options.hayloft)
            .plugins(folder.path())
            .environment("HAYLOFT_LIMITS_WORKERS_PER_PLUGIN", "1000")
            .environment("HAYLOFT_LIMITS_START_BURST", "1000")
            // No worker is stopped and no connection closed for being idle while others take their turn.
            .environment("HAYLOFT_LIMITS_IDLE", "2h")
            .environment("HAYLOFT_LIMITS_REQUEST_HEAD_TIME", "2h")
            .start()
            .await;
        let organizations = organizations(&server, count, &ids).await?;
        let tools = TOOLS.into_iter().take(plugins).collect();
        Ok(Self { server, organizations, tools, _plugins: folder })
    }

    /// A caller for each tool of each organization. All of them have called once, so all workers run.
    async fn callers(&self) -> anyhow::Result<Vec<Caller>> {
        let mut callers = Vec::new();
        for organization in &self.organizations {
            for name in &self.tools {
                let mut caller =
                    tool_of(&self.server, organization, Tool { name, ..HELLO })?.connect().await?;
                caller.call().await?;
                callers.push(caller);
            }
        }
        Ok(callers)
    }
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let (count, plugins) = (options.count(50, 3), options.count(10, 2));
    let alone = Estate::start(options, 1, 1).await?;
    let mut estate = Estate::start(options, count, plugins).await?;
    estate.server.restart().await;
    let host = [estate.server.pid()];
    let idle = kib_at_rest(&host).await?;
    let mut callers = estate.callers().await?;
    let workers: Vec<_> = estate.server.processes().iter().map(|process| process.pid).collect();
    ensure!(workers.len() >= callers.len(), "{} processes run {} workers", workers.len(), callers.len());
    let running = f64::from(u32::try_from(callers.len())?);
    let memory = kib_at_rest(&workers).await? / running;
    let held = (kib_of(&host)? - idle) / running;
    let quiet = quiet(&estate.server, &workers).await?;

    let mut single = alone.callers().await?;
    let unjailed = Ground::start(options, Tier::Off)?;
    let mut direct = Vec::new();
    for _ in 0..callers.len() {
        let mut worker = DirectWorker::start(&unjailed, &hello_tool()).await?;
        worker.bind().await?;
        direct.push(worker);
    }
    let (mut median, mut alone_median, mut crowd, mut alone_crowd) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut direct_median, mut direct_alone_median) = (Vec::new(), Vec::new());
    // As many at once as there are organizations, each on another worker.
    let mut same = try_join_all((0..count).map(|_| {
        let target = tool_of(&alone.server, &alone.organizations[0], Tool { name: TOOLS[0], ..HELLO });
        async move { target?.connect().await }
    }))
    .await?;
    for _ in 0..options.rounds() {
        for (callers, medians) in [(&mut callers, &mut median), (&mut single, &mut alone_median)] {
            try_join_all(callers.iter_mut().map(Caller::reopen)).await?;
            medians.push(in_turn(callers, options.calls(2_000), Caller::call).await?);
        }
        let call = async |worker: &mut DirectWorker| worker.call(&HELLO).await;
        direct_median.push(in_turn(&mut direct, options.calls(2_000), call).await?);
        direct_alone_median.push(in_turn(&mut direct[..1], options.calls(2_000), call).await?);
        let calls = options.calls(8_000);
        let first = &mut callers[..count];
        crowd.push(burst("many organizations", Some(estate.server.pid()), first, calls).await?);
        alone_crowd.push(burst("one organization", Some(alone.server.pid()), &mut same, calls).await?);
    }
    try_join_all(direct.into_iter().map(DirectWorker::stop)).await?;
    Ok(vec![
        Metric::ratio_of(
            "tenants.call",
            "tool call, 1 caller, in turn at 500 workers of 50 organizations ÷ at the only worker",
            &median,
            &alone_median,
        ),
        Metric::ratio_of(
            "tenants.direct",
            "the same without Hayloft, each by its worker's own channel",
            &direct_median,
            &direct_alone_median,
        ),
        Metric::ratio(
            "tenants.cpu",
            "processor time of the host per call, 50 callers: among 500 workers ÷ at the only worker",
            &crowd,
            &alone_crowd,
            Burst::cpu_per_call,
        ),
        Metric::plain("tenants.worker", "memory of a worker, of 500", Unit::Kibibytes, &[memory]),
        Metric::plain("tenants.host", "memory of the host for each of them", Unit::Kibibytes, &[held]),
        Metric::time_of(
            "tenants.quiet-host",
            "processor time of the host in a second, 500 idle workers",
            &[quiet.0],
        ),
        Metric::time_of("tenants.quiet-workers", "processor time of all of them in a second", &[quiet.1]),
    ])
}

/// The median of so many calls, one at a time, each of the next one.
async fn in_turn<T>(
    all: &mut [T],
    calls: usize,
    mut call: impl AsyncFnMut(&mut T) -> anyhow::Result<()>,
) -> anyhow::Result<Duration> {
    let mut latencies = Vec::with_capacity(calls);
    let places = all.len();
    for number in 0..calls {
        let start = Instant::now();
        call(&mut all[number % places]).await?;
        latencies.push(start.elapsed());
    }
    latencies.sort_unstable();
    Ok(quantile(&latencies, 0.5))
}

/// The processor time of the host, and of all workers together, in a second in which nobody calls.
async fn quiet(server: &TestServer, workers: &[u32]) -> anyhow::Result<(Duration, Duration)> {
    let all = || workers.iter().map(|pid| cpu::time_of(*pid)).sum::<anyhow::Result<Duration>>();
    let (host, together) = (cpu::time_of(server.pid())?, all()?);
    let start = Instant::now();
    sleep(QUIET).await;
    let (host, together) = (cpu::time_of(server.pid())? - host, all()? - together);
    let seconds = start.elapsed().as_secs_f64();
    Ok((host.div_f64(seconds), together.div_f64(seconds)))
}
