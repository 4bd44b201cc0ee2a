//! MCP servers elsewhere over time: those that failed are tried again, newer versions of a plugin take over what an
//! older one said of them, and people who ask how they are, or begin anew, get what is true.

use std::fs;
use std::time::{Duration, Instant};

use hayloft_testkit::{PluginFolder, Response};
use http::Method;
use serde_json::{Value, json};

use super::world::{PLUGIN, World, class, code, manifest, one_at};
use crate::support::{text_of, until};

const FICKLE: &str = "http://simple.outside.test/fickle";
const ONE: &str = "http://simple.outside.test/one";

/// A plugin that is nothing but the simple server at this address, with these keys in its manifest, once it is listed.
async fn all_elsewhere(url: &str, more: &Value) -> World {
    let world = World::all_elsewhere(url, "http", more).await;
    world.until_listed("headers").await;
    world
}

async fn procedure(world: &World, name: &str) -> Value {
    let headers = [("x-organization-id", world.acme.id.as_str()), ("content-type", "application/json")];
    let body = json!({ "pluginId": PLUGIN }).to_string();
    let api = world.server.api(Some(&world.acme.token));
    let answer = api.send(&Method::POST, &format!("/v1/plugins.{name}"), &headers, body).await;
    answer.expect(200).json()["result"]["data"].take()
}

async fn health(world: &World) -> Value {
    world.acme.get(&format!("plugins/{PLUGIN}/health")).await.expect(200).json()
}

/// How many sessions were opened at a path.
async fn opened(world: &World, path: &str) -> u64 {
    world.seen().await["opened"][path].as_u64().unwrap_or_default()
}

#[track_caller]
fn refused(answer: Response, why: &str) {
    let problem = answer.expect(503);
    assert!(problem.header("retry-after").is_some(), "{}", problem.text());
    assert!(problem.text().contains(why), "{}", problem.text());
}

#[tokio::test]
async fn what_fails_until_somebody_mends_it_is_tried_again_by_a_call() {
    let mut world = World::start(&one_at("fickle")).await;
    world.enable().await;
    world.until_listed("headers").await;
    world.no_worker().await;
    // As while its provider shows everybody a page of its own.
    world.make_fickle(302).await;
    world.server.restart().await;
    refused(world.call("headers", json!({})).await, "redirects to");
    world.make_fickle(200).await;
    until("an answer", async || world.call("headers", json!({})).await.status == 200).await;
    assert_eq!(world.shown("simple").await["connected"], true);
    assert_eq!(world.workers().await, 0);
}

#[tokio::test]
async fn a_host_that_is_granted_is_reached_at_once() {
    let package = |network: Value| {
        json!({
            "name": PLUGIN, "version": "1.0.0", "type": "module",
            "hay-plugin": {
                "entry": "./index.js", "displayName": "Far", "category": "tool", "network": network,
                "capabilities": ["mcp", "config"], "env": [],
            },
        })
    };
    let plugins = PluginFolder::new();
    plugins.plugin(PLUGIN).manifest(&package(json!([]))).file("index.js", code(&one_at("mcp")));
    let world = World::with(plugins).await;
    world.enable().await;
    world.until_listed("headers").await;
    world.write(
        "index.js",
        &code("await mcp.startExternal({ id: 'new', url: 'http://new.outside.test/mcp' });"),
    );
    world.write("package.json", &package(json!(["new.outside.test"])).to_string());
    until("what is withheld", async || world.last_error("new").await.contains("may not be reached")).await;
    let pending = world.detail().await["pendingPermissions"].take();
    let grant = json!({ "permissions": pending });
    world.acme.post(&format!("plugins/{PLUGIN}/permissions"), &grant).await.expect(200);
    // Nobody is there, but nobody forbids it any more.
    until("another reason", async || {
        let error = world.last_error("new").await;
        !error.is_empty() && !error.contains("may not be reached")
    })
    .await;
}

#[tokio::test]
async fn a_newer_version_takes_over_while_nothing_runs() {
    let mut world = World::start(&one_at("one")).await;
    world.enable().await;
    world.until_listed("headers").await;
    world.no_worker().await;
    assert_eq!((opened(&world, "/one").await, opened(&world, "/two").await), (1, 0));
    world.write("index.js", &code(&one_at("two")));
    until("a call to go where the newer version says", async || {
        text_of(world.call("headers", json!({})).await);
        opened(&world, "/two").await == 1
    })
    .await;

    // The same while it runs, with nothing new about the server: that is remembered as this version's word.
    world.write("index.js", &(code(&one_at("two")) + "// Newer."));
    until("the newer version to have said it", async || opened(&world, "/two").await == 2).await;
    world.server.restart().await;
    text_of(world.call("headers", json!({})).await);
    assert_eq!(world.workers().await, 0);
    assert_eq!(opened(&world, "/one").await, 1);
}

