//! Whatever happens to the host or to its workers, in whatever moment: what it has stored, what it says of its workers and what the machine
//! runs are the same again as soon as it is quiet, and nothing is left of what ran before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use hayloft_testkit::process::Process;
use hayloft_testkit::{Api, Organization, PluginFolder, TestServer, TestServerBuilder, workspace};
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    counting_plugin, mcp_plugin, one_tool, stdio_plugin, stdio_server, stored, text_of, until,
};

/// Numbers by chance that come again with the same seed.
#[derive(Clone)]
struct Chance(u64);

impl Chance {
    /// The seed is `HAYLOFT_TEST_SEED`, else by chance; it is shown when a test fails.
    fn new() -> Self {
        let given = workspace::environment("HAYLOFT_TEST_SEED");
        let seed = given.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            let mut bytes = [0; 8];
            fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        });
        eprintln!("HAYLOFT_TEST_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % end
    }

    fn another(&mut self) -> Self {
        Self(self.below(u64::MAX) | 1)
    }
}

/// A plugin that is swapped, one with a process beside it, one that starts slowly, one that crashes, and one that is built.
fn plugins() -> PluginFolder {
    let plugins = PluginFolder::new();
    counting_plugin(&plugins);
    stdio_plugin(&plugins, "hay-plugin-child").file("server.cjs", stdio_server("'here'"));
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\nexport default defineHayPlugin(() => ({{ name: 'slow', async onStart(ctx) {{ await new Promise((resolve) => setTimeout(resolve, 150)); await ctx.mcp.startLocal('main', () => ({})); }} }}));",
        one_tool("return 'slow';")
    );
    plugins.hay_package("hay-plugin-slow", &["mcp"], &entry);
    mcp_plugin(&plugins, "hay-plugin-frail", &one_tool("process.exit(3);"));
    source(&plugins, 0);
    plugins
}

/// Writes another content of a plugin that is built before it runs.
fn source(plugins: &PluginFolder, number: u64) {
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\nexport default defineHayPlugin(() => ({{ name: 'made', async onStart(ctx) {{ await ctx.mcp.startLocal('main', () => ({})); }} }}));",
        one_tool(&format!("return '{number}';"))
    );
    let manifest = json!({
        "name": "hay-plugin-made", "version": "1.0.0", "type": "module",
        "hay-plugin": { "entry": "./dist/index.js", "displayName": "Made", "category": "tool", "capabilities": ["mcp"] },
        "scripts": { "build": "mkdir -p dist && cp src/index.js dist/index.js" },
    });
    let root = plugins.path().join("hay-plugin-made");
    fs::create_dir_all(root.join("src")).unwrap();
    fs::write(root.join("src/index.js"), entry).unwrap();
    fs::write(root.join("package.json"), manifest.to_string()).unwrap();
}

/// One thing that somebody does. Nothing, if the host went away meanwhile.
async fn act(organization: &Organization, plugins: &PluginFolder, chance: &mut Chance) -> Option<()> {
    let on = json!({ "enabled": true });
    let call = json!({ "arguments": {} });
    let (method, path, body) = match chance.below(16) {
        0..=2 => {
            let save = json!({ "enabled": true, "config": { "n": chance.below(1000) } });
            (Method::PUT, "plugins/hay-plugin-counting", save)
        }
        3 => (Method::DELETE, "plugins/hay-plugin-counting", Value::Null),
        4 => (Method::PUT, "plugins/hay-plugin-child", on),
        5 => (Method::DELETE, "plugins/hay-plugin-child", Value::Null),
        6 => (Method::POST, "tools/counting__n/call", call),
        7 => (Method::POST, "tools/child__act/call", call),
        8 => (Method::POST, "tools/slow__act/call", call),
        9 => (Method::POST, "plugins/hay-plugin-slow/restart", json!({})),
        10 => (Method::PUT, "plugins/hay-plugin-slow", on),
        11 => (Method::POST, "plugins/hay-plugin-slow/stop", json!({})),
        12 => (Method::POST, "plugins/hay-plugin-counting/stop", json!({})),
        13 | 14 => (Method::POST, "tools/frail__act/call", call),
        _ => {
            source(plugins, chance.below(1000));
            (Method::PUT, "plugins/hay-plugin-made", on)
        }
    };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("content-type", "application/json")];
    let request = organization.api.request(&method, &organization.path(path), &headers, body);
    let answer = organization.api.http().try_send(request).await.ok()?;
    assert!(answer.status != 500, "{method} {path}: {}", answer.text());
    Some(())
}

