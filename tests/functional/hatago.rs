//! Plugins that get only the capabilities that they declare: what they keep, what they are told of, what is noted of it.

use std::path::Path;
use std::time::Instant;

use hayloft_testkit::node_service::NodeService;
use hayloft_testkit::{Organization, PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::{examples, stored, text_of, until, workspace_file};

const HELLO: &str = "hatago-hello";
const GREET: &str = "hatago_hello__hello";

/// A plugin whose one tool `act` runs this body with `capabilities`, `args` and `config`.
fn plugin(folder: &PluginFolder, name: &str, capabilities: &[&str], body: &str) {
    let manifest = json!({
        "name": name,
        "version": "1.0.0",
        "engines": { "hatago": "^1.0.0", "node": ">=18" },
        "capabilities": capabilities,
        "entry": { "default": "./index.mjs" },
    });
    let entry = format!(
        r#"export default ({{ config }}) => ({{ server, capabilities }}) => {{
  server.registerTool("act", {{ inputSchema: {{ type: "object" }} }}, async (args) => {{
    const text = await (async () => {{ {body} }})();
    return {{ content: [{{ type: "text", text: String(text) }}] }};
  }});
}};
"#
    );
    folder.plugin(name).file("hatago.plugin.json", manifest.to_string()).file("index.mjs", entry);
}

async fn times(organization: &Organization, name: &str) -> Value {
    let answer = organization.call_tool(GREET, json!({ "name": name })).await.expect(200).json();
    answer["structuredContent"]["times"].clone()
}

async fn used(organization: &Organization) -> Vec<Value> {
    let trail = organization.get("audit").await.expect(200).json();
    let entries = trail["entries"].as_array().unwrap_or_else(|| panic!("no entries in {trail}"));
    entries.iter().filter(|entry| entry["action"] == "capabilities.used").cloned().collect()
}

