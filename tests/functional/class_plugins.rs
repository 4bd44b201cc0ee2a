//! Plugins that are classes: everything of theirs is an organization's own, and both of their names lead to them.

use hayloft_testkit::{PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::{examples, text_of};

const ID: &str = "simple-http-test";
const NPM_NAME: &str = "@hay%2Fplugin-simple-http-test";

#[tokio::test]
async fn the_sample_answers_by_all_of_its_names() {
    let plugins = PluginFolder::new();
    plugins.link(&examples().join("class-http"));
    let mut server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable(NPM_NAME, json!({ "greeting": "Moin" })).await;
    assert_eq!((&detail["id"], &detail["aliases"]), (&json!(ID), &json!(["@hay/plugin-simple-http-test"])));
    for name in [ID, NPM_NAME] {
        let detail = acme.get(&format!("plugins/{name}")).await.expect(200).json();
        assert_eq!((&detail["id"], &detail["enabled"]), (&json!(ID), &json!(true)), "{name}");
        assert_eq!(
            detail["routes"],
            json!([{ "method": "GET", "path": "/hello" }, { "method": "POST", "path": "/echo" }])
        );
        let answer = acme.route(&Method::GET, name, "/hello?name=you", &[], "").await.expect(200);
        assert_eq!(answer.json(), json!({ "message": "Moin, you!" }));
        acme.get(&format!("plugins/{name}/metadata")).await.expect(200);
        let log = acme.get(&format!("plugins/{name}/installation/log")).await.expect(200).json();
        assert!(!log["text"].as_str().unwrap().is_empty(), "{name}: {log}");
        assert!(!acme.get(&format!("plugins/{name}/logs")).await.expect(200).json()["lines"].is_null());
    }
    acme.get("plugins/plugin-simple-http-test").await.expect(404);
    let body = r#"{ "a" : 1 }"#;
    let answer = acme.route(&Method::POST, ID, "/echo", &[("content-type", "application/json")], body).await;
    assert_eq!(answer.expect(201).json(), json!({ "body": { "a": 1 }, "bytes": body.len() }));

    // One plugin, whatever it was called by: one row, one worker.
    let listed = acme.get("plugins").await.expect(200).json();
    assert_eq!(listed["plugins"].as_array().map(Vec::len), Some(1));
    let workers = server.admin().get("/v1/workers").await.expect(200).json();
    assert_eq!(workers["workers"].as_array().map(Vec::len), Some(1));

    // Its tool answers through REST and MCP, with its settings in its server's environment.
    let answer = acme.call_tool("simple_http_test__ping", json!({ "name": "you" })).await;
    assert_eq!(text_of(answer), "Moin, you!");
    let mut agent = acme.mcp();
    agent.open().await;
    assert_eq!(agent.tool_names().await, ["simple_http_test__ping"]);
    let called = agent.call_tool("simple_http_test__ping", json!({})).await;
    assert_eq!(called.result()["content"][0]["text"], "Moin, world!");

    server.restart().await;
    let answer = acme.route(&Method::GET, NPM_NAME, "/hello", &[], "").await.expect(200);
    assert_eq!(answer.json(), json!({ "message": "Moin, world!" }));

    acme.delete(&format!("plugins/{NPM_NAME}")).await.expect(200);
    assert_eq!(acme.get(&format!("plugins/{ID}")).await.expect(200).json()["enabled"], false);
    acme.route(&Method::GET, ID, "/hello", &[], "").await.expect(404);
    acme.delete(&format!("plugins/{NPM_NAME}/configuration")).await.expect(204);
}

/// Writes a package whose entry is a class.
fn class_package(folder: &PluginFolder, name: &str, npm_name: &str, entry: &str) {
    folder
        .plugin(name)
        .manifest(&json!({
            "name": npm_name, "version": "1.0.0", "main": "index.js",
            "dependencies": { "@hay/plugin-sdk": "*" },
        }))
        .file("index.js", entry);
}

/// A class whose route depends on its settings, and which may register nonsense. Its package has another name than it.
fn own_routes(folder: &PluginFolder) {
    let entry = r#"
const { HayPlugin, startPluginWorker } = require("@hay/plugin-sdk");
class Own extends HayPlugin {
  constructor() {
    super({ id: "own", name: "Own", version: "1.0.0", capabilities: ["routes"],
      config: { path: { type: "string", default: "/one", envVar: "OWN_PATH" } } });
  }
  onInitialize() {
    this.registerRoute("GET", this.config.path, (req, res) => res.send(this.config.path));
  }
}
module.exports = { Own };
"#;
    class_package(folder, "own", "@hay/plugin-other", entry);
}

/// A class that names no id, so that its package's name has to do.
fn named_by_its_package(folder: &PluginFolder) {
    let entry = r#"
const { HayPlugin } = require("@hay/plugin-sdk");
class Nameless extends HayPlugin {
  constructor() { super({ name: "Nameless", version: "1.0.0", capabilities: ["routes"] }); }
  onInitialize() { this.registerRoute("GET", "/", (req, res) => res.send("nameless")); }
}
module.exports = { Nameless };
"#;
    class_package(folder, "nameless", "@hay/plugin-by-package", entry);
}

#[tokio::test]
async fn the_id_is_the_constructors_else_the_packages() {
    let plugins = PluginFolder::new();
    own_routes(&plugins);
    named_by_its_package(&plugins);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    // What the package is called leads there too, in full and without its beginning.
    for (id, names, path, says) in [
        ("own", &["@hay/plugin-other", "other"][..], "/one", "/one"),
        ("by-package", &["@hay/plugin-by-package"], "/", "nameless"),
    ] {
        let detail = acme.enable(&names[0].replace('/', "%2F"), json!({})).await;
        assert_eq!((&detail["id"], &detail["aliases"]), (&json!(id), &json!(names)));
        for name in names.iter().chain(&[id]).map(|name| name.replace('/', "%2F")) {
            assert_eq!(acme.get(&format!("plugins/{name}")).await.expect(200).json()["id"], id, "{name}");
            let answer = acme.route(&Method::GET, &name, path, &[], "").await.expect(200);
            assert_eq!(answer.text(), says, "{name}");
        }
    }
}

#[tokio::test]
async fn each_organization_has_the_routes_that_its_settings_make() {
    let plugins = PluginFolder::new();
    own_routes(&plugins);
    let mut server = TestServer::start(plugins.path()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable("own", json!({})).await;
    two.enable("own", json!({ "path": "/two" })).await;
    let paths = |detail: &Value| detail["routes"][0]["path"].clone();
    for restarted in [false, true] {
        if restarted {
            server.restart().await;
        }
        assert_eq!(paths(&one.get("plugins/own").await.expect(200).json()), "/one");
        assert_eq!(paths(&two.get("plugins/own").await.expect(200).json()), "/two");
        one.route(&Method::GET, "own", "/two", &[], "").await.expect(404);
        two.route(&Method::GET, "own", "/one", &[], "").await.expect(404);
        assert_eq!(one.route(&Method::GET, "own", "/one", &[], "").await.expect(200).text(), "/one");
        assert_eq!(two.route(&Method::GET, "own", "/two", &[], "").await.expect(200).text(), "/two");
    }
    // New settings, new routes; the old one is gone.
    one.put("plugins/own", &json!({ "config": { "path": "/three" } })).await.expect(200);
    one.route(&Method::GET, "own", "/three", &[], "").await.expect(200);
    one.route(&Method::GET, "own", "/one", &[], "").await.expect(404);
    // What cannot be registered takes the place of nothing and says why.
    let detail = one.put("plugins/own", &json!({ "config": { "path": "no-path" } })).await.expect(200).json();
    assert_eq!((&detail["state"], &detail["activeRevision"]), (&json!("ready"), &json!(2)), "{detail}");
    assert!(detail["lastError"].to_string().contains("path"), "{detail}");
    one.route(&Method::GET, "own", "/three", &[], "").await.expect(200);
}
