//! What `hayloft migrate-plugin` makes of a plugin is built by the host like any other, and does what it did before.

use std::fs;
use std::path::Path;

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::packages::{installed, server};
use crate::support::{examples, hayloft, text_of};

/// What an organization sees and gets of a plugin.
async fn behaviour(
    acme: &Organization,
    id: &str,
    config: &Value,
    calls: &[(&str, Value)],
    routes: &[&str],
) -> Value {
    acme.put(&format!("plugins/{id}"), &json!({ "enabled": true, "config": config })).await.expect(200);
    let detail = acme.get(&format!("plugins/{id}")).await.expect(200).json();
    let mut answers = Vec::new();
    for (tool, arguments) in calls {
        answers.push(text_of(acme.call_tool(tool, arguments.clone()).await));
    }
    let mut served = Vec::new();
    for route in routes {
        let answer = acme.route(&Method::GET, id, route, &[], "").await;
        served.push(json!([answer.status.as_u16(), answer.text()]));
    }
    let tools = acme.get("tools").await.expect(200).json();
    let tools: Vec<Value> = tools["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| json!([tool["name"], tool["inputSchema"]]))
        .collect();
    let mut routes: Vec<String> =
        detail["routes"].as_array().into_iter().flatten().map(Value::to_string).collect();
    routes.sort();
    json!({ "answers": answers, "served": served, "tools": tools, "routes": routes, "version": detail["version"],
        "displayName": detail["displayName"], "config": detail["config"] })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.is_dir() {
            true if entry.file_name() == "node_modules" => {}
            true => copy(&from, &to),
            false => drop(fs::copy(from, to).unwrap()),
        }
    }
}

/// Runs a plugin as it is, migrates it, has the host build it, and runs it again.
async fn same_before_and_after(
    folder: &PluginFolder,
    id: &str,
    config: Value,
    calls: &[(&str, Value)],
    routes: &[&str],
) -> Value {
    let root = folder.path().join(id);
    let before = {
        let server = TestServer::start(folder.path()).await;
        behaviour(&server.organization("Acme").await, id, &config, calls, routes).await
    };
    let done = hayloft(&["migrate-plugin", root.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(root.join("src/index.ts").exists(), "{}", String::from_utf8_lossy(&done.stdout));
    let checked = hayloft(&["plugin", "check", root.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

    let server = server(folder).start().await;
    let acme = server.organization("Acme").await;
    let shown = installed(&acme, id).await;
    let log = acme.get(&format!("plugins/{id}/installation/log")).await.expect(200).json();
    assert_eq!(
        shown["installation"]["state"],
        "installed",
        "{shown:#}\n{}",
        log["text"].as_str().unwrap_or_default()
    );
    let after = behaviour(&acme, id, &config, calls, routes).await;
    assert_eq!(before, after);
    after
}

#[tokio::test]
async fn the_sample_does_what_it_did() {
    let folder = PluginFolder::new();
    let id = "hay-plugin-legacy-echo";
    copy(&examples().join("legacy-echo"), &folder.path().join(id));
    let tool = "legacy_echo__echo";
    let seen = same_before_and_after(
        &folder,
        id,
        json!({ "prefix": "> " }),
        &[(tool, json!({ "message": "hello" }))],
        &[],
    )
    .await;
    assert!(seen["answers"][0].as_str().unwrap().contains("hello"), "{seen:#}");
}

#[tokio::test]
async fn routes_keep_their_environment_and_servers_their_ports() {
    let folder = PluginFolder::new();
    let id = "hay-plugin-orders";
    let manifest = json!({
        "id": id, "name": "Orders", "version": "1.0.0", "description": "x", "author": "x", "type": ["mcp-connector"],
        "entry": "./dist/index.js",
        "configSchema": {
            "key": { "type": "string", "env": "ORDERS_KEY" },
            "tags": { "type": "array", "items": { "type": "string" }, "env": "ORDERS_TAGS", "default": ["a"] },
        },
        "capabilities": {
            "mcp": {
                "connection": { "type": "local" }, "transport": "http", "startCommand": "node mcp/index.cjs",
                "tools": [{ "name": "key", "description": "x", "input_schema": { "type": "object" } }],
            },
            "api": { "routes": [
                { "method": "GET", "path": "/key", "handler": "./handlers/key.js" },
                { "method": "GET", "path": "/own", "handler": "./handlers/key.js", "middleware": ["auth"] },
            ] },
        },
    });
    let server = r#"const http = require("node:http");
const answers = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "x", version: "1" } }),
  "tools/list": () => ({ tools: [{ name: "key", description: "x", inputSchema: { type: "object" } }] }),
  "tools/call": () => ({ content: [{ type: "text", text: `${process.env.ORDERS_KEY} ${process.env.ORDERS_TAGS}` }] }),
};
http.createServer(async (req, res) => {
  if (req.method !== "POST") return res.writeHead(405).end();
  let body = "";
  for await (const chunk of req) body += chunk;
  const { id, method, params } = JSON.parse(body);
  if (id === undefined) return res.writeHead(202).end();
  res.writeHead(200, { "content-type": "application/json" });
  res.end(JSON.stringify({ jsonrpc: "2.0", id, result: answers[method]?.(params) ?? {} }));
}).listen(Number(process.env.PORT), "127.0.0.1");
"#;
    let handler =
        "module.exports = (req, res) => res.send(`${process.env.ORDERS_KEY} ${process.env.ORDERS_TAGS}`);";
    for (name, text) in [
        ("manifest.json", manifest.to_string()),
        ("mcp/index.cjs", server.to_owned()),
        ("handlers/key.js", handler.to_owned()),
        // What the old entry was made into, and nobody asked for.
        ("dist/index.js", String::from("module.exports = {};")),
    ] {
        let path = folder.path().join(id).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let seen = same_before_and_after(
        &folder,
        id,
        json!({ "key": "k" }),
        &[("orders__key", json!({}))],
        &["/key", "/own"],
    )
    .await;
    assert_eq!(seen["answers"][0], "k [\"a\"]");
    assert_eq!(seen["served"][0], json!([200, "k [\"a\"]"]));
    assert_eq!(seen["served"][1][0], 401, "a route for the organization stays closed: {seen:#}");
}
