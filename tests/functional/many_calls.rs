//! Many calls at once: each has an outcome of its own, no organization stands in another's way, and a call that nobody
//! waits for any more is told so.

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::{examples, mcp_plugin, one_tool, unjailed, until};

/// A server whose calls wait for each other: none ends before as many as `count` says run at the same time. What else it
/// says, it says at once.
const MEETING: &str = r#"(() => {
  const waiting = [];
  return {
    listTools: () => [
      { name: "meet", inputSchema: { type: "object", properties: { count: { type: "number" } }, required: ["count"] } },
      { name: "refuse", inputSchema: { type: "object" } },
    ],
    callTool: (name, { count, label }) => {
      if (name === "refuse") return { content: [], isError: true };
      return new Promise((resolve) => {
        waiting.push(() => resolve(String(label)));
        if (waiting.length === count) for (const go of waiting.splice(0)) go();
      });
    },
  };
})()"#;

/// A tool that never answers by itself and says how its call ended.
const STUCK: &str = r#"{
  listTools: () => [{ name: "act", inputSchema: { type: "object" } }],
  callTool: (name, { label }, extra) => new Promise((resolve) => {
    ctx.logger.info(`began ${label}`);
    extra.signal.addEventListener("abort", () => { ctx.logger.info(`let go of ${label}`); resolve("late"); });
  }),
}"#;

async fn logged(organization: &Organization, plugin: &str, text: &str) {
    until(text, async || {
        organization.get(&format!("plugins/{plugin}/logs?tail=1000")).await.text().contains(text)
    })
    .await;
}

#[tokio::test]
async fn calls_of_a_batch_run_at_once_and_answer_in_their_order() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-meeting", MEETING);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-meeting", json!({})).await;
    let meet =
        |label: usize| json!({ "name": "meeting__meet", "arguments": { "count": 50, "label": label } });
    let mut calls: Vec<Value> = (0..50).map(meet).collect();
    calls.insert(10, json!({ "name": "meeting__nothing" }));
    calls.insert(20, json!({ "name": "meeting__meet", "arguments": {} }));
    calls.insert(30, json!({ "name": "meeting__refuse" }));
    let answer = acme.post("tools/call", &json!({ "calls": calls })).await.expect(200).json();
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 53);
    assert_eq!(results[10]["error"]["type"], "urn:hayloft:problem:unknown-tool");
    assert_eq!(results[20]["error"]["status"], 422);
    assert_eq!(results[20]["error"]["problems"][0]["at"], "arguments");
    assert_eq!(results[30]["result"]["isError"], true);
    let labels: Vec<_> =
        results.iter().filter_map(|outcome| outcome["result"]["content"][0]["text"].as_str()).collect();
    let expected: Vec<_> = (0..50).map(|label| label.to_string()).collect();
    assert_eq!(labels, expected);

    let too_many = vec![json!({ "name": "meeting__refuse" }); 101];
    acme.post("tools/call", &json!({ "calls": too_many })).await.expect(422);
    let agent = server.api(Some(&acme.create_token("agent").await));
    let one = json!({ "calls": [{ "name": "meeting__refuse" }] });
    agent.post(&acme.path("tools/call"), &one).await.expect(200);
    let stranger = server.organization("Other").await;
    stranger.api.post(&acme.path("tools/call"), &one).await.expect(404);
}

#[tokio::test]
async fn an_organization_with_too_many_calls_waits_alone_and_is_told_when_to_come_back() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-stuck", STUCK);
    let builder = TestServer::builder().plugins(plugins.path()).plugins(examples());
    let builder = builder.environment("HAYLOFT_LIMITS_CALLS_AT_ONCE", "2");
    let server = builder.environment("HAYLOFT_LIMITS_CALLS_WAITING", "1").start().await;
    let (busy, quiet) = (server.organization("Busy").await, server.organization("Quiet").await);
    busy.enable("hay-plugin-stuck", json!({})).await;
    busy.enable("hay-plugin-hello-tool", json!({})).await;
    quiet.enable("hay-plugin-hello-tool", json!({})).await;
    let call = |label: &'static str| {
        let busy = busy.clone();
        tokio::spawn(async move { busy.call_tool("stuck__act", json!({ "label": label })).await })
    };
    let running = [call("one"), call("two")];
    logged(&busy, "hay-plugin-stuck", "began one").await;
    logged(&busy, "hay-plugin-stuck", "began two").await;
    let waiting = call("three");
    let metrics = server.admin();
    until("the third to wait", async || {
        metrics.get("/metrics").await.text().contains("hayloft_tool_calls_waiting 1")
    })
    .await;

    let refused = busy.call_tool("hello_tool__hello", json!({ "name": "Ada" })).await.expect(503);
    assert_eq!(refused.json()["type"], "urn:hayloft:problem:too-many-calls");
    let pause: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&pause), "{pause}");
    quiet.call_tool("hello_tool__hello", json!({ "name": "Ada" })).await.expect(200);

    // A client that hangs up gives its place up, and its call is told.
    let [first, second] = running;
    first.abort();
    logged(&busy, "hay-plugin-stuck", "let go of one").await;
    logged(&busy, "hay-plugin-stuck", "began three").await;
    waiting.abort();
    second.abort();
    logged(&busy, "hay-plugin-stuck", "let go of three").await;
    logged(&busy, "hay-plugin-stuck", "let go of two").await;
    busy.call_tool("hello_tool__hello", json!({ "name": "Ada" })).await.expect(200);
}

