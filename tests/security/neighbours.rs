//! Whatever a plugin uses up, it uses up its own: the next organization's calls succeed, the host answers, and only
//! the worker that went too far ends, with the reason said.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use hayloft_testkit::PluginFolder;
use serde_json::{Value, json};

use crate::harness::{HOSTILE, PATIENCE, Setup, Verdicts, World, until};

in_every_setup!(
    forks_and_threads,
    memory_by_every_way,
    descriptors,
    files_and_inodes,
    blocked_event_loops,
    all_processors,
    floods,
    crash_loops,
);

/// How many calls the neighbour makes meanwhile; all of them must succeed.
const CALLS: usize = 15;

/// A call on a busy machine of two cores, and the host's own word, may take so long.
const BOUND: Duration = Duration::from_secs(5);

/// What the trail says of a worker that took too much memory.
const OUT_OF_MEMORY: &str = "worker.out-of-memory";

/// How much the host may grow while a plugin misbehaves.
const GROWTH: u64 = 96 << 20;

async fn world(setup: Setup) -> World {
    world_with_calls_of(setup, "20s").await
}

/// For attacks of which some never answer, so that each takes as long as its call may. The neighbour's calls have the
/// same deadline, which is [`BOUND`].
async fn world_of_silence(setup: Setup) -> World {
    world_with_calls_of(setup, "5s").await
}

async fn world_with_calls_of(setup: Setup, deadline: &str) -> World {
    World::start_with(setup, |builder| builder.environment("HAYLOFT_LIMITS_TOOL_CALL", deadline)).await
}

fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

/// Runs the attacker's code until it answers or breaks, while the victim works on. Gives the answer's text.
async fn beside(world: &World, verdicts: &mut Verdicts, name: &str, code: &str, input: Value) -> String {
    let attack = world.try_run(&world.attacker, "hostile__run", code, input);
    meanwhile(world, verdicts, name, attack).await.text()
}

/// Waits for whatever the attacker does, while the victim works on.
async fn meanwhile<T>(
    world: &World,
    verdicts: &mut Verdicts,
    name: &str,
    attack: impl Future<Output = T>,
) -> T {
    let before = (resident_bytes(world.server.pid()), world.pids(&world.victim).await.runner);
    let neighbour = async {
        let mut slowest = Duration::ZERO;
        for call in 0..CALLS {
            let begun = Instant::now();
            let answer = world.try_run(&world.victim, "hostile__run", "return 2", Value::Null).await;
            slowest = slowest.max(begun.elapsed());
            if answer.status != 200 {
                return (slowest, Some(format!("the neighbour's call {call} answered {}", answer.text())));
            }
            let begun = Instant::now();
            let health = world.server.api(None).get("/health").await;
            slowest = slowest.max(begun.elapsed());
            if health.status != 200 {
                return (slowest, Some(format!("`/health` answered {}", health.text())));
            }
        }
        (slowest, None)
    };
    let (answer, (slowest, trouble)) = futures::join!(attack, neighbour);
    if let Some(trouble) = trouble {
        verdicts.check(false, || format!("{name}: {trouble}"));
    }
    verdicts.check(slowest < BOUND, || format!("{name}: the slowest answer took {slowest:?}"));
    let after = resident_bytes(world.server.pid());
    verdicts.check(after < before.0 + GROWTH, || {
        format!("{name}: the host grew from {} to {after} bytes", before.0)
    });
    verdicts.check(world.pids(&world.victim).await.runner == before.1, || {
        format!("{name}: the neighbour's worker was replaced")
    });
    answer
}

/// Gives the attacker a new worker, without the wait that crashes earn it, and checks that both work.
async fn renewed(world: &World) {
    world.attacker.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
    world
        .attacker
        .enable(HOSTILE, json!({ "secret": world.secrets[0], "onStart": "", "onConfigUpdate": "" }))
        .await;
    let works =
        async || world.try_run(&world.attacker, "hostile__run", "return 1", Value::Null).await.status == 200;
    until("the worker to be back", PATIENCE, works).await;
    world.victim_works().await;
}

