//! Plugins that fail in every way there is: each harms itself alone, ends in the state that fits, and a person reads
//! why. A row of the table is a plugin.

use std::cell::Cell;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future;
use futures::stream::{self, StreamExt as _};
use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::{mcp_plugin, one_tool, text_of, until};

/// Where in the plugin the fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// While its module is loaded.
    Load,
    Initialize,
    Enable,
    Start,
    ValidateAuth,
    ConfigUpdate,
    Disable,
    /// In a tool.
    Call,
    /// When its MCP server is told to end.
    Stop,
}

impl At {
    /// The mark in the plugin's code.
    fn mark(self) -> String {
        format!("/*{self:?}*/")
    }
}

/// What becomes of it.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// It cannot be switched on, for a reason with these words.
    Refused(&'static str),
    /// It is switched on, and then in this state with these words as its last error.
    On(&'static str, &'static str),
    /// The call fails with these words, and the next one is answered.
    CallFails(&'static str),
    /// The call is answered, and a line with these words is in the log.
    Logged(&'static str),
    /// The new settings are not taken over, for a reason with these words, and the old ones serve.
    Rejected(&'static str),
    /// It is off in time, whatever it does.
    Off,
}

/// What each hook and call gets.
const LIMIT: Duration = Duration::from_secs(2);

/// How soon a plugin serves again by itself, its pause after a crash included.
const COMES_BACK: Duration = Duration::from_secs(30);

const FOREVER: &str = "await new Promise(() => {});";
const SPIN: &str = "for (;;);";

/// A frame of the channel, written past the runner.
const FRAME: &str = "const frame = (text, kind = 1) => { const body = Buffer.from(text), head = Buffer.alloc(5); \
    head.writeUInt32BE(body.length); head[4] = kind; fs.writeSync(3, Buffer.concat([head, body])); };";

fn faults() -> Vec<(&'static str, At, String, Ends)> {
    let frame = |text: &str| format!("{FRAME} frame({});", json!(text));
    let hello = |protocol: u32| {
        json!({ "type": "hello", "protocol": protocol, "node": "24.0.0", "runner": "1", "sdk": "1" })
            .to_string()
    };
    let own = str::to_owned;
    vec![
        // Hangs at each hook, with and without a turning event loop.
        ("load-waits", At::Load, own(FOREVER), Ends::Refused("plugin")),
        ("load-spins", At::Load, own(SPIN), Ends::Refused("plugin")),
        ("initialize-waits", At::Initialize, own(FOREVER), Ends::Refused("onInitialize")),
        ("initialize-spins", At::Initialize, own(SPIN), Ends::Refused("onInitialize")),
        ("enable-waits", At::Enable, own(FOREVER), Ends::On("ready", "")),
        ("enable-spins", At::Enable, own(SPIN), Ends::On("failed", "onEnable")),
        ("start-waits", At::Start, own(FOREVER), Ends::On("degraded", "onStart")),
        ("start-spins", At::Start, own(SPIN), Ends::On("failed", "onStart")),
        ("validate-waits", At::ValidateAuth, own(FOREVER), Ends::On("ready", "")),
        ("validate-spins", At::ValidateAuth, own(SPIN), Ends::On("failed", "onValidateAuth")),
        ("update-waits", At::ConfigUpdate, own(FOREVER), Ends::Rejected("onConfigUpdate")),
        ("update-spins", At::ConfigUpdate, own(SPIN), Ends::Rejected("onConfigUpdate")),
        ("disable-waits", At::Disable, own(FOREVER), Ends::Off),
        ("disable-spins", At::Disable, own(SPIN), Ends::Off),
        ("call-waits", At::Call, own(FOREVER), Ends::CallFails("did not answer")),
        ("call-spins", At::Call, own(SPIN), Ends::CallFails("did not answer")),
        ("stop-waits", At::Stop, own(FOREVER), Ends::Off),
        ("stop-spins", At::Stop, own(SPIN), Ends::Off),
        // Lies.
        ("hello-twice", At::Load, frame(&hello(1)), Ends::Refused("`hello` out of turn")),
        ("hello-version", At::Load, frame(&hello(99)), Ends::Refused("version 99 of the protocol")),
        ("ready-early", At::Load, frame(r#"{"type":"ready"}"#), Ends::Refused("`ready` out of turn")),
        ("ready-again", At::Call, frame(r#"{"type":"ready"}"#), Ends::CallFails("`ready` out of turn")),
        // Garbage.
        ("garbage-load", At::Load, frame("oops"), Ends::Refused("a message that cannot be read")),
        ("garbage-call", At::Call, frame("oops"), Ends::CallFails("a message that cannot be read")),
        (
            "garbage-kind",
            At::Call,
            format!("{FRAME} frame('{{}}', 9);"),
            Ends::CallFails("the unknown kind 9"),
        ),
        (
            "garbage-length",
            At::Call,
            own("fs.writeSync(3, Buffer.from([255, 255, 255, 255, 1]));"),
            Ends::CallFails("announces 4294967295 bytes"),
        ),
        // Closed sockets.
        (
            "closed-channel",
            At::Call,
            own("fs.closeSync(3); await new Promise(() => {});"),
            Ends::CallFails(""),
        ),
        (
            "closed-output",
            At::Call,
            own("fs.closeSync(1); fs.closeSync(2); console.log('nobody');"),
            Ends::Logged(""),
        ),
        // Too much.
        (
            "log-flood",
            At::Call,
            own(
                "for (let line = 0; line < 8_000; line++) fs.writeSync(1, `flood ${line} ${'x'.repeat(200)}\\n`);",
            ),
            Ends::Logged("lines"),
        ),
        // Ends.
        ("exit-load", At::Load, own("process.exit(0);"), Ends::Refused("exit code 0")),
        ("exit-initialize", At::Initialize, own("process.exit(0);"), Ends::Refused("exit code 0")),
        ("exit-start", At::Start, own("process.exit(0);"), Ends::On("failed", "exit code 0")),
        ("exit-call", At::Call, own("process.exit(0);"), Ends::CallFails("exit code 0")),
        (
            "fork-and-die",
            At::Call,
            own(
                "for (let n = 0; n < 3; n++) spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' }).unref(); process.exit(7);",
            ),
            Ends::CallFails("exit code 7"),
        ),
        ("abort-call", At::Call, own("process.abort();"), Ends::CallFails("SIGABRT")),
        (
            "ignore-sigterm",
            At::Start,
            own(
                "for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(name, () => {}); setInterval(() => {}, 1000);",
            ),
            Ends::Off,
        ),
    ]
}

/// The plugin of a row. Its fault happens once it is armed: at once, or by the setting or the argument that says so.
fn plugin(folder: &PluginFolder, name: &str, at: At, code: &str) {
    let entry = r#"import fs from "node:fs";
import { spawn } from "node:child_process";
import { defineHayPlugin } from "@hay/plugin-sdk";
/*Load*/
export default defineHayPlugin(({ register }) => ({
  name: "faulty",
  async onInitialize() {
    register.config({ n: { type: "number", default: 0 } });
    /*Initialize*/
  },
  async onEnable() { /*Enable*/ },
  async onStart({ mcp }) {
    await mcp.startLocal("main", () => ({
      listTools: () => [{ name: "act", inputSchema: { type: "object" } }],
      async callTool(name, args) {
        if (args.armed) { /*Call*/ }
        return "done";
      },
      async stop() { /*Stop*/ },
    }));
    /*Start*/
  },
  async onValidateAuth() { /*ValidateAuth*/ return true; },
  async onConfigUpdate({ config }) { if (config.get("n") > 0) { /*ConfigUpdate*/ } },
  async onDisable() { /*Disable*/ },
}));
"#;
    let entry = entry.replace(&at.mark(), code);
    folder.hay_package(&format!("hay-plugin-{name}"), &["config", "mcp"], &entry);
}

async fn detail(acme: &Organization, name: &str) -> Value {
    acme.get(&format!("plugins/hay-plugin-{name}")).await.expect(200).json()
}

/// What a person reads of how a row ended, if that is not as it should be.
async fn tried(acme: &Organization, name: &str, ends: Ends) -> Result<(), String> {
    let path = format!("plugins/hay-plugin-{name}");
    let tool = format!("{}__act", name.replace('-', "_"));
    let enabled = acme.put(&path, &json!({ "enabled": true })).await;
    if let Ends::Refused(words) = ends {
        let said = enabled.text();
        let shown = detail(acme, name).await;
        return match enabled.status == 422 && said.contains(words) && shown["enabled"] == false {
            true => Ok(()),
            false => Err(format!("{}: {said}, and then {shown:#}", enabled.status)),
        };
    }
    let is_so = |shown: &Value, state: &str, words: &str| {
        shown["state"] == state && (words.is_empty() || shown["lastError"].to_string().contains(words))
    };
    // On a busy machine switching on is answered before it is done.
    let (state, words) = if let Ends::On(state, words) = ends { (state, words) } else { ("ready", "") };
    let mut shown = detail(acme, name).await;
    let settled = async {
        while !is_so(&shown, state, words) {
            shown = detail(acme, name).await;
        }
    };
    if tokio::time::timeout(COMES_BACK, settled).await.is_err() {
        return Err(format!("it is not {state}: {shown:#}"));
    }
    if matches!(ends, Ends::On(..)) {
        return Ok(());
    }
    let call = async |armed: bool| acme.call_tool(&tool, json!({ "armed": armed })).await;
    match ends {
        Ends::CallFails(words) => {
            let answer = call(true).await;
            let said = answer.text();
            // Why a worker ended is told when all of it is gone.
            let told = async {
                while !said.contains(words)
                    && !detail(acme, name).await["lastError"].to_string().contains(words)
                {}
            };
            if answer.status == 200 || tokio::time::timeout(Duration::from_secs(10), told).await.is_err() {
                let last = detail(acme, name).await["lastError"].take();
                return Err(format!("{}: {said}, and then {last}", answer.status));
            }
            // Whoever comes next is served before long, by a new worker if need be, and without anybody's help.
            let mut next = call(false).await;
            let served = async {
                while next.status != 200 {
                    next = call(false).await;
                }
            };
            if tokio::time::timeout(COMES_BACK, served).await.is_err() {
                return Err(format!("the next call: {}", next.text()));
            }
            Ok(())
        }
        Ends::Logged(words) => {
            let said = call(true).await;
            let next = call(false).await;
            if said.status != 200 || next.status != 200 {
                return Err(format!("{}, then {}", said.text(), next.text()));
            }
            let logs = async || acme.get(&format!("{path}/logs?tail=1000")).await.text();
            let told = async { while !logs().await.contains(words) {} };
            if tokio::time::timeout(Duration::from_secs(10), told).await.is_err() {
                let logs = logs().await;
                return Err(format!("no such line: {}", &logs[logs.len().saturating_sub(1000)..]));
            }
            Ok(())
        }
        Ends::Rejected(words) => {
            let saved = acme.put(&path, &json!({ "config": { "n": 1 } })).await;
            let shown = detail(acme, name).await;
            let is_old = shown["activeRevision"].as_u64() < shown["revision"].as_u64();
            let next = call(false).await;
            match saved.status == 200 && is_so(&shown, "ready", words) && is_old && next.status == 200 {
                true => Ok(()),
                false => Err(format!("{}: {shown:#}, {}", saved.status, next.text())),
            }
        }
        Ends::Off => {
            let off = acme.delete(&path).await;
            let shown = detail(acme, name).await;
            let is_off = off.status == 200 && shown["enabled"] == false && shown["state"] == "disabled";
            if is_off { Ok(()) } else { Err(format!("{}: {shown:#}", off.status)) }
        }
        Ends::Refused(_) | Ends::On(..) => Ok(()),
    }
}

/// How long the slowest answer about the health of a plugin took while something was done with it.
async fn health_during<T>(acme: &Organization, name: &str, work: impl Future<Output = T>) -> (T, Duration) {
    let mut work = pin!(work);
    let mut slowest = Duration::ZERO;
    let began = Cell::new(Instant::now());
    loop {
        let asked = async {
            began.set(Instant::now());
            let health = acme.get(&format!("plugins/hay-plugin-{name}/health")).await.expect(200).json();
            assert!(health["status"].is_string() && health["testedAt"].is_string(), "{health:#}");
            began.get().elapsed()
        };
        tokio::select! {
            biased;
            // A question that is still out when the work is done is the one that was held up by it.
            done = &mut work => return (done, slowest.max(began.get().elapsed())),
            took = asked => slowest = slowest.max(took),
        }
    }
}

#[tokio::test]
async fn hooks_that_wait_for_ever_harm_their_own_plugin_and_are_told() {
    // They take no time but that of their deadlines.
    each(waits, 3, &[]).await;
}

#[tokio::test]
async fn hooks_that_block_the_event_loop_harm_their_own_plugin_and_are_told() {
    // One that answers nothing any more is ended while its row is tried.
    each(blocks, 2, &[("PING", "500ms"), ("PONG", "500ms"), ("UNRESPONSIVE", "4s")]).await;
}

#[tokio::test]
async fn lies_and_garbage_harm_their_own_plugin_and_are_told() {
    each(lies, 1, &[]).await;
}

#[tokio::test]
async fn ends_and_floods_harm_their_own_plugin_and_are_told() {
    each(|name| !waits(name) && !blocks(name) && !lies(name), 1, &[]).await;
}

fn waits(name: &str) -> bool {
    name.ends_with("-waits")
}

fn blocks(name: &str) -> bool {
    name.ends_with("-spins")
}

fn lies(name: &str) -> bool {
    ["hello-", "ready-", "garbage-"].iter().any(|kind| name.starts_with(kind))
}

/// Tries these rows, so many at once, with these limits beside those of the hooks.
async fn each(wanted: impl Fn(&str) -> bool, at_once: usize, limits: &[(&str, &str)]) {
    let faults: Vec<_> = faults().into_iter().filter(|(name, ..)| wanted(name)).collect();
    let folder = PluginFolder::new();
    mcp_plugin(&folder, "hay-plugin-neighbour", &one_tool("return 'unharmed';"));
    for (name, at, code, _) in &faults {
        plugin(&folder, name, *at, code);
    }
    let hooks = [
        "ON_INITIALIZE",
        "ON_START",
        "ON_VALIDATE_AUTH",
        "ON_CONFIG_UPDATE",
        "ON_DISABLE",
        "TOOL_CALL",
        "DRAIN",
    ];
    let builder = hooks.into_iter().fold(TestServer::builder().plugins(folder.path()), |builder, name| {
        builder.environment(&format!("HAYLOFT_LIMITS_{name}"), &format!("{}s", LIMIT.as_secs()))
    });
    let builder = limits.iter().fold(builder, |builder, (name, value)| {
        builder.environment(&format!("HAYLOFT_LIMITS_{name}"), value)
    });
    let server = builder.start().await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    other.enable("hay-plugin-neighbour", json!({})).await;
    let rows = faults.into_iter().map(|(name, _, _, ends)| row(&server, &acme, &other, name, ends));
    let rows = stream::iter(rows).buffer_unordered(at_once);
    let wrong: Vec<String> = rows.filter_map(future::ready).collect().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    until("the processes to end", async || {
        let workers = server.admin().get("/v1/workers").await.expect(200).json();
        assert_eq!(workers["workers"].as_array().unwrap().len(), 1, "only the neighbour's: {workers:#}");
        let own = workers["workers"][0]["pid"].as_u64().unwrap();
        server
            .processes()
            .iter()
            .filter(|process| process.command.contains("node"))
            .all(|process| u64::from(process.pid) == own)
    })
    .await;
}

/// Tries one row while a neighbour works. Gives what a person reads if it did not end as it should.
async fn row(
    server: &TestServer,
    acme: &Organization,
    other: &Organization,
    name: &str,
    ends: Ends,
) -> Option<String> {
    let trial = health_during(acme, name, tried(acme, name, ends));
    let ((tried, slowest), beside) = future::join(trial, other.call_tool("neighbour__act", json!({}))).await;
    // Whatever the plugin does or does not do, in whichever hook, its health is told: `crowd.health` of the benches
    // says how soon, and here it is far from any deadline of a hook.
    assert!(slowest < LIMIT / 2, "its health while {name} went on: {slowest:?}");
    assert_eq!(text_of(beside), "unharmed", "beside {name}");
    assert_eq!(text_of(other.call_tool("neighbour__act", json!({})).await), "unharmed", "after {name}");
    acme.delete(&format!("plugins/hay-plugin-{name}")).await;
    // Nothing of it is left, its children neither.
    until(&format!("the end of {name}"), async || {
        let workers = server.admin().get("/v1/workers").await.expect(200).json();
        let id = format!("hay-plugin-{name}");
        workers["workers"].as_array().unwrap().iter().all(|worker| worker["pluginId"] != *id)
    })
    .await;
    tried.err().map(|what| format!("{name} ({ends:?}): {what}"))
}
