//! MCP servers that are programs of their own: the host starts them, keeps them up, and reaches them over whatever they
//! speak.

use std::fs;

use hayloft_testkit::process::Process;
use hayloft_testkit::{Organization, PluginFiles, PluginFolder, TestServer, TestServerBuilder};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{examples, stdio_server, text_of, until, workspace_file};

mod handed_over;

const ECHO: &str = "hay-plugin-legacy-echo";

#[tokio::test]
async fn a_plugin_of_nothing_but_a_server_is_called_like_any_other() {
    let plugins = echo();
    let mut server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable(ECHO, json!({ "prefix": "> " })).await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    assert_eq!(detail["mcpServers"], json!([{ "id": "main", "tools": 1, "connected": true }]));

    let said = text_of(acme.call_tool("legacy_echo__echo", json!({ "message": "test" })).await);
    assert_eq!(said, "> test");
    let mut client = acme.mcp();
    client.open().await;
    let tools = client.list_tools().await;
    let echo = tools.iter().find(|tool| tool["name"] == "legacy_echo__echo").unwrap();
    assert_eq!(echo["title"], "Echo");
    let answer = client.call_tool("legacy_echo__echo", json!({ "message": "once more" })).await;
    assert_eq!(answer.result()["content"][0]["text"], "> once more");

    // Nothing runs for it but its server.
    assert_eq!(programs(&server), ["mcp/index.js"]);
    let worker = worker_of(&server, ECHO).await;
    assert_eq!(worker["secretsInEnvironment"], true, "{worker:#}");
    assert_eq!(worker["mcpServers"], json!(["main"]));

    // New settings come with a new process.
    acme.enable(ECHO, json!({ "prefix": "# " })).await;
    assert_eq!(text_of(acme.call_tool("legacy_echo__echo", json!({ "message": "x" })).await), "# x");
    acme.put(&format!("plugins/{ECHO}"), &json!({ "config": { "prefix": null } })).await.expect(200);
    assert_eq!(text_of(acme.call_tool("legacy_echo__echo", json!({ "message": "x" })).await), "x");

    // The tools are known without any process, and a call brings it back.
    let tools = acme.get("tools").await.expect(200).json();
    server.restart().await;
    assert_eq!(acme.get("tools").await.expect(200).json(), tools);
    assert_eq!(programs(&server), [] as [String; 0]);
    assert_eq!(text_of(acme.call_tool("legacy_echo__echo", json!({ "message": "y" })).await), "y");
    acme.put(&format!("plugins/{ECHO}"), &json!({ "enabled": false })).await.expect(200);
    assert_eq!(programs(&server), [] as [String; 0]);
}

#[tokio::test]
async fn an_idle_server_is_stopped_and_comes_back() {
    let plugins = echo();
    let server =
        TestServer::builder().plugins(plugins.path()).environment("HAYLOFT_LIMITS_IDLE", "1s").start().await;
    let acme = server.organization("Acme").await;
    acme.enable(ECHO, json!({})).await;
    assert_eq!(text_of(acme.call_tool("legacy_echo__echo", json!({ "message": "a" })).await), "a");
    until("the idle server to end", async || programs(&server).is_empty()).await;
    assert_eq!(text_of(acme.call_tool("legacy_echo__echo", json!({ "message": "b" })).await), "b");
}

#[tokio::test]
async fn a_server_that_dies_is_started_again() {
    let plugins = echo();
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable(ECHO, json!({})).await;
    let call = async || acme.call_tool("legacy_echo__echo", json!({ "message": "here" })).await;
    for _ in 0..2 {
        assert_eq!(text_of(call().await), "here");
        let pid = process_of(&server);
        Process::find(pid).expect("the server runs").signal(Signal::KILL);
        until("another process", async || process_of(&server) != pid && programs(&server).len() == 1).await;
    }
    assert_eq!(text_of(call().await), "here");
    // Its jail is the same one: a server that dies takes nothing along.
    assert_eq!(worker_of(&server, ECHO).await["restarts"], 0);
    let logs = acme.get(&format!("plugins/{ECHO}/logs")).await.text();
    assert!(logs.contains("the MCP server `main` is down: its process ended with signal 9"), "{logs}");
}

