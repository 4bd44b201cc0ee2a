//! Starts of Hayloft itself, from its launch until it says that it serves: without plugins, and with fifty that it
//! knows, beside a Node process that does nothing.

use std::time::{Duration, Instant};

use hayloft_sandbox::Tier;
use hayloft_testkit::{PluginFolder, TestServer};

use super::start::start_nothing;
use crate::ground::Ground;
use crate::load::quantile;
use crate::metric::Metric;
use crate::options::Options;
use crate::programs::{hello_again, hello_tool};

/// Plugins that are known when it is launched.
const PLUGINS: usize = 50;

/// Launches of each kind in a round.
const LAUNCHES: usize = 5;

/// A Hayloft that knows some plugins.
struct Subject {
    server: TestServer,
    _plugins: PluginFolder,
}

impl Subject {
    /// Starts it once, and has it read and ask all of its plugins.
    async fn start(options: &Options, count: usize) -> Self {
        let plugins = PluginFolder::new();
        let ids: Vec<_> = (0..count).map(|number| format!("hay-plugin-known-{number}")).collect();
        ids.iter().for_each(|id| hello_again(&plugins, id));
        let server = TestServer::builder().binary(&options.hayloft).plugins(plugins.path()).start().await;
        let organization = server.organization("bench").await;
        for id in &ids {
            organization.get(&format!("plugins/{id}")).await.expect(200);
        }
        Self { server, _plugins: plugins }
    }

    async fn launch(&mut self) -> Duration {
        self.server.terminate().await;
        let start = Instant::now();
        self.server.restart().await;
        start.elapsed()
    }
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let unjailed = Ground::start(options, Tier::Off)?;
    let empty = unjailed.jail(&hello_tool().root).await?;
    let mut bare = Subject::start(options, 0).await;
    let mut knowing = Subject::start(options, PLUGINS).await;
    let (mut none, mut fifty, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=options.rounds() {
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..LAUNCHES {
            times[0].push(bare.launch().await);
            times[1].push(knowing.launch().await);
            times[2].push(start_nothing(&unjailed, &empty).await?);
        }
        // The first one only warms up.
        if round > 0 {
            for (times, all) in times.iter_mut().zip([&mut none, &mut fifty, &mut nothing]) {
                times.sort_unstable();
                all.push(quantile(times, 0.5));
            }
        }
    }
    bare.server.terminate().await;
    knowing.server.terminate().await;
    empty.end().await?;
    Ok(vec![
        Metric::ratio_of("launch.none", "launch until it serves, no plugins ÷ `node -e 0`", &none, &nothing),
        Metric::ratio_of("launch.fifty", "the same with 50 known plugins ÷ `node -e 0`", &fifty, &nothing),
    ])
}
