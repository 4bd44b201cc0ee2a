//! An hour of everything at once: calls, webhooks, sessions that are abandoned, settings that are saved under load,
//! plugins switched on and off, and workers that are killed. What the host holds stays where it was, calls stay as fast
//! as they were, and none is lost but those of the organization whose worker was killed. Run only when it is asked for.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::future::{LocalBoxFuture, try_join_all};
use hayloft_testkit::process::Process;
use hayloft_testkit::{Organization, PluginFolder, TestServer, workspace};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::sleep;

use crate::callers::{Caller, Target, Tool};
use crate::load::quantile;
use crate::memory::{descriptors_of, kib_of};
use crate::metric::{Metric, Unit};
use crate::options::Options;
use crate::programs::{
    ECHO_THROUGH_HAYLOFT, HELLO_PLUGIN, HELLO_THROUGH_HAYLOFT, address_of, organizations, tool_of,
};

const EVERYTHING: &str = "hay-plugin-everything";
const SAVED: &str = "hay-plugin-saved";

/// A plugin with a setting, a tool that tells it, and a route.
const SAVED_ENTRY: &str = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
export default defineHayPlugin(({ register }) => ({
  name: "saved",
  onInitialize() {
    register.config({ n: { type: "number", default: 0 } });
    register.route("POST", "/event", (req, res) => res.status(200).json({ received: req.rawBody.length }));
  },
  async onStart({ config, mcp }) {
    const n = `n is ${config.get("n")}`;
    await mcp.startLocal("main", () => ({
      listTools: () => [{ name: "n", inputSchema: { type: "object" } }],
      callTool: () => n,
    }));
  },
}));
"#;

const N: Tool = Tool { name: "saved__n", arguments: "{}", expected: "n is " };

/// Organizations that live in peace, each with a caller of each kind.
const PEACEFUL: usize = 4;

/// Into how many parts the time is cut.
const PARTS: u32 = 20;

/// Between two calls of a caller: a crowd that thinks, so that there is room for all the rest.
const THINK: Duration = Duration::from_millis(1);
const OPEN_EVERY: Duration = Duration::from_millis(200);
const SAVE_EVERY: Duration = Duration::from_secs(1);
const SWITCH_EVERY: Duration = Duration::from_secs(2);
const KILL_EVERY: Duration = Duration::from_secs(5);

/// What all of them write down.
#[derive(Default)]
struct Book {
    latencies: RefCell<Vec<Duration>>,
    calls: Cell<usize>,
    saves: Cell<usize>,
    switches: Cell<usize>,
    kills: Cell<usize>,
    sessions: Cell<usize>,
}

/// What was seen at the end of a part of the time.
struct Look {
    kib: f64,
    descriptors: f64,
    slow: Duration,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let whole = Duration::from_secs(if options.quick { 20 } else { 3_600 });
    let plugins = PluginFolder::new();
    plugins.hay_package(SAVED, &["config", "mcp", "routes"], SAVED_ENTRY);
    let mut server = TestServer::builder()
        .binary(&options.hayloft)
        .plugins(plugins.path())
        .plugins(workspace::example_plugins())
        .environment("HAYLOFT_LIMITS_WORKERS_PER_PLUGIN", "1000")
        .start()
        .await;
    let names = [HELLO_PLUGIN, EVERYTHING, SAVED].map(str::to_owned);
    let peaceful = organizations(&server, PEACEFUL, &names).await?;
    let [switched, killed] = [server.organization("switched").await, server.organization("killed").await];
    killed.enable(HELLO_PLUGIN, json!({})).await;
    let book = Book::default();
    let end = Instant::now() + whole;
    let mut actors: Vec<LocalBoxFuture<'_, anyhow::Result<()>>> = Vec::new();
    for organization in &peaceful {
        for tool in [HELLO_THROUGH_HAYLOFT, ECHO_THROUGH_HAYLOFT, N] {
            actors.push(Box::pin(calling(tool_of(&server, organization, tool)?, &book, end)));
        }
        actors.push(Box::pin(calling(event_of(&server, organization)?, &book, end)));
    }
    actors.push(Box::pin(opening(tool_of(&server, &peaceful[0], HELLO_THROUGH_HAYLOFT)?, &book, end)));
    actors.push(Box::pin(saving(&peaceful, &book, end)));
    actors.push(Box::pin(switching(&switched, &book, end)));
    actors.push(Box::pin(killing(&server, &killed, &book, end)));
    let (_, looks) =
        futures::future::try_join(try_join_all(actors), looking(&server, &book, whole / PARTS)).await?;
    // Nothing may be left, however often a worker was killed.
    server.terminate().await;
    server.assert_nothing_left().await;
    Ok(figures(&looks, &book))
}

fn event_of(server: &TestServer, organization: &Organization) -> anyhow::Result<Target> {
    Ok(Target::Route {
        address: address_of(server)?,
        method: http::Method::POST,
        path: format!("/v1/plugins/{SAVED}/event"),
        headers: vec![("x-organization-id", organization.id.clone())],
        body: json!({ "note": "x".repeat(2_000) }).to_string().into(),
    })
}

fn more(count: &Cell<usize>) {
    count.set(count.get() + 1);
}