#[tokio::test]
async fn a_start_command_that_exits_is_told_with_its_reason() {
    let plugins = PluginFolder::new();
    let tools = json!([{ "name": "act", "label": "Act", "input_schema": { "type": "object" } }]);
    manifest_plugin(&plugins, "hay-plugin-broken", "node mcp/index.js", "stdio", &tools)
        .file("mcp/index.js", "console.error('no licence'); process.exit(3)");
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("hay-plugin-broken", json!({})).await;
    assert_eq!(detail["state"], "degraded", "{detail:#}");
    let reason = "the MCP server `main` is down: over stdio: its process ended with exit code 3";
    assert!(detail["lastError"].as_str().unwrap().starts_with(reason), "{detail:#}");
    // What it says that it has is listed although it never ran.
    let listed = acme.get("tools").await.expect(200).json();
    assert_eq!(listed["tools"][0]["name"], "broken__act", "{listed:#}");
    assert_eq!(listed["tools"][0]["title"], "Act", "{listed:#}");

    let answer = acme.call_tool("broken__act", json!({})).await.expect(503);
    let problem = answer.json();
    assert_eq!(
        (&problem["type"], &problem["reason"]),
        (&json!("urn:hayloft:problem:plugin-broke"), &json!("unavailable"))
    );
    assert!(problem["detail"].as_str().unwrap().contains("exit code 3"), "{problem:#}");
    let logs = acme.get("plugins/hay-plugin-broken/logs").await.text();
    assert!(logs.contains("no licence"), "{logs}");
    // The pauses between starts grow.
    until("some starts", async || {
        acme.get("plugins/hay-plugin-broken/logs").await.text().matches("no licence").count() > 3
    })
    .await;
    let logs = acme.get("plugins/hay-plugin-broken/logs").await.text();
    assert!(logs.contains("next start in 0.0 s") && logs.contains("next start in 1."), "{logs}");

    let mut client = acme.mcp();
    client.open().await;
    let answer = client.call_tool("broken__act", json!({})).await;
    assert_eq!(
        (&answer.error()["code"], &answer.error()["data"]["reason"]),
        (&json!(-32050), &json!("unavailable"))
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_told_with_its_reason() {
    let plugins = PluginFolder::new();
    let tools = json!([{ "name": "act", "input_schema": { "type": "object" } }]);
    for (id, transport) in [("hay-plugin-mute", "stdio"), ("hay-plugin-deaf", "http")] {
        manifest_plugin(&plugins, id, "node mcp/index.js", transport, &tools)
            .file("mcp/index.js", "setInterval(() => {}, 1000)");
    }
    let server = TestServer::builder()
        .plugins(plugins.path())
        .environment("HAYLOFT_LIMITS_OPEN_MCP", "1s")
        .start()
        .await;
    let acme = server.organization("Acme").await;
    for (id, tool, reason) in [
        ("hay-plugin-mute", "mute__act", "over stdio: it did not answer within 1.0 s"),
        ("hay-plugin-deaf", "deaf__act", "on port 5000: it did not listen within 1.0 s"),
    ] {
        acme.enable(id, json!({})).await;
        until("the server to be given up", async || {
            let detail = acme.get(&format!("plugins/{id}")).await.json();
            detail["lastError"].as_str().is_some_and(|error| error.contains(reason))
        })
        .await;
        let problem = acme.call_tool(tool, json!({})).await.expect(503).json();
        assert_eq!(problem["reason"], "unavailable", "{problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{problem:#}");
    }
}

#[tokio::test]
async fn tools_that_nobody_declared_are_told() {
    let plugins = PluginFolder::new();
    let tools = json!([{ "name": "gone", "input_schema": { "type": "object" } }]);
    manifest_plugin(&plugins, "hay-plugin-other", "node server.cjs", "stdio", &tools)
        .file("server.cjs", stdio_server("'x'"));
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-other", json!({})).await;
    let listed = acme.get("tools").await.expect(200).json();
    let names: Vec<_> = listed["tools"].as_array().unwrap().iter().map(|tool| &tool["tool"]).collect();
    assert_eq!(names, ["act"]);
    let logs = acme.get("plugins/hay-plugin-other/logs").await.text();
    assert!(logs.contains("it does not have `gone`; nobody declared `act`"), "{logs}");
}

#[tokio::test]
async fn a_real_server_is_reached_over_everything_it_speaks() {
    let ways =
        [("stdio", "stdio"), ("streamableHttp", "http"), ("sse", "sse"), ("streamableHttp", "http|stdio")];
    for (tier, ways) in [("A", &ways[..]), ("B", &ways[1..3])] {
        let plugins = PluginFolder::new();
        for (index, (argument, transport)) in ways.iter().enumerate() {
            everything(&plugins, &format!("hay-plugin-everything{index}"), argument, transport);
        }
        let server = of_tier(&plugins, tier).start().await;
        let (one, two) = (server.organization("One").await, server.organization("Two").await);
        for index in 0..ways.len() {
            adds_up(&one, index).await;
        }
        // The same port in another jail, at the same time.
        adds_up(&two, 1).await;
        let logs = two.get("plugins/hay-plugin-everything1/logs").await.text();
        assert!(logs.contains("on port 5000"), "{tier}: {logs}");
    }
}

/// Switches a plugin of that number on, and calls the tool that adds.
async fn adds_up(organization: &Organization, number: usize) {
    organization.enable(&format!("hay-plugin-everything{number}"), json!({})).await;
    // On a slow machine it takes longer than a save waits.
    let tool = format!("everything{number}__get-sum");
    until("the server's tools", async || tools_of(organization).await.contains(&tool)).await;
    let said = text_of(organization.call_tool(&tool, json!({ "a": 2, "b": 3 })).await);
    assert!(said.contains('5'), "{said}");
}

#[tokio::test]
async fn a_websocket_is_spoken() {
    let plugins = PluginFolder::new();
    manifest_plugin(&plugins, "hay-plugin-socket", "node server.cjs", "websocket", &json!([]))
        .file("server.cjs", include_str!("fixtures/websocket-server.cjs"))
        .tree("node_modules/ws", &workspace_file("node_modules/ws"));
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-socket", json!({})).await;
    assert_eq!(text_of(acme.call_tool("socket__act", json!({ "a": 1 })).await), r#"{"a":1}"#);
    // A session that ends although its process goes on is opened anew.
    assert_eq!(text_of(acme.call_tool("socket__act", json!({ "hangUp": true })).await), "hanging up");
    until("another answer", async || acme.call_tool("socket__act", json!({})).await.status == 200).await;
}

#[tokio::test]
async fn without_a_network_of_its_own_a_jail_has_no_port() {
    let plugins = PluginFolder::new();
    everything(&plugins, "hay-plugin-http", "streamableHttp", "http");
    manifest_plugin(&plugins, "hay-plugin-either", "node server.cjs", "http|stdio", &json!([]))
        .file("server.cjs", stdio_server("'over stdio'"));
    for tier in ["C", "off"] {
        let server = of_tier(&plugins, tier).start().await;
        let acme = server.organization("Acme").await;
        let detail = acme.enable("hay-plugin-http", json!({})).await;
        let told = format!("those of tier {tier} have none; only `stdio` works on this machine");
        assert!(detail["lastError"].as_str().unwrap().contains(&told), "{detail:#}");
        acme.enable("hay-plugin-either", json!({})).await;
        assert_eq!(text_of(acme.call_tool("either__act", json!({})).await), "over stdio");
    }
}

#[tokio::test]
async fn a_server_elsewhere_is_listed_and_says_that_it_cannot_be_reached() {
    let plugins = PluginFolder::new();
    plugins.plugin("hay-plugin-away").file(
        "manifest.json",
        json!({
            "id": "hay-plugin-away", "name": "Away", "version": "1.0.0", "description": "x", "author": "x",
            "type": ["mcp-connector"], "entry": "./index.js",
            "capabilities": { "mcp": {
                "connection": { "type": "remote", "url": "https://mcp.example.com" }, "transport": "http",
                "tools": [{ "name": "act", "label": "Act", "description": "x", "input_schema": { "type": "object" } }],
            } },
        })
        .to_string(),
    );
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-away", json!({})).await;
    let listed = acme.get("tools").await.expect(200).json();
    assert_eq!(listed["tools"][0]["name"], "away__act", "{listed:#}");
    let problem = acme.call_tool("away__act", json!({})).await.expect(503).json();
    assert_eq!(problem["reason"], "unavailable");
    assert!(
        problem["detail"].as_str().unwrap().contains("`mcp.example.com`, port 443, may not be reached"),
        "{problem:#}"
    );
}

/// The sample plugin that is nothing but a server, alone.
fn echo() -> PluginFolder {
    let plugins = PluginFolder::new();
    plugins.link(&examples().join("legacy-echo"));
    plugins
}

/// A plugin whose folder says how its one server is started.
fn manifest_plugin(
    plugins: &PluginFolder,
    id: &str,
    start: &str,
    transport: &str,
    tools: &Value,
) -> PluginFiles {
    let manifest = json!({
        "id": id, "name": id, "version": "1.0.0", "description": "x", "author": "x", "type": ["mcp-connector"],
        "entry": "./dist/index.js",
        "capabilities": { "mcp": {
            "connection": { "type": "local" }, "transport": transport, "startCommand": start, "tools": tools,
        } },
    });
    plugins.plugin(id).file("manifest.json", manifest.to_string())
}

/// A plugin whose server is the protocol's own example.
fn everything(plugins: &PluginFolder, id: &str, argument: &str, transport: &str) {
    let start = format!("node node_modules/@modelcontextprotocol/server-everything/dist/index.js {argument}");
    let files = manifest_plugin(plugins, id, &start, transport, &json!([]));
    // The SDK that the folder came with is not needed, and the sample's own packages have it as a link.
    fs::remove_dir_all(files.root().join("node_modules")).expect("a folder of packages");
    files.tree("node_modules", &examples().join("everything/node_modules"));
}

fn of_tier(plugins: &PluginFolder, tier: &str) -> TestServerBuilder {
    TestServer::builder()
        .plugins(plugins.path())
        .isolation(tier)
        .environment("HAYLOFT_STRONGEST_ISOLATION", tier)
}

async fn tools_of(organization: &Organization) -> Vec<String> {
    let listed = organization.get("tools").await.expect(200).json();
    let names =
        listed["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned());
    names.collect()
}

/// The programs that plugins run at this moment, by their last words.
fn programs(server: &TestServer) -> Vec<String> {
    let programs = server.processes().into_iter().filter(|process| process.command.contains("/node "));
    programs.map(|process| process.command.split(' ').next_back().unwrap_or_default().to_owned()).collect()
}

/// The only program that a plugin runs.
fn process_of(server: &TestServer) -> u32 {
    let found = server.processes().into_iter().find(|process| process.command.contains("/node "));
    found.map(|process| process.pid).unwrap_or_default()
}

async fn worker_of(server: &TestServer, plugin: &str) -> Value {
    let workers = server.admin().get("/v1/workers").await.expect(200).json();
    let own = workers["workers"].as_array().unwrap().iter().find(|worker| worker["pluginId"] == plugin);
    own.unwrap_or_else(|| panic!("{workers:#}")).clone()
}