#[tokio::test]
async fn a_newer_version_that_is_all_elsewhere_takes_over_without_a_worker() {
    let world = all_elsewhere(ONE, &json!({})).await;
    world.write("manifest.json", &manifest("http://simple.outside.test/two", "http", &json!({})));
    until("the newer address", async || opened(&world, "/two").await == 1).await;
    text_of(world.call("headers", json!({})).await);
    assert_eq!((world.detail().await["state"].take(), world.workers().await), (json!("ready"), 0));
}

#[tokio::test]
async fn people_see_how_servers_elsewhere_are_and_begin_anew_with_them() {
    let mut world = all_elsewhere(FICKLE, &json!({})).await;
    assert_eq!(health(&world).await["status"], "healthy");
    assert_eq!(procedure(&world, "testConnection").await["status"], "healthy");
    assert_eq!(opened(&world, "/fickle").await, 1);

    // A person who starts it anew gets a new session and no worker.
    let shown = world.acme.post(&format!("plugins/{PLUGIN}/restart"), &json!({})).await.expect(200).json();
    assert_eq!(shown["state"], "ready", "{shown:#}");
    until("a new session", async || opened(&world, "/fickle").await == 2).await;

    world.make_fickle(401).await;
    world.server.restart().await;
    let told = procedure(&world, "testConnection").await;
    assert_eq!((&told["success"], &told["status"]), (&json!(false), &json!("unhealthy")), "{told}");
    assert!(told["message"].as_str().unwrap().contains("refused the credentials (HTTP 401)"), "{told}");
    let told = health(&world).await;
    assert_eq!(told["status"], "unhealthy", "{told}");
    assert!(told["error"].as_str().unwrap().contains("refused the credentials (HTTP 401)"), "{told}");

    // Whoever asks for its tools anew has it tried, whatever it was like before.
    world.make_fickle(200).await;
    let listed = procedure(&world, "refreshMCPTools").await;
    assert_eq!(listed["success"], true, "{listed}");
    assert_eq!(health(&world).await["status"], "healthy");
    assert_eq!(procedure(&world, "validateAuth").await["valid"], true);
    let detail = world.detail().await;
    assert_eq!((&detail["state"], world.workers().await), (&json!("ready"), 0), "{detail:#}");
}

#[tokio::test]
async fn who_stops_it_lets_go_of_its_servers_until_the_next_call() {
    let world = all_elsewhere(ONE, &json!({})).await;
    until("the session", async || world.shown("main").await["connected"] == true).await;
    let shown = world.acme.post(&format!("plugins/{PLUGIN}/stop"), &json!({})).await.expect(200).json();
    assert_eq!(shown["state"], "ready", "{shown:#}");
    assert_eq!(world.shown("main").await["connected"], false);
    text_of(world.call("headers", json!({})).await);
    assert_eq!((opened(&world, "/one").await, world.workers().await), (2, 0));
}

#[tokio::test]
async fn the_servers_of_a_plugin_without_code_judge_its_credentials() {
    let plugins = PluginFolder::new();
    let more = json!({
        "configSchema": { "apiKey": { "type": "string", "label": "Key", "encrypted": true } },
        "capabilities": { "mcp": {
            "connection": { "type": "remote", "url": "http://simple.outside.test/locked" },
            "transport": "http", "auth": ["apiKey"],
        } },
    });
    plugins.plugin(PLUGIN).file("manifest.json", manifest("", "http", &more));
    let world = World::with(plugins).await;
    let validate = async |more: Value| {
        let mut body = json!({ "pluginId": PLUGIN });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let headers = [("x-organization-id", world.acme.id.as_str()), ("content-type", "application/json")];
        let api = world.server.api(Some(&world.acme.token));
        api.send(&Method::POST, "/v1/plugins.validateAuth", &headers, body.to_string()).await
    };
    let verdict = async |more: Value| validate(more).await.expect(200).json()["result"]["data"].take();
    world.acme.enable(PLUGIN, json!({ "apiKey": "wrong-canary" })).await;
    let told = verdict(json!({})).await;
    assert_eq!(told["valid"], false, "{told}");
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("`main`") && error.contains("HTTP 401") && !error.contains("canary"), "{error}");

    // Others are tried, and saved nowhere.
    assert_eq!(
        verdict(json!({ "configuration": { "apiKey": "canary-key" } })).await,
        json!({ "valid": true })
    );
    assert_eq!(verdict(json!({})).await["valid"], false);
    world.acme.enable(PLUGIN, json!({ "apiKey": "canary-key" })).await;
    assert_eq!(verdict(json!({})).await, json!({ "valid": true }));
    world.until_listed("headers").await;
    let other = verdict(json!({ "configuration": { "apiKey": "another-canary" } })).await;
    assert_eq!(other["valid"], false, "{other}");
    // What was tried has not come into the way of what is saved.
    assert!(text_of(world.call("headers", json!({})).await).contains("Bearer canary-key"));

    // Who says neither yes nor no has not judged.
    world.write("manifest.json", &manifest(FICKLE, "http", &json!({})));
    world.make_fickle(500).await;
    until("no verdict", async || validate(json!({})).await.status == 502).await;
    let problem = validate(json!({})).await.expect(502).json();
    let message = problem["error"]["message"].as_str().unwrap();
    assert!(message.contains("nobody could judge"), "{problem}");
    world.make_fickle(200).await;
    assert_eq!(verdict(json!({})).await, json!({ "valid": true }));
    assert_eq!(world.workers().await, 0);
}