#[tokio::test]
async fn the_sample_greets_and_keeps_count_for_each_organization() {
    let mut server = TestServer::start(examples()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable(HELLO, json!({ "greeting": "Moin" })).await;
    two.enable(HELLO, json!({})).await;

    let mut agent = one.mcp();
    agent.open().await;
    assert_eq!(agent.tool_names().await, [GREET]);
    let called = agent.call_tool(GREET, json!({ "name": "you" })).await;
    assert_eq!(
        called.result()["structuredContent"],
        json!({ "message": "Moin, you!", "times": 1, "runtime": "node" })
    );
    assert_eq!(times(&one, "you").await, 2);
    assert_eq!(times(&one, "her").await, 1);
    assert_eq!(times(&two, "you").await, 1);

    server.restart().await;
    assert_eq!(times(&one, "you").await, 3);
    assert_eq!(times(&two, "you").await, 2);

    // Switched off it keeps what it knows; purged it does not.
    one.delete(&format!("plugins/{HELLO}")).await.expect(200);
    one.enable(HELLO, json!({})).await;
    assert_eq!(times(&one, "you").await, 4);
    one.delete(&format!("plugins/{HELLO}")).await.expect(200);
    one.delete(&format!("plugins/{HELLO}/configuration")).await.expect(204);
    one.enable(HELLO, json!({})).await;
    assert_eq!(times(&one, "you").await, 1);
    assert_eq!(times(&two, "you").await, 3);
}

#[tokio::test]
async fn settings_that_nothing_declares_are_taken_and_shown_masked() {
    let server = TestServer::start(examples()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable(HELLO, json!({ "greeting": "canary-value", "deep": { "a": [1] } })).await;
    assert_eq!(detail["config"], json!({ "greeting": "••••••••", "deep": "••••••••" }));
    let kept = json!({ "config": { "greeting": "••••••••", "deep": null } });
    let detail = acme.put(&format!("plugins/{HELLO}"), &kept).await.expect(200).json();
    assert_eq!(detail["config"], json!({ "greeting": "••••••••" }));
    let answer = acme.call_tool(GREET, json!({ "name": "you" })).await.expect(200).json();
    assert_eq!(answer["structuredContent"]["message"], "canary-value, you!");
}

#[tokio::test]
async fn a_value_ends_and_too_much_is_refused_with_its_reason() {
    let plugins = PluginFolder::new();
    plugin(
        &plugins,
        "keeper",
        &["kv"],
        r#"const { kv } = capabilities;
           try {
             if (args.get) return await kv.get(args.get);
             if (args.delete) return await kv.delete(args.delete);
             if (args.many) {
               const all = Array.from({ length: args.many }, (_, n) => kv.set("many" + n, "x"));
               const settled = await Promise.allSettled(all);
               return settled.filter(({ status }) => status === "fulfilled").length;
             }
             await kv.set(args.set, args.value ?? "x".repeat(args.size), args.ttl);
             return "kept";
           } catch (error) { return error.message; }"#,
    );
    let builder = TestServer::builder().plugins(plugins.path());
    let builder = builder
        .environment("HAYLOFT_LIMITS_KEPT_VALUES", "400")
        .environment("HAYLOFT_LIMITS_KEPT_BYTES", "1500000");
    let server = builder.start().await;
    let acme = server.organization("Acme").await;
    acme.enable("keeper", json!({})).await;
    let act = async |arguments: Value| text_of(acme.call_tool("keeper__act", arguments).await);

    assert_eq!(act(json!({ "set": "a", "value": "é\u{0}\n", "ttl": 3600 })).await, "kept");
    assert_eq!(act(json!({ "get": "a" })).await, "é\u{0}\n");
    assert_eq!(act(json!({ "set": "soon", "value": "x", "ttl": 1 })).await, "kept");
    until("the value's end", async || act(json!({ "get": "soon" })).await == "null").await;
    act(json!({ "delete": "a" })).await;
    assert_eq!(act(json!({ "get": "a" })).await, "null");

    assert_eq!(act(json!({ "set": "large", "size": 1 << 20 })).await, "kept");
    let refused = act(json!({ "set": "larger", "size": (1 << 20) + 1 })).await;
    assert!(refused.contains("1048577 bytes"), "{refused}");
    let refused = act(json!({ "set": "large2", "size": 1 << 19 })).await;
    assert!(refused.contains("and 1500000 are allowed"), "{refused}");
    // Whoever asks for a great deal at once waits, and gets what the quota leaves.
    assert_eq!(act(json!({ "many": 600 })).await, "399");
    let refused = act(json!({ "set": "one-more", "value": "x" })).await;
    assert!(refused.contains("keeps 400 values"), "{refused}");
    assert_eq!(act(json!({ "set": "many0", "value": "y" })).await, "kept");
    assert_eq!(act(json!({ "get": "many0" })).await, "y");
}

#[tokio::test]
async fn without_the_capability_nothing_is_kept() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "keeper", &["logger"], r#"return await capabilities.kv.get("a");"#);
    // A plugin that asks the host itself, past its own runtime.
    let entry = r#"
import { writeSync } from "node:fs";
export default () => ({ server, capabilities }) => {
  server.registerTool("act", { inputSchema: { type: "object" } }, async ({ message }) => {
    if (!message) return { content: [{ type: "text", text: String(await capabilities.kv.get("a")) }] };
    const payload = Buffer.from(JSON.stringify({ id: 1_000_000, ...message }));
    const header = Buffer.alloc(5);
    header.writeUInt32BE(payload.length);
    header[4] = 1;
    writeSync(3, Buffer.concat([header, payload]));
    return { content: [{ type: "text", text: "sent" }] };
  });
};
"#;
    let manifest = json!({
        "name": "liar", "version": "1.0.0", "engines": { "hatago": "^1.0.0", "node": ">=18" },
        "capabilities": ["logger"], "entry": { "default": "./index.mjs" },
    });
    let liar = plugins.plugin("liar").file("index.mjs", entry);
    let liar = liar.file("hatago.plugin.json", manifest.to_string());
    let builder = TestServer::builder().plugins(plugins.path());
    let mut server = builder.environment("HAYLOFT_LIMITS_AUDIT_PERIOD", "500ms").start().await;
    let acme = server.organization("Acme").await;
    acme.enable("keeper", json!({})).await;
    acme.enable("liar", json!({})).await;
    let act = async |arguments: Value| text_of(acme.call_tool("keeper__act", arguments).await);
    let refused = act(json!({})).await;
    assert!(refused.starts_with("the plugin does not declare the capability `kv`"), "{refused}");

    let send = async |message: Value| {
        assert_eq!(text_of(acme.call_tool("liar__act", json!({ "message": message })).await), "sent");
    };
    send(json!({ "type": "kv", "op": "set", "key": "a", "value": "x" })).await;
    let begun = Instant::now();
    let uses = |name: &str| json!([{ "capability": name, "count": 7_000_000, "denied": 0 }]);
    send(json!({ "type": "reportUse", "since": 0, "uses": uses("made-up") })).await;
    for _ in 0..50 {
        send(json!({ "type": "reportUse", "since": 0, "uses": uses("kv") })).await;
    }
    let lines = async || {
        let lines = used(&acme).await;
        lines.into_iter().filter(|line| line["subject"] == "liar").collect::<Vec<_>>()
    };
    until("all of its reports", async || {
        let counts = lines().await;
        counts.iter().filter_map(|line| line["detail"]["uses"]["kv"]["count"].as_u64()).sum::<u64>()
            == 50 * 7_000_000
    })
    .await;
    // However many reports: one line for each period, and none with a name that it made up.
    let (lines, periods) = (lines().await, begun.elapsed().as_millis() / 500 + 1);
    assert!(lines.len() as u128 <= periods, "{} lines in {periods} periods", lines.len());
    assert!(!Value::from(lines).to_string().contains("made-up"));

    // What it sent was not kept. Once it declares what it does, the same message is.
    let declared = manifest.to_string().replace("logger", "kv");
    liar.file("hatago.plugin.json", declared);
    server.restart().await;
    let kept = async || text_of(acme.call_tool("liar__act", json!({})).await);
    // What it asks for since it was switched on is for a person to grant.
    let pending = async || acme.get("plugins/liar").await.expect(200).json()["pendingPermissions"].take();
    until("the newer version to be in service", async || pending().await != json!([])).await;
    let wish = json!({ "permissions": pending().await });
    acme.api.post(&acme.path("plugins/liar/permissions"), &wish).await.expect(200);
    assert_eq!(kept().await, "null");
    send(json!({ "type": "kv", "op": "set", "key": "a", "value": "x" })).await;
    until("the value to be kept", async || kept().await == "x").await;
}

#[tokio::test]
async fn what_is_used_is_audited_in_sums() {
    let plugins = PluginFolder::new();
    plugins.link(&examples().join("hatago-hello"));
    let mut server = TestServer::start(plugins.path()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable(HELLO, json!({})).await;
    two.enable(HELLO, json!({})).await;
    for _ in 0..5 {
        times(&one, "you").await;
    }
    // The worker tells what it used when it is stopped, and the host writes it down before it ends.
    server.restart().await;
    let lines = used(&one).await;
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&line["actor"], &line["subject"]), (&json!("host"), &json!(HELLO)));
    assert_eq!(line["detail"]["uses"]["kv"], json!({ "count": 10, "denied": 0 }));
    assert_eq!(line["detail"]["uses"]["logger"], json!({ "count": 5, "denied": 0 }));
    assert_eq!(used(&two).await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_was_used_is_told_after_a_sudden_end_of_the_host() {
    let plugins = PluginFolder::new();
    plugins.link(&examples().join("hatago-hello"));
    let mut server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable(HELLO, json!({})).await;
    // What is kept is so before it is told; whatever is used goes on being kept.
    let kept = |server: &TestServer| {
        let rows = stored(server, "select counts from capability_uses");
        let Some(row) = rows.first() else { return 0 };
        let counts: Value = serde_json::from_str(row["counts"].as_str().unwrap()).unwrap();
        counts["logger"][0].as_u64().unwrap_or_default()
    };
    let (mut most, mut least) = (0, 0);
    for _ in 0..2 {
        let before = least;
        until("what was used to be kept", async || {
            times(&acme, "you").await;
            most += 1;
            least = kept(&server);
            least > before
        })
        .await;
    }
    // Nothing is told yet: this is about what would have been told later.
    assert_eq!(used(&acme).await, [] as [Value; 0]);
    server.kill_9().await;

    server.configure(|builder| builder.environment("HAYLOFT_LIMITS_AUDIT_PERIOD", "1s"));
    server.restart().await;
    until("the line about it", async || !used(&acme).await.is_empty()).await;
    let lines = used(&acme).await;
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    let greetings = line["detail"]["uses"]["logger"]["count"].as_u64().unwrap();
    assert!((least..=most).contains(&greetings), "{least} <= {greetings} <= {most}");
    // What was told is told once.
    server.restart().await;
    assert_eq!(used(&acme).await.len(), 1);
}

#[tokio::test]
async fn routes_of_an_application_are_known_once_it_ran_for_the_organization() {
    let plugins = PluginFolder::new();
    let manifest = json!({
        "name": "web", "version": "1.0.0", "engines": { "hatago": "^1.0.0", "node": ">=18" },
        "capabilities": [], "entry": { "default": "./index.mjs" },
    });
    let entry = r#"
export default (options) => ({ app }) => {
  app.get("/hi/:name", (context) => context.text(`${options.config.word ?? "hi"} ${context.req.param("name")}`));
};
"#;
    plugins.plugin("web").file("hatago.plugin.json", manifest.to_string()).file("index.mjs", entry);
    let mut server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("web", json!({ "word": "moin" })).await;
    assert_eq!(detail["routes"], json!([{ "method": "GET", "path": "/hi/:name" }]));
    let answer = acme.route(&Method::GET, "web", "/hi/you", &[], "").await.expect(200);
    assert_eq!(answer.text(), "moin you");
    acme.route(&Method::GET, "web", "/ho", &[], "").await.expect(404);

    // Nothing runs after a restart, and the routes are known all the same.
    server.restart().await;
    let detail = acme.get("plugins/web").await.expect(200).json();
    assert_eq!((&detail["state"], &detail["routes"][0]["path"]), (&json!("stopped"), &json!("/hi/:name")));
    acme.route(&Method::GET, "web", "/ho", &[], "").await.expect(404);
    assert_eq!(acme.get("plugins/web").await.expect(200).json()["state"], "stopped");
    acme.route(&Method::GET, "web", "/hi/you", &[], "").await.expect(200);

    // Other code has other routes, which it tells when it runs.
    let file = plugins.path().join("web/index.mjs");
    rewrite(&file, "/hi/:name", "/hello/:name");
    server.restart().await;
    until("the newer version to be in service", async || {
        acme.route(&Method::GET, "web", "/hello/you", &[], "").await.status == 200
    })
    .await;
    acme.route(&Method::GET, "web", "/hi/you", &[], "").await.expect(404);
    let metadata = acme.get("plugins/web/metadata").await.expect(200).json();
    assert_eq!(metadata["routes"], json!([{ "method": "GET", "path": "/hello/:name" }]));
}

/// The sample, whose manifest leaves no other way to run it than in an isolate.
fn in_an_isolate(folder: &PluginFolder) {
    let sample = examples().join(HELLO);
    let manifest = std::fs::read_to_string(sample.join("hatago.plugin.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["entry"] = json!({ "workers": manifest["entry"]["workers"] });
    let files = folder.plugin(HELLO).file("hatago.plugin.json", manifest.to_string());
    files.tree("src", &sample.join("src"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolate_runs_in_a_jail_of_either_tier() {
    for tier in ["A", "B"] {
        let plugins = PluginFolder::new();
        in_an_isolate(&plugins);
        let server = TestServer::builder()
            .plugins(plugins.path())
            .isolation(tier)
            .environment("HAYLOFT_STRONGEST_ISOLATION", tier)
            .start()
            .await;
        let (one, two) = (server.organization("One").await, server.organization("Two").await);
        one.enable(HELLO, json!({ "greeting": "Moin" })).await;
        two.enable(HELLO, json!({})).await;
        let workers = server.admin().get("/v1/workers").await.expect(200).json();
        let tiers = workers["workers"].as_array().unwrap().iter().map(|worker| &worker["isolation"]);
        assert_eq!(tiers.collect::<Vec<_>>(), [tier, tier], "{workers:#}");

        let mut agent = one.mcp();
        agent.open().await;
        assert_eq!(agent.tool_names().await, [GREET], "{tier}");
        for times in 1..=2 {
            let called = agent.call_tool(GREET, json!({ "name": "you" })).await;
            let expected = json!({ "message": "Moin, you!", "times": times, "runtime": "workers" });
            assert_eq!(called.result()["structuredContent"], expected, "{tier}");
        }
        assert_eq!(times(&two, "you").await, 1, "{tier}");
    }
}

/// Asks past the plugin's own runtime, as any module of Node's can.
const ASK_THE_NETWORK: &str = r#"
  const [net, dns] = [await import("node:net"), await import("node:dns/promises")];
  const said = (host, port) => new Promise((done) => {
    const socket = net.connect(port, host);
    socket.once("data", (data) => { done(String(data).trim()); socket.destroy(); });
    socket.once("error", (error) => done(error.code)).once("end", () => done("ended"));
  });
  const known = (name) => dns.lookup(name).then(({ address }) => address.replace(/\d+\.\d+$/, "*"), ({ code }) => code);
  return JSON.stringify([await known("raw.outside.test"), await known("example.com"), await said("raw.outside.test", 7000)]);"#;

#[tokio::test]
async fn without_the_capability_for_it_the_jail_has_no_network() {
    let fixture = workspace_file("tests/functional/fixtures/outside.cjs");
    let outside = NodeService::start::<&str>(&fixture, &[], &[]);
    let port = outside.announcement()["raw"].as_u64().expect("a port");
    let plugins = PluginFolder::new();
    plugin(&plugins, "with", &["fetch"], ASK_THE_NETWORK);
    plugin(&plugins, "without", &["logger"], ASK_THE_NETWORK);
    // Both are granted the same.
    let grants = json!([format!("raw.outside.test:7000=127.0.0.1:{port}")]);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("hayloft.toml");
    let text = format!("[network.private]\nwith = {grants}\nwithout = {grants}\n");
    std::fs::write(&config, text).expect("a configuration");
    let builder = TestServer::builder().plugins(plugins.path());
    let builder = builder
        .environment("HAYLOFT_CONFIG", config.to_str().expect("a path in UTF-8"))
        .environment("HAYLOFT_NETWORK_DEFAULT", "public");
    let server = builder.start().await;
    let acme = server.organization("Acme").await;
    for (name, expected) in [
        ("with", json!(["198.18.*", "198.18.*", "welcome"])),
        ("without", json!(["ENOTFOUND", "ENOTFOUND", "ENOTFOUND"])),
    ] {
        acme.enable(name, json!({})).await;
        let said = text_of(acme.call_tool(&format!("{name}__act"), json!({})).await);
        assert_eq!(serde_json::from_str::<Value>(&said).expect(&said), expected, "{name}");
    }
}

fn rewrite(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, text.replace(from, to)).unwrap();
}