/// Ends one of the workers that are listed, without a word. Nothing, if the host went away meanwhile.
async fn end_one(admin: &Api, host: u32, chance: &mut Chance) -> Option<()> {
    let request = admin.request(&Method::GET, "/v1/workers", &[], "");
    let listed = admin.http().try_send(request).await.ok()?.json();
    let workers = listed["workers"].as_array().map_or(&[][..], Vec::as_slice);
    let pids: Vec<u64> = workers.iter().filter_map(|worker| worker["pid"].as_u64()).collect();
    if !pids.is_empty() {
        let pid = pids[usize::try_from(chance.below(pids.len() as u64)).unwrap()];
        // The number may be somebody else's by now.
        let own = Process::descendants(host).into_iter().find(|process| u64::from(process.pid) == pid);
        own.inspect(|process| process.signal(Signal::KILL));
    }
    Some(())
}

/// Where the three disagree, if they do.
async fn disagreement(server: &TestServer) -> Result<(), String> {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let workers = server.admin().get("/v1/workers").await.expect(200).json()["workers"].take();
    let workers = workers.as_array().unwrap();
    let mut serving = BTreeMap::new();
    let mut pids = BTreeSet::new();
    for worker in workers {
        if worker["workerState"] != "bound"
            || serving
                .insert((text(worker, "org"), text(worker, "pluginId")), worker["revision"].clone())
                .is_some()
        {
            return Err(format!("not everything serves and is alone: {workers:#?}"));
        }
        let pid = worker["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        pids.insert(
            pid.filter(|pid| Process::find(*pid).is_some()).ok_or(format!("no process: {worker:#}"))?,
        );
    }
    let rows = "select organization_id, plugin_id, enabled, state, desired_revision, active_revision, rejected_revision from instances";
    for row in stored(server, rows) {
        let key = (text(&row, "organization_id"), text(&row, "plugin_id"));
        let state = text(&row, "state");
        let fits = match state.as_str() {
            "ready" | "degraded" => {
                row["enabled"] == 1 && serving.remove(&key).as_ref() == Some(&row["active_revision"])
            }
            "disabled" => row["enabled"] == 0 && !serving.contains_key(&key),
            // One that was killed while it started has failed, which nobody but the next call changes.
            "stopped" | "failed" | "backoff" | "quarantined" => {
                row["enabled"] == 1 && !serving.contains_key(&key)
            }
            _ => false,
        };
        let revision = |column: &str| row[column].as_u64().unwrap_or_default();
        let is_decided =
            revision("desired_revision") == revision("active_revision").max(revision("rejected_revision"));
        if !fits || row["enabled"] == 1 && !is_decided {
            return Err(format!("{row} beside {workers:#?}"));
        }
        let listed =
            server.admin().get(&format!("/v1/orgs/{}/plugins/{}", key.0, key.1)).await.expect(200).json();
        if listed["state"] != state {
            return Err(format!("{row} is shown as {}", listed["state"]));
        }
    }
    if !serving.is_empty() {
        return Err(format!("no row of {serving:?}"));
    }
    // Every process is in the jail of one of the workers: the host's own child that it descends from is theirs.
    let all = server.processes();
    let top = |pid: u32| {
        let mut pid = pid;
        while let Some(process) = all.iter().find(|process| process.pid == pid) {
            if process.parent == server.pid() {
                break;
            }
            pid = process.parent;
        }
        pid
    };
    let tops: BTreeSet<u32> = pids.into_iter().map(top).collect();
    if let Some(process) = all.iter().find(|process| !tops.contains(&top(process.pid))) {
        return Err(format!("{process:?} beside {workers:#?}"));
    }
    // What is left of earlier workers and installations is no more, on the disk neither.
    for folder in ["scratch", "packages/.staging"] {
        let entries = fs::read_dir(server.data_folder().join(folder)).into_iter().flatten().flatten();
        let left = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        if let Some(left) =
            left.into_iter().find(|name| !workers.iter().any(|worker| worker["workerId"] == name.as_str()))
        {
            return Err(format!("`{folder}/{left}` is left"));
        }
    }
    Ok(())
}

/// Waits until it is quiet and all agree.
async fn agree(server: &TestServer) {
    let mut last = Ok(());
    let agreed = async {
        loop {
            last = disagreement(server).await;
            if last.is_ok() {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), agreed).await.is_ok();
    assert!(in_time, "they never agree: {}", last.unwrap_err());
}

/// When nothing is left of what a killed host ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    /// With the host: the kernel sees to that.
    AtOnce,
    /// When the next one starts: without a jail nothing but its own mark tells whose a process is.
    WithTheNextStart,
}

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The host is killed.
    Killed,
    /// The host is told to end.
    Terminated,
    /// Everybody stops, and the host goes on.
    Quiet,
}