async fn calling(target: Target, book: &Book, end: Instant) -> anyhow::Result<()> {
    let mut caller: Caller = target.connect().await?;
    while Instant::now() < end {
        caller.reopen().await?;
        let start = Instant::now();
        caller.call().await.with_context(|| format!("a call was lost: {target:?}"))?;
        book.latencies.borrow_mut().push(start.elapsed());
        more(&book.calls);
        sleep(THINK).await;
    }
    Ok(())
}

/// Opens sessions that nobody ends.
async fn opening(target: Target, book: &Book, end: Instant) -> anyhow::Result<()> {
    while Instant::now() < end {
        drop(target.connect().await?);
        more(&book.sessions);
        sleep(OPEN_EVERY).await;
    }
    Ok(())
}

/// Saves new settings of a plugin that is being called.
async fn saving(organizations: &[Organization], book: &Book, end: Instant) -> anyhow::Result<()> {
    let mut others = organizations.iter().cycle();
    while Instant::now() < end {
        let Some(organization) = others.next() else { return Ok(()) };
        let body = json!({ "config": { "n": book.saves.get() + 1 } });
        let answer = organization.put(&format!("plugins/{SAVED}"), &body).await;
        ensure!(answer.status == 200, "settings were not saved: {}", answer.text());
        more(&book.saves);
        sleep(SAVE_EVERY).await;
    }
    Ok(())
}

async fn switching(organization: &Organization, book: &Book, end: Instant) -> anyhow::Result<()> {
    while Instant::now() < end {
        let detail = organization.enable(HELLO_PLUGIN, json!({})).await;
        ensure!(detail["state"] == "ready", "a plugin did not start: {detail:#}");
        sleep(SWITCH_EVERY / 2).await;
        let path = format!("plugins/{HELLO_PLUGIN}");
        let answer = organization.put(&path, &json!({ "enabled": false })).await;
        ensure!(answer.status == 200, "a plugin did not stop: {}", answer.text());
        more(&book.switches);
        sleep(SWITCH_EVERY / 2).await;
    }
    Ok(())
}

/// Kills an organization's worker, and calls until there is an answer again. One that crashes often is held back, which a
/// person then lifts.
async fn killing(
    server: &TestServer,
    organization: &Organization,
    book: &Book,
    end: Instant,
) -> anyhow::Result<()> {
    while Instant::now() < end {
        organization.call_tool("hello_tool__hello", json!({ "name": "Ada" })).await;
        let listed = server.admin().get("/v1/workers").await.expect(200).json();
        let workers = listed["workers"].as_array().into_iter().flatten();
        for worker in workers.filter(|worker| worker["org"] == organization.id.as_str()) {
            let pid = worker["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
            if let Some(process) = pid.and_then(Process::find) {
                process.signal(Signal::KILL);
                more(&book.kills);
            }
        }
        sleep(KILL_EVERY).await;
        let path = format!("plugins/{HELLO_PLUGIN}/restart");
        let answer = organization.post(&path, &json!({})).await;
        ensure!(answer.status == 200, "the killed plugin did not start: {}", answer.text());
    }
    Ok(())
}

/// Looks at the host at the end of each part of the time.
async fn looking(server: &TestServer, book: &Book, part: Duration) -> anyhow::Result<Vec<Look>> {
    let mut looks = Vec::new();
    for _ in 0..PARTS {
        sleep(part).await;
        let mut latencies = std::mem::take(&mut *book.latencies.borrow_mut());
        ensure!(!latencies.is_empty(), "nobody was answered for {part:?}");
        latencies.sort_unstable();
        let slow = quantile(&latencies, 0.99);
        let pid = server.pid();
        looks.push(Look { kib: kib_of(&[pid])?, descriptors: descriptors_of(pid)?, slow });
    }
    Ok(looks)
}

/// The last quarter of the time beside the second: the first is what everything needs to find its size.
fn figures(looks: &[Look], book: &Book) -> Vec<Metric> {
    let quarter = looks.len() / 4;
    let (early, late) = (&looks[quarter..2 * quarter], &looks[looks.len() - quarter..]);
    let kib = |looks: &[Look]| looks.iter().map(|look| look.kib).collect::<Vec<_>>();
    let slow = |looks: &[Look]| looks.iter().map(|look| look.slow).collect::<Vec<_>>();
    let most = |looks: &[Look]| looks.iter().map(|look| look.descriptors).fold(0.0, f64::max);
    vec![
        Metric::count("soak.calls", "calls and webhooks, each of them answered", book.calls.get()),
        Metric::count("soak.sessions", "sessions that were opened and abandoned", book.sessions.get()),
        Metric::count("soak.saves", "settings saved under load", book.saves.get()),
        Metric::count("soak.switches", "plugins switched on and off", book.switches.get()),
        Metric::count("soak.kills", "workers killed", book.kills.get()),
        Metric::memory_of(
            "soak.memory",
            "memory of the host: the last quarter of the time − the second",
            &kib(late),
            &kib(early),
        ),
        Metric::ratio_of(
            "soak.slow",
            "99th percentile of all calls: the last quarter of the time ÷ the second",
            &slow(late),
            &slow(early),
        ),
        Metric::plain(
            "soak.descriptors",
            "most descriptors of the host: in the last quarter − in the second",
            Unit::Count,
            &[most(late) - most(early)],
        ),
    ]
}