#[tokio::test]
async fn a_call_that_is_cancelled_while_its_plugin_starts_gives_its_turn_back() {
    let (plugins, folder) = (PluginFolder::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("go");
    std::fs::write(&file, "").unwrap();
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';
         import {{ existsSync }} from 'node:fs';
         export default defineHayPlugin(() => ({{
           name: 'slow',
           async onStart(ctx) {{
             ctx.logger.info(`start ${{existsSync({file:?})}}`);
             while (!existsSync({file:?})) await new Promise((go) => setTimeout(go, 10));
             await ctx.mcp.startLocal('main', () => ({}));
           }},
         }}));",
        one_tool("return 'done';")
    );
    plugins.hay_package("hay-plugin-slow", &["mcp"], &entry);
    let builder = unjailed(TestServer::builder().plugins(plugins.path()).plugins(examples()));
    let mut server = builder.environment("HAYLOFT_LIMITS_CALLS_AT_ONCE", "1").start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-slow", json!({})).await;
    acme.enable("hay-plugin-hello-tool", json!({})).await;
    std::fs::remove_file(&file).unwrap();
    server.restart().await;
    let mut agent = acme.mcp();
    agent.open().await;
    let id = json!("the slow one");
    let call = agent.request_as(&id, "tools/call", json!({ "name": "slow__act", "arguments": {} }));
    let cancel = async {
        logged(&acme, "hay-plugin-slow", "start false").await;
        agent.notify("notifications/cancelled", json!({ "requestId": id })).await;
    };
    tokio::select! {
        _ = call => panic!("the plugin cannot have started"),
        () = cancel => {}
    }
    let hello = acme.call_tool("hello_tool__hello", json!({ "name": "Ada" }));
    let hello = tokio::time::timeout(std::time::Duration::from_secs(20), hello).await;
    hello.expect("a turn while the plugin still starts").expect(200);
    std::fs::write(&file, "").unwrap();
    acme.call_tool("slow__act", json!({})).await.expect(200);
}

#[tokio::test]
async fn a_deadline_and_a_batch_that_is_given_up_reach_the_plugin() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-stuck", STUCK);
    let builder = TestServer::builder().plugins(plugins.path());
    let server = builder.environment("HAYLOFT_LIMITS_TOOL_CALL", "2s").start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-stuck", json!({})).await;
    acme.call_tool("stuck__act", json!({ "label": "one" })).await.expect(504);
    logged(&acme, "hay-plugin-stuck", "let go of one").await;

    let batch = tokio::spawn({
        let acme = acme.clone();
        let call = |label| json!({ "name": "stuck__act", "arguments": { "label": label } });
        let calls = json!({ "calls": [call("two"), call("three")] });
        async move { acme.api.send(&Method::POST, &acme.path("tools/call"), &[JSON], calls.to_string()).await }
    });
    logged(&acme, "hay-plugin-stuck", "began two").await;
    logged(&acme, "hay-plugin-stuck", "began three").await;
    batch.abort();
    logged(&acme, "hay-plugin-stuck", "let go of two").await;
    logged(&acme, "hay-plugin-stuck", "let go of three").await;
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// Counts its calls, and has a tool of each kind.
const COUNTING: &str = r#"(() => {
  let calls = 0;
  const named = (name, more) => ({ name, inputSchema: { type: "object" }, ...more });
  return {
    listTools: () => [
      named("read", { annotations: { readOnlyHint: true } }),
      named("declared", { _meta: { "hayloft/cacheSeconds": 60 } }),
      named("write", { annotations: { idempotentHint: true } }),
      named("fail", { annotations: { readOnlyHint: true } }),
    ],
    callTool: (name) => ({ content: [{ type: "text", text: String(++calls) }], isError: name === "fail" }),
  };
})()"#;

