//! Many starts at once: workers alone, ten and fifty of them, and a hundred organizations whose first calls reach
//! Hayloft together; beside as many Node processes that do nothing. A start that fails fails the suite.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use hayloft_sandbox::{Jail, Tier};

use super::start::start_nothing;
use crate::direct_worker::{DirectWorker, Plugin};
use crate::ground::Ground;
use crate::metric::Metric;
use crate::options::Options;
use crate::programs::{
    HELLO, HELLO_PLUGIN, HELLO_THROUGH_HAYLOFT, hello_tool, organizations, serve_examples, tool_of,
};

/// What takes its turn in a storm, with what it is beside.
#[derive(Default)]
struct Storm {
    ours: Vec<Duration>,
    nothing: Vec<Duration>,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let strongest = Ground::start(options, Tier::A)?;
    let unjailed = Ground::start(options, Tier::Off)?;
    let plugin = hello_tool();
    strongest.compile(&plugin).await?;
    let few = 10;
    let many = options.count(50, 12);
    let crowd = options.count(100, 16);
    // One for each: all processes of a jail have its limit of memory together.
    let mut empty = Vec::new();
    for _ in 0..crowd {
        empty.push(unjailed.jail(&plugin.root).await?);
    }
    let mut server = serve_examples(options).await;
    let organizations = organizations(&server, crowd, &[HELLO_PLUGIN.to_owned()]).await?;
    let mut storms: [Storm; 3] = Default::default();
    let rounds = options.long_rounds();
    for round in 0..=rounds {
        let mut taken = Vec::new();
        for count in [few, many] {
            taken.push((workers(&strongest, &plugin, count).await?, count));
        }
        server.restart().await;
        let targets =
            organizations.iter().map(|organization| tool_of(&server, organization, HELLO_THROUGH_HAYLOFT));
        let targets = targets.collect::<anyhow::Result<Vec<_>>>()?;
        let mut callers = try_join_all(targets.iter().map(|target| target.connect())).await?;
        let start = Instant::now();
        try_join_all(callers.iter_mut().map(|caller| caller.call())).await?;
        taken.push((start.elapsed(), crowd));
        // Its workers must not be in the way of what comes next.
        server.terminate().await;
        for (storm, (ours, count)) in storms.iter_mut().zip(taken) {
            let nothing = processes(&unjailed, &empty[..count]).await?;
            // The first one only warms up.
            if round > 0 {
                storm.ours.push(ours);
                storm.nothing.push(nothing);
            }
        }
    }
    try_join_all(empty.iter().map(Jail::end)).await?;
    let names = [
        ("storm.ten", "10 jailed workers at once, until all have answered ÷ 10 times `node -e 0` at once"),
        ("storm.fifty", "50 jailed workers at once ÷ 50 times `node -e 0` at once"),
        (
            "storm.organizations",
            "first calls of 100 organizations at once, until all are answered ÷ 100 times `node -e 0` at once",
        ),
    ];
    let figures = names.into_iter().zip(&storms);
    Ok(figures
        .map(|((name, title), storm)| Metric::ratio_of(name, title, &storm.ours, &storm.nothing))
        .collect())
}

/// Workers that start together, until the last of them has answered its first call. Ending them is not counted.
async fn workers(ground: &Ground, plugin: &Plugin, count: usize) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let started = (0..count).map(async |_| {
        let mut worker = DirectWorker::start(ground, plugin).await?;
        worker.bind().await?;
        worker.call(&HELLO).await?;
        anyhow::Ok(worker)
    });
    let started = try_join_all(started).await?;
    let took = start.elapsed();
    try_join_all(started.into_iter().map(DirectWorker::stop)).await?;
    Ok(took)
}

/// `node -e 0` in each of the jails at once, until the last has ended.
async fn processes(ground: &Ground, empty: &[Jail]) -> anyhow::Result<Duration> {
    let start = Instant::now();
    try_join_all(empty.iter().map(|jail| start_nothing(ground, jail))).await?;
    Ok(start.elapsed())
}