async fn forks_and_threads(setup: Setup) {
    let world = world(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let third = world.server.organization("Third").await;
    let bomb = beside(
        &world,
        &mut verdicts,
        "processes",
        "return await attackLater('processes', 10000)",
        json!(null),
    );
    // A further worker can start meanwhile.
    let start = third.enable(HOSTILE, json!({}));
    let (said, detail) = futures::join!(bomb, start);
    verdicts.check(detail["state"] != "failed" && detail["lastError"].is_null(), || {
        format!("a new worker could not start: {detail:#}")
    });
    let refused = said.contains("EAGAIN") || !said.contains("\\\"succeeded\\\":true");
    // There a limit would count everything of the host's user, and `doctor` says so; the others must work all the same.
    let unlimited = setup == Setup::OrdinaryLandlock;
    verdicts.check(refused || unlimited, || format!("a bomb of processes had no limit: {said}"));
    renewed(&world).await;
    let threads = "
        const { Worker } = require('worker_threads');
        let started = 0, failed = 0;
        for (let i = 0; i < 400; i++) {
          try { const worker = new Worker('setInterval(() => {}, 1000)', { eval: true }); worker.on('error', () => failed++); worker.on('online', () => started++); } catch { failed++; }
          if (i % 20 === 0) await new Promise((done) => setImmediate(done));
        }
        await new Promise((done) => { const look = () => started + failed >= 400 ? done() : setImmediate(look); look(); });
        return { started, failed }";
    let said = beside(&world, &mut verdicts, "threads", threads, json!(null)).await;
    let refused = !said.contains("\\\"failed\\\":0");
    verdicts.check(refused || unlimited, || format!("a bomb of threads had no limit: {said}"));
    world.attacker.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
    world.attacker.enable(HOSTILE, json!({})).await;
    let spawns = "
        const { spawn } = require('child_process');
        let refused = 0;
        for (let i = 0; i < 600; i++) {
          const child = spawn('/bin/sh', ['-c', 'read x'], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
          child.on('error', () => refused++); child.unref();
        }
        await new Promise((done) => setTimeout(done, 0));
        return refused";
    let said = beside(&world, &mut verdicts, "children", spawns, json!(null)).await;
    let refused = !said.contains("{\\\"value\\\":0}");
    verdicts.check(refused || unlimited, || format!("children had no limit: {said}"));
    world.attacker.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
    world.victim_works().await;
    verdicts.done();
    world.end().await;
}

async fn memory_by_every_way(setup: Setup) {
    let world = world(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let home = world.home(&world.attacker).await;
    let bombs = [
        ("heap", "const kept = []; for (;;) kept.push(new Array(100_000).fill(Math.random()))".to_owned()),
        ("buffer", "const kept = []; for (;;) kept.push(Buffer.alloc(32 << 20, 1))".to_owned()),
        ("shared buffer", "const kept = []; for (;;) kept.push(new Uint8Array(new SharedArrayBuffer(32 << 20)).fill(1))".to_owned()),
        ("wasm", "const kept = []; for (;;) { const memory = new WebAssembly.Memory({ initial: 1024, maximum: 1024 }); new Uint8Array(memory.buffer).fill(1); kept.push(memory); }".to_owned()),
        ("native shared", "return await attackLater('memory-shared', 4 * 2 ** 30)".to_owned()),
        ("native private", "return await attackLater('memory-private', 4 * 2 ** 30)".to_owned()),
        ("temporary files", format!("return await attackLater('memory-tmpfs', {}, 4 * 2 ** 30)", json!(home))),
        ("many processes", "const all = []; for (let i = 0; i < 6; i++) all.push(attackLater('memory-private', 600 << 20)); return await Promise.all(all)".to_owned()),
    ];
    let mut ends = 0;
    for (name, code) in &bombs {
        let said = beside(&world, &mut verdicts, name, code, json!(null)).await;
        let unlimited = said.contains("touched 4294967296")
            || said.contains("wrote 4294967296")
            || said.matches("touched 629145600").count() == 6;
        verdicts.check(!unlimited, || format!("{name}: there was no limit: {said}"));
        // The worker ended: then it is said why, in the trail of this organization.
        if !said.contains("\"isError\":false") && said.contains("\"reason\":\"crashed\"") {
            ends += 1;
            until(&format!("{name}: an entry in the trail"), PATIENCE, async || {
                world.attacker.get("audit?limit=1000").await.expect(200).text().matches(OUT_OF_MEMORY).count()
                    == ends
            })
            .await;
        }
        renewed(&world).await;
    }
    verdicts.check(ends > 0, || "no worker ended for want of memory".to_owned());
    let others = world.victim.get("audit?limit=1000").await.expect(200).text();
    verdicts
        .check(!others.contains(OUT_OF_MEMORY), || format!("the neighbour's trail tells of it: {others}"));
    verdicts.done();
    world.end().await;
}

async fn descriptors(setup: Setup) {
    let world = world_of_silence(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let open = "
        const kept = [];
        try { for (let i = 0; i < 100_000; i++) kept.push(fs.openSync('/dev/null')); } catch (error) { globalThis.kept = kept; return error.code; }
        return kept.length";
    let said = beside(&world, &mut verdicts, "descriptors", open, json!(null)).await;
    verdicts.check(said.contains("EMFILE"), || format!("100000 descriptors: {said}"));
    // Sockets to the gate, and many callers at the host's door.
    let connect = "
        const all = [];
        for (let i = 0; i < 500; i++) all.push(new Promise((done) => require('http').get('http://hayloft.internal/v1/plugin-api/health', (response) => { response.on('data', () => {}); response.on('end', () => done(response.statusCode)); }).on('error', (error) => done(error.code))));
        return (await Promise.all(all)).length";
    world.attacker.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
    world.attacker.enable(HOSTILE, json!({})).await;
    beside(&world, &mut verdicts, "connections to the gate", connect, json!(null)).await;
    let address = world.server.url();
    let address = address.trim_start_matches("http://");
    #[expect(clippy::disallowed_methods, reason = "the test is who is in the host's network")]
    let sockets: Vec<_> = (0..400).filter_map(|_| std::net::TcpStream::connect(address).ok()).collect();
    beside(&world, &mut verdicts, "connections to the host", "return 1", json!(null)).await;
    drop(sockets);
    verdicts.done();
    world.end().await;
}

async fn files_and_inodes(setup: Setup) {
    let world = world(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let home = world.home(&world.attacker).await;
    let fill = "
        const at = input + '/fill';
        const fd = fs.openSync(at, 'w');
        const block = Buffer.alloc(1 << 20, 1);
        process.on('SIGXFSZ', () => {});
        let written = 0;
        try { for (; written < 2048; written++) fs.writeSync(fd, block); } catch (error) { return { written, code: error.code }; } finally { fs.closeSync(fd); fs.unlinkSync(at); }
        return { written }";
    let said = beside(&world, &mut verdicts, "one large file", fill, json!(home)).await;
    verdicts.check(said.contains("ENOSPC") || said.contains("EFBIG"), || format!("a file of 2 GiB: {said}"));
    let many = "
        const folder = input + '/many';
        fs.mkdirSync(folder);
        let made = 0, code = null;
        try { for (; made < 60_000; made++) fs.closeSync(fs.openSync(folder + '/' + made, 'w')); } catch (error) { code = error.code; }
        fs.rmSync(folder, { recursive: true });
        return { made, code }";
    let said = beside(&world, &mut verdicts, "many files", many, json!(home)).await;
    if setup.has_namespaces() {
        verdicts.check(said.contains("ENOSPC"), || format!("60000 files: {said}"));
    }
    // The host can write meanwhile and afterwards.
    world
        .victim
        .put(&format!("plugins/{HOSTILE}"), &json!({ "config": { "secret": world.secrets[1] } }))
        .await
        .expect(200);
    renewed(&world).await;
    verdicts.done();
    world.end().await;
}

/// A worker whose event loop is blocked for good is ended, and the next one serves, without anybody's help.
async fn comes_back(world: &World, verdicts: &mut Verdicts, name: &str) {
    let serves = async {
        while world.try_run(&world.attacker, "hostile__run", "return 1", Value::Null).await.status != 200 {}
    };
    let served = tokio::time::timeout(PATIENCE, serves).await;
    verdicts.check(served.is_ok(), || format!("{name}: its worker did not come back by itself"));
}

async fn blocked_event_loops(setup: Setup) {
    let world = World::start_with(setup, |builder| {
        [
            ("TOOL_CALL", "2s"),
            ("ON_START", "2s"),
            ("ON_CONFIG_UPDATE", "2s"),
            ("ROUTE_FIRST_BYTE", "2s"),
            // What is switched off is blocked, and nothing else is waited for then.
            ("ON_DISABLE", "500ms"),
            ("DRAIN", "500ms"),
            ("PING", "500ms"),
            ("PONG", "500ms"),
            ("UNRESPONSIVE", "2s"),
        ]
        .into_iter()
        .fold(builder, |builder, (name, value)| builder.environment(&format!("HAYLOFT_LIMITS_{name}"), value))
    })
    .await;
    let mut verdicts = Verdicts::new(setup);
    let blocks = [
        ("loop", "for (;;);"),
        ("pattern", "/^(a+)+$/.test('a'.repeat(64) + 'b')"),
        ("sleep", "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)"),
        ("child", "require('child_process').execFileSync('/bin/sh', ['-c', 'while :; do :; done'])"),
    ];
    for (name, code) in blocks {
        let said = beside(&world, &mut verdicts, name, code, json!(null)).await;
        verdicts.check(said.contains("\"timeout\"") || said.contains("\"crashed\""), || {
            format!("{name}: {said}")
        });
        if name == "loop" {
            comes_back(&world, &mut verdicts, name).await;
        }
        renewed(&world).await;
    }
    // In a route.
    let begun = Instant::now();
    let headers = [("content-type", "application/json")];
    let body = json!({ "code": "for (;;);" }).to_string();
    let route = world.attacker.route(&http::Method::POST, HOSTILE, "/run", &headers, body);
    let answer = tokio::time::timeout(PATIENCE, route).await.expect("an answer of the host");
    verdicts.check([502, 504].contains(&answer.status.as_u16()), || {
        format!("a blocked route answered {}", answer.status)
    });
    verdicts.check(begun.elapsed() < Duration::from_secs(15), || {
        format!("a blocked route took {:?}", begun.elapsed())
    });
    comes_back(&world, &mut verdicts, "a blocked route").await;
    renewed(&world).await;
    // In the hooks.
    for hook in ["onStart", "onConfigUpdate"] {
        let begun = Instant::now();
        let (path, body) = (format!("plugins/{HOSTILE}"), json!({ "config": { hook: "for (;;);" } }));
        let save = world.attacker.put(&path, &body);
        tokio::time::timeout(PATIENCE, save).await.expect("an answer of the host");
        world.victim_works().await;
        verdicts.check(begun.elapsed() < Duration::from_secs(20), || {
            format!("{hook}: took {:?}", begun.elapsed())
        });
        let told = async || {
            let detail = world.attacker.get(&format!("plugins/{HOSTILE}")).await.text();
            detail.contains(hook)
                && (detail.contains("\"failed\"")
                    || detail.contains("lastError\":\"")
                    || detail.contains("lastError\": \""))
        };
        until(&format!("the reason in `lastError` for {hook}"), PATIENCE, told).await;
        renewed(&world).await;
    }
    verdicts.done();
    world.end().await;
}

async fn all_processors(setup: Setup) {
    let world = world(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let hog = "
        const { Worker } = require('worker_threads');
        try { require('os').setPriority(-20); return 'raised'; } catch {}
        globalThis.hogs = [];
        for (let i = 0; i < 64; i++) { const worker = new Worker('for (;;);', { eval: true, resourceLimits: { maxOldGenerationSizeMb: 4 } }); worker.on('error', () => {}); globalThis.hogs.push(worker); }
        return 'hogging'";
    let said = beside(&world, &mut verdicts, "threads", hog, json!(null)).await;
    verdicts.check(!said.contains("raised"), || "the priority could be raised".into());
    beside(&world, &mut verdicts, "beside 64 threads", "return 1", json!(null)).await;
    world.attacker.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
    verdicts.done();
    world.end().await;
}

async fn floods(setup: Setup) {
    let world = world_of_silence(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let floods = [
        ("log lines", "for (let i = 0; i < 200_000; i++) { fs.writeSync(1, 'flood ' + i + '\\n'); } return 1"),
        ("one line", "const block = Buffer.alloc(1 << 20, 0x61); for (let i = 0; i < 64; i++) { let at = 0; while (at < block.length) { try { at += fs.writeSync(2, block, at); } catch (error) { if (error.code !== 'EAGAIN') throw error; await new Promise(setImmediate); } } } return 1"),
        ("frames", "const frame = (text) => { const body = Buffer.from(text); const head = Buffer.alloc(5); head.writeUInt32BE(body.length); head[4] = 1; return Buffer.concat([head, body]); };
          const pong = frame(JSON.stringify({ type: 'pong', nonce: 1 }));
          for (let i = 0; i < 100_000; i++) { try { fs.writeSync(3, pong); } catch (error) { if (error.code !== 'EAGAIN') throw error; await new Promise(setImmediate); i--; } } return 1"),
    ];
    for (name, code) in floods {
        beside(&world, &mut verdicts, name, code, json!(null)).await;
        renewed(&world).await;
    }
    verdicts.done();
    world.end().await;
}

/// So many crashes, and a plugin is held back.
const CRASHES: usize = 4;

const LOOPING: &str = "hay-plugin-looping";

/// A plugin that runs code at one point of its life: a file in this folder says which code, and where.
fn looping_plugin(plugins: &PluginFolder, plan: &PluginFolder) {
    let entry = r#"import { readFileSync } from "node:fs";
import { defineHayPlugin } from "@hay/plugin-sdk";
function at(point) {
  const plan = JSON.parse(readFileSync("PLAN", "utf8"));
  return plan.at === point ? new Function(plan.code)() : undefined;
}
at("load");
export default defineHayPlugin(({ register }) => ({
  name: "looping",
  onInitialize() {
    register.config({ n: { type: "number", default: 0 } });
    return at("onInitialize");
  },
  onConfigUpdate: () => at("onConfigUpdate"),
  async onStart({ mcp }) {
    await at("onStart");
    await mcp.startLocal("main", () => ({
      listTools: () => [{ name: "act", inputSchema: { type: "object" } }],
      callTool: async () => (await at("call")) ?? "fine",
    }));
  },
}));
"#;
    let entry = entry.replace("PLAN", plan.path().join("plan.json").to_str().unwrap());
    plugins.hay_package(LOOPING, &["mcp", "config"], &entry);
}

fn write_plan(plan: &PluginFolder, at: &str, code: &str) {
    // One file in the place of another, so that nobody reads half of it.
    let new = plan.path().join("new");
    fs::write(&new, json!({ "at": at, "code": code }).to_string()).unwrap();
    fs::rename(new, plan.path().join("plan.json")).unwrap();
}

/// How often the plugin was started after a crash.
async fn restarts(world: &World) -> u64 {
    let metrics = world.server.admin().get("/metrics").await.expect(200).text();
    let own = |line: &&str| {
        line.starts_with("hayloft_worker_restarts_total{") && line.contains(&format!("plugin=\"{LOOPING}\""))
    };
    let line = metrics.lines().find(own);
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// Calls until it is held back, and gives how many answers told of a crash, and how many of a pause.
async fn until_held_back(world: &World, name: &str, verdicts: &mut Verdicts) -> (usize, usize) {
    let (mut crashes, mut pauses) = (0, 0);
    let calls = async {
        loop {
            let answer = world.attacker.call_tool("looping__act", json!({})).await;
            let said = answer.text();
            if answer.status == 503 && answer.json()["reason"] == "quarantined" {
                return;
            }
            if said.contains("until the plugin may start again") {
                pauses += 1;
                let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
                verdicts.check(seconds.is_some_and(|seconds| seconds >= 1), || {
                    format!("{name}: come again when? {said}")
                });
                verdicts.check(crashes >= 2, || format!("{name}: a pause after {crashes} crashes: {said}"));
            } else {
                crashes += 1;
                verdicts.check(answer.json()["reason"] == "crashed", || {
                    format!("{name}: {} {said}", answer.status)
                });
            }
        }
    };
    let is_held = tokio::time::timeout(PATIENCE, calls).await.is_ok();
    verdicts
        .check(is_held, || format!("{name}: never held back, after {crashes} crashes and {pauses} pauses"));
    (crashes, pauses)
}

async fn crash_loops(setup: Setup) {
    let plan = PluginFolder::new();
    write_plan(&plan, "nowhere", "");
    let world = World::start_with(setup, |builder| {
        builder
            .environment("HAYLOFT_LIMITS_CRASHES", &CRASHES.to_string())
            .environment("HAYLOFT_JAIL_PATHS", plan.path().to_str().unwrap())
    })
    .await;
    let mut verdicts = Verdicts::new(setup);
    world.attacker.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
    let others: BTreeSet<u32> = world.server.processes().iter().map(|process| process.pid).collect();
    looping_plugin(&world.plugins, &plan);
    let own = format!("plugins/{LOOPING}");
    until("the plugin to be read", PATIENCE, async || world.attacker.get(&own).await.status == 200).await;
    world.attacker.enable(LOOPING, json!({})).await;
    // At each point of a life, again and again: each start waits longer, and in the end there is none.
    for (at, code) in [
        ("load", "process.exit(1)"),
        ("onInitialize", "process.exit(1)"),
        ("onStart", "process.exit(1)"),
        ("call", "process.exit(1)"),
        ("call", "process.abort()"),
        ("call", "setTimeout(() => { throw new Error('gone') }); return new Promise(() => {})"),
        ("call", "process.kill(process.pid, 'SIGKILL'); return new Promise(() => {})"),
        ("call", "process.kill(process.pid, 'SIGSEGV'); return new Promise(() => {})"),
    ] {
        let name = format!("{at}: {code}");
        // Whoever starts it gives it a fresh start; whoever stops it then has the next call start it.
        let works = async || world.attacker.call_tool("looping__act", json!({})).await.status == 200;
        until(&format!("the plugin to work before {name}"), PATIENCE, works).await;
        world.attacker.post(&format!("{own}/stop"), &json!({})).await.expect(200);
        write_plan(&plan, at, code);
        let (logged, before) = (world.server.stderr().len(), restarts(&world).await);
        let mut own_verdicts = Verdicts::new(setup);
        let held_back = until_held_back(&world, &name, &mut own_verdicts);
        let (crashes, pauses) = meanwhile(&world, &mut verdicts, &name, held_back).await;
        own_verdicts.done();
        // Where the last start failed, its caller is told at once that it is held back.
        let told = if at == "call" { CRASHES } else { CRASHES - 1 };
        verdicts.check(crashes == told, || format!("{name}: {crashes} crashes were told"));
        verdicts.check(pauses > 0, || format!("{name}: no start waited"));
        let detail = world.attacker.get(&own).await.expect(200).json();
        let reason = detail["lastError"].as_str().unwrap_or_default();
        verdicts.check(
            detail["state"] == "quarantined"
                && reason.starts_with(&format!("it failed {CRASHES} times within")),
            || format!("{name}: {detail:#}"),
        );
        let only_others =
            async || world.server.processes().iter().all(|process| others.contains(&process.pid));
        until(&format!("the end of all processes after {name}"), PATIENCE, only_others).await;
        // The first start of each was no repetition. Nothing starts any more, whoever calls.
        for _ in 0..5 {
            world.attacker.call_tool("looping__act", json!({})).await.expect(503);
        }
        let after = restarts(&world).await - before;
        verdicts.check(after == CRASHES as u64 - 1, || format!("{name}: it was started again {after} times"));
        verdicts.check(world.server.stderr().len() < logged + (256 << 10), || {
            format!("{name}: a storm in the log")
        });
        write_plan(&plan, "nowhere", "");
        let started = world.attacker.post(&format!("{own}/restart"), &json!({})).await.expect(200).json();
        verdicts.check(started["state"] == "ready", || format!("after {name}: {started:#}"));
    }
    // New settings that end it are turned down, however often they come, and what served goes on.
    write_plan(&plan, "onConfigUpdate", "process.exit(1)");
    let before = restarts(&world).await;
    for n in 1..=CRASHES + 1 {
        let saved = world.attacker.put(&own, &json!({ "config": { "n": n } })).await.expect(200).json();
        let reason = saved["lastError"].as_str().unwrap_or_default();
        verdicts.check(saved["state"] == "ready" && reason.contains("exit code 1"), || format!("{saved:#}"));
        world.attacker.call_tool("looping__act", json!({})).await.expect(200);
    }
    verdicts.check(restarts(&world).await == before, || String::from("what served was started again"));
    world.victim_works().await;
    verdicts.done();
    world.end().await;
}