impl End {
    const fn of(round: usize) -> Self {
        match round % 4 {
            0 => Self::Killed,
            2 => Self::Terminated,
            _ => Self::Quiet,
        }
    }
}

async fn rounds(count: usize, gone: Gone, builder: impl FnOnce(TestServerBuilder) -> TestServerBuilder) {
    let mut chance = Chance::new();
    let plugins = Arc::new(plugins());
    // Few crashes are too many, so that plugins are held back in the middle of it.
    let builder = builder(crate::packages::server(&plugins)).environment("HAYLOFT_LIMITS_CRASHES", "3");
    let mut server = builder.start().await;
    let organizations = [server.organization("One").await, server.organization("Two").await];
    for organization in &organizations {
        for plugin in ["hay-plugin-counting", "hay-plugin-child", "hay-plugin-slow", "hay-plugin-frail"] {
            organization.enable(plugin, json!({})).await;
        }
    }
    agree(&server).await;
    for round in 0..count {
        let (done, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut busy: Vec<_> = (0..6)
            .map(|number| {
                let (organization, plugins) = (organizations[number % 2].clone(), Arc::clone(&plugins));
                let (done, enough, mut chance) = (Arc::clone(&done), Arc::clone(&enough), chance.another());
                tokio::spawn(async move {
                    while !enough.load(Ordering::Relaxed)
                        && act(&organization, &plugins, &mut chance).await.is_some()
                    {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        // One ends a worker now and then: after some of what the others do.
        let (admin, host) = (server.admin(), server.pid());
        busy.push({
            let (done, enough, mut chance) = (Arc::clone(&done), Arc::clone(&enough), chance.another());
            tokio::spawn(async move {
                while !enough.load(Ordering::Relaxed) && end_one(&admin, host, &mut chance).await.is_some() {
                    let next = done.load(Ordering::Relaxed) + 5 + usize::try_from(chance.below(10)).unwrap();
                    while done.load(Ordering::Relaxed) < next
                        && !enough.load(Ordering::Relaxed)
                        && Process::find(host).is_some_and(|host| host.is_alive())
                    {
                        tokio::task::yield_now().await;
                    }
                }
            })
        });
        let some = usize::try_from(5 + chance.below(60)).unwrap();
        until("some things to be done", async || done.load(Ordering::Relaxed) >= some).await;
        tokio::time::sleep(Duration::from_millis(chance.below(100))).await;
        let (end, before) = (End::of(round), server.processes());
        match end {
            End::Killed => drop(server.kill_9().await),
            End::Terminated => drop(server.terminate().await),
            End::Quiet => enough.store(true, Ordering::Relaxed),
        }
        for task in join_all(busy).await {
            task.unwrap();
        }
        if end != End::Quiet {
            if gone == Gone::AtOnce || end == End::Terminated {
                server.assert_nothing_left().await;
            }
            server.restart().await;
            until("the end of what ran before", async || !before.iter().any(Process::is_alive)).await;
        }
        agree(&server).await;
        // What was wished last comes true, and whoever asks is served.
        for organization in &organizations {
            organization.enable("hay-plugin-counting", json!({ "n": round })).await;
            assert_eq!(text_of(organization.call_tool("counting__n", json!({})).await), round.to_string());
            organization.enable("hay-plugin-child", json!({})).await;
            assert_eq!(text_of(organization.call_tool("child__act", json!({})).await), "here");
        }
        agree(&server).await;
    }
    // What crashes waits, then it is held back: that is stored and shown, and nothing of it runs.
    let organization = &organizations[0];
    organization.enable("hay-plugin-frail", json!({})).await;
    for state in ["backoff", "quarantined"] {
        until(state, async || {
            organization.call_tool("frail__act", json!({})).await;
            organization.get("plugins/hay-plugin-frail").await.expect(200).json()["state"] == state
        })
        .await;
        agree(&server).await;
    }
    server.terminate().await;
    server.assert_nothing_left().await;
}

#[tokio::test]
async fn all_agree_whatever_happened() {
    rounds(4, Gone::AtOnce, |builder| builder).await;
}

#[tokio::test]
async fn all_agree_whatever_happened_without_namespaces() {
    rounds(2, Gone::AtOnce, |builder| builder.isolation("C").environment("HAYLOFT_STRONGEST_ISOLATION", "C"))
        .await;
}

#[tokio::test]
async fn all_agree_whatever_happened_without_isolation() {
    rounds(2, Gone::WithTheNextStart, crate::support::unjailed).await;
}