#[tokio::test]
async fn results_of_reading_tools_are_kept_where_somebody_wants_it() {
    let plugins = PluginFolder::new();
    let entry = format!(
        r#"import {{ defineHayPlugin }} from "@hay/plugin-sdk";
export default defineHayPlugin(({{ register }}) => ({{
  name: "counting",
  onInitialize() {{ register.config({{ n: {{ type: "number", default: 0 }} }}); }},
  async onStart(ctx) {{ await ctx.mcp.startLocal("main", () => ({COUNTING})); }},
}}));
"#
    );
    plugins.hay_package("hay-plugin-counting", &["config", "mcp"], &entry);
    let server = TestServer::start(plugins.path()).await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    for organization in [&acme, &other] {
        organization.enable("hay-plugin-counting", json!({})).await;
    }
    let call = async |organization: &Organization, tool: &str, arguments: Value| -> (u64, bool) {
        let name = format!("counting__{tool}");
        let result = organization.call_tool(&name, arguments).await.expect(200).json();
        let calls = result["content"][0]["text"].as_str().unwrap().parse().unwrap();
        (calls, result["_meta"]["hayloft/cache"]["ageSeconds"].is_u64())
    };
    // Off unless somebody switches it on.
    assert_eq!(acme.get("tools/cache").await.expect(200).json(), json!({ "enabled": false, "chosen": null }));
    assert_ne!(call(&acme, "read", json!({})).await.0, call(&acme, "read", json!({})).await.0);
    let agent = server.api(Some(&acme.create_token("agent").await));
    agent.put(&acme.path("tools/cache"), &json!({ "enabled": true })).await.expect(403);
    let on = acme.put("tools/cache", &json!({ "enabled": true })).await.expect(200).json();
    assert_eq!(on, json!({ "enabled": true, "chosen": true }));

    let kept = async |tool: &str, arguments: Value| {
        // What is told of the tools right after a start may forget the first result.
        until("a kept result", async || call(&acme, tool, arguments.clone()).await.1).await;
        call(&acme, tool, arguments).await.0
    };
    let first = kept("read", json!({ "a": 1, "b": 2 })).await;
    assert_eq!(call(&acme, "read", json!({ "b": 2, "a": 1 })).await, (first, true));
    assert!(!call(&acme, "read", json!({ "a": 1 })).await.1);
    kept("declared", json!({})).await;
    for tool in ["write", "fail"] {
        call(&acme, tool, json!({})).await;
        assert!(!call(&acme, tool, json!({})).await.1, "{tool}");
    }
    assert!(!call(&other, "read", json!({ "a": 1, "b": 2 })).await.1);
    let metrics = server.admin().get("/metrics").await.text();
    assert!(metrics.contains("hayloft_cache_hits_total") && metrics.contains("hayloft_cache_misses_total"));

    // Other settings, and even the old ones saved again, are another question.
    for n in [1, 0] {
        acme.enable("hay-plugin-counting", json!({ "n": n })).await;
        assert!(!call(&acme, "read", json!({ "a": 1, "b": 2 })).await.1, "{n}");
        kept("read", json!({ "a": 1, "b": 2 })).await;
    }
    // Off and on again is the same revision, and nothing of before is left.
    acme.delete("plugins/hay-plugin-counting").await.expect(200);
    acme.put("plugins/hay-plugin-counting", &json!({ "enabled": true })).await.expect(200);
    assert!(!call(&acme, "read", json!({ "a": 1, "b": 2 })).await.1);

    kept("read", json!({})).await;
    let off = acme.put("tools/cache", &json!({ "enabled": false })).await.expect(200).json();
    assert_eq!(off, json!({ "enabled": false, "chosen": false }));
    assert!(!call(&acme, "read", json!({})).await.1);
}

#[tokio::test]
async fn a_choice_survives_a_restart_and_beats_the_operator() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-reading", &one_tool("return 'x';"));
    let builder = TestServer::builder().plugins(plugins.path()).environment("HAYLOFT_CACHE_RESULTS", "on");
    let mut server = builder.start().await;
    let acme = server.organization("Acme").await;
    assert_eq!(acme.get("tools/cache").await.json(), json!({ "enabled": true, "chosen": null }));
    acme.put("tools/cache", &json!({ "enabled": false })).await.expect(200);
    server.terminate().await;
    server.restart().await;
    assert_eq!(acme.get("tools/cache").await.json(), json!({ "enabled": false, "chosen": false }));
    let default = acme.put("tools/cache", &json!({ "enabled": null })).await.expect(200).json();
    assert_eq!(default, json!({ "enabled": true, "chosen": null }));
}
