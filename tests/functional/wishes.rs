//! What is wished for a plugin that is still being made ready: the newest wish counts, and nobody else waits for the build.

use std::fs;
use std::time::Duration;

use hayloft_testkit::{PluginFolder, TestServer};
use serde_json::json;

use crate::support::until;

const ID: &str = "hay-plugin-slow";
const PLUGIN: &str = "plugins/hay-plugin-slow";

/// A plugin of another format that is built by a script, and runs only where the host has a variable.
fn needy(folder: &PluginFolder, version: &str, script: &str) {
    let manifest = json!({
        "id": "needy", "name": "needy", "version": version, "type": ["workflow"], "description": "Tests", "author": "Tests",
        "entry": "./dist/index.js", "permissions": { "env": ["SLOW_WORD"] },
        "capabilities": { "api": { "routes": [{ "method": "GET", "path": "/hi", "handler": "./hi.mjs" }] } },
    });
    let package = json!({
        "name": "needy", "version": version,
        "scripts": { "build": format!("{script} && mkdir -p dist && touch dist/index.js") },
    });
    let root = folder.path().join("needy");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("manifest.json"), manifest.to_string()).unwrap();
    fs::write(root.join("package.json"), package.to_string()).unwrap();
    fs::write(root.join("hi.mjs"), "export default (req, res) => res.send('hi');").unwrap();
}

/// A plugin that is built by a script.
fn built(folder: &PluginFolder, version: &str, script: &str) {
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\nexport default defineHayPlugin(({ register }) => ({ name: 'slow', onInitialize() {\n  register.config({ word: { type: 'string' }, other: { type: 'string' } }); } }));";
    let manifest = json!({
        "name": ID, "version": version, "type": "module",
        "hay-plugin": {
            "entry": "./dist/index.js", "displayName": "Slow", "category": "tool", "capabilities": ["config"],
        },
        "scripts": { "build": format!("{script} && mkdir -p dist && cp index.js dist/index.js") },
    });
    let root = folder.path().join(ID);
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("index.js"), entry).unwrap();
    fs::write(root.join("package.json"), manifest.to_string()).unwrap();
}

async fn server(folder: &PluginFolder) -> TestServer {
    TestServer::builder()
        .plugins(folder.path())
        .environment("SLOW_WORD", "there")
        .environment("HAYLOFT_LIMITS_SAVE_ANSWER", "300ms")
        .start()
        .await
}

#[tokio::test]
async fn what_was_switched_off_while_it_was_built_stays_off() {
    let folder = PluginFolder::new();
    built(&folder, "1.0.0", "sleep 5");
    let server = server(&folder).await;
    let acme = server.organization("Acme").await;
    let answer = acme.put(PLUGIN, &json!({ "enabled": true })).await.expect(202).json();
    assert_eq!(answer["state"], "installing", "{answer:#}");
    acme.delete(PLUGIN).await.expect(200);
    server.logged("what was wished for a plugin was overtaken while it was made ready").await;
    let shown = acme.get(PLUGIN).await.expect(200).json();
    assert_eq!((&shown["enabled"], &shown["state"]), (&json!(false), &json!("disabled")), "{shown:#}");

    // Wished again, it is built anew.
    acme.put(PLUGIN, &json!({ "enabled": true })).await;
    until("the plugin", async || acme.get(PLUGIN).await.expect(200).json()["state"] == "ready").await;
}

#[tokio::test]
async fn what_is_saved_while_a_plugin_is_built_is_saved_after_what_was_wished_before() {
    let folder = PluginFolder::new();
    built(&folder, "1.0.0", "sleep 5");
    let server = server(&folder).await;
    let acme = server.organization("Acme").await;
    let first = json!({ "enabled": true, "config": { "word": "first", "other": "kept" } });
    acme.put(PLUGIN, &first).await.expect(202);
    let second = acme.put(PLUGIN, &json!({ "config": { "word": "second" } })).await.expect(202).json();
    assert_eq!(second["state"], "installing", "{second:#}");
    server.logged("what was wished for a plugin was overtaken while it was made ready").await;
    until("the plugin", async || acme.get(PLUGIN).await.expect(200).json()["state"] == "ready").await;
    let shown = acme.get(PLUGIN).await.expect(200).json();
    assert_eq!(shown["config"], json!({ "word": "second", "other": "kept" }), "{shown:#}");
}

#[tokio::test]
async fn a_host_serves_while_a_plugin_that_is_on_is_built() {
    let folder = PluginFolder::new();
    needy(&folder, "1.0.0", "true");
    folder.hay_package("hay-plugin-other", &[], "export default () => ({ name: 'other' });");
    let mut server = server(&folder).await;
    let acme = server.organization("Acme").await;
    acme.put("plugins/needy", &json!({ "enabled": true })).await;
    until("the plugin", async || acme.get("plugins/needy").await.expect(200).json()["state"] == "ready")
        .await;
    server.terminate().await;
    needy(&folder, "2.0.0", "sleep 1000");
    // Nor is what was made of it before at hand any more.
    fs::remove_dir_all(server.data_folder().join("packages/needy")).unwrap();
    tokio::time::timeout(Duration::from_secs(60), server.restart()).await.expect("a host that serves");
    let shown = acme.get("plugins/hay-plugin-other").await.expect(200).json();
    assert_eq!(shown["state"], "disabled", "{shown:#}");
}

#[tokio::test]
async fn what_waits_for_a_place_can_be_switched_off_and_removed() {
    let folder = PluginFolder::new();
    let entry = "export default ({ register }) => ({ name: 'busy', onInitialize() { register.route('GET', '/', (_q, response) => { response.write('begun'); }); } });";
    folder.hay_package("hay-plugin-busy", &["routes"], entry);
    let server = TestServer::builder()
        .plugins(folder.path())
        .environment("HAYLOFT_LIMITS_WORKERS_PER_PLUGIN", "1")
        .environment("HAYLOFT_LIMITS_SAVE_ANSWER", "300ms")
        .start()
        .await;
    let (first, second) = (server.organization("First").await, server.organization("Second").await);
    const BUSY: &str = "plugins/hay-plugin-busy";
    first.put(BUSY, &json!({ "enabled": true })).await;
    until("the plugin", async || first.get(BUSY).await.expect(200).json()["state"] == "ready").await;
    let stream = first.route(&http::Method::GET, "hay-plugin-busy", "/", &[], "");
    let switch = async {
        let in_flight = async || {
            let workers = server.admin().get("/v1/workers").await.expect(200).json();
            workers["workers"].as_array().unwrap().iter().any(|worker| worker["inFlight"] != 0)
        };
        until("the stream", in_flight).await;
        second.put(BUSY, &json!({ "enabled": true })).await.expect(202);
        let off = tokio::time::timeout(Duration::from_secs(20), second.delete(BUSY)).await;
        off.expect("an answer although there is no place").expect(200);
        assert_eq!(second.get(BUSY).await.expect(200).json()["state"], "disabled");
    };
    tokio::select! {
        () = switch => {}
        answer = stream => panic!("the stream ended first: {answer:?}"),
    }
}