#[tokio::test]
async fn a_refused_launch_reaches_nobody() {
    let world = all_elsewhere(ONE, &json!({ "network": [] })).await;
    let wants_more = json!({ "network": ["new.outside.test"] });
    world.write("manifest.json", &manifest(ONE, "http", &wants_more));
    until("what is withheld", async || {
        world.detail().await["pendingPermissions"].as_array().is_some_and(|pending| !pending.is_empty())
    })
    .await;
    until("the newer version", async || opened(&world, "/one").await == 2).await;
    let versions = world.server.data_folder().join("packages").join(PLUGIN);
    let versions = fs::read_dir(versions).unwrap().map(|version| version.unwrap().path());
    let evil = manifest("http://simple.outside.test/evil", "http", &json!({}));
    for version in versions.filter(|path| path.is_dir()) {
        fs::write(version.join("manifest.json"), &evil).unwrap();
    }
    let grant = json!({ "permissions": world.detail().await["pendingPermissions"] });
    world.acme.post(&format!("plugins/{PLUGIN}/permissions"), &grant).await.expect(200);
    let shown = world.detail().await;
    assert_eq!(shown["state"], "failed", "{shown:#}");
    assert!(
        shown["lastError"].as_str().unwrap().contains("`manifest.json` is not what was installed"),
        "{shown:#}"
    );
    assert_eq!(opened(&world, "/one").await, 2);
}

#[tokio::test]
async fn a_header_of_the_plugin_is_the_one_that_is_sent() {
    let register = r#"
    const headers = { authorization: `Own ${this.config.key}` };
    await this.sdk.mcp.registerRemoteMCP({ url: "http://simple.outside.test/mcp", headers, tools: [] });"#;
    let world = World::with(class(register)).await;
    world.acme.enable(PLUGIN, json!({ "key": "k1" })).await;
    world.until_listed("headers").await;
    let sent: Value = serde_json::from_str(&text_of(world.call("headers", json!({})).await)).unwrap();
    let raw = sent["raw"].as_array().unwrap();
    let names = raw.iter().step_by(2).filter_map(Value::as_str);
    assert_eq!(names.filter(|name| name.eq_ignore_ascii_case("authorization")).count(), 1, "{sent}");
    assert_eq!(sent["authorization"], "Own k1");
}

#[tokio::test]
async fn a_second_attempt_has_what_is_left_of_the_time() {
    let plugins = PluginFolder::new();
    plugins.hay_package(PLUGIN, &["mcp", "config"], &code(&one_at("mcp")));
    let world = World::with_settings(plugins, &[("HAYLOFT_LIMITS_TOOL_CALL_TOTAL", "6s")]).await;
    world.enable().await;
    world.until_listed("late").await;
    let begun = Instant::now();
    let problem = world.call("late", json!({ "after": 4000 })).await.expect(504).json();
    let took = begun.elapsed();
    // The first attempt was made, and given up late.
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(9), "{took:?}: {problem:#}");
    assert_eq!(world.seen().await["calls"], 2);
}

#[tokio::test]
async fn what_a_server_says_no_to_is_no_failure_of_it() {
    let world = World::start(&one_at("mcp")).await;
    world.enable().await;
    world.until_listed("status").await;
    for status in [429, 413, 400] {
        for _ in 0..6 {
            let answer = world.call("status", json!({ "status": status })).await;
            assert!(answer.text().contains(&format!("HTTP {status}")), "{}", answer.text());
            assert_eq!(answer.header("retry-after"), Some("7"), "{}", answer.text());
        }
        text_of(world.call("headers", json!({})).await);
    }
    assert_eq!(opened(&world, "/mcp").await, 1);
    // What says that it is broken is.
    until("calls to be refused at once", async || {
        world.call("status", json!({ "status": 500 })).await.text().contains("failed one after another")
    })
    .await;
}
