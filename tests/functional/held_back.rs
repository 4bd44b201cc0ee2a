//! A plugin that crashes again and again is held back, and everybody learns why, until somebody releases it. A call that a
//! crash interrupts is told so, or repeated where the tool allows it.

use std::time::Duration;

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::{Lock, hayloft, mcp_plugin, text_of, unjailed, until};

const FRAIL: &str = "plugins/hay-plugin-frail";

/// Its tool `die` ends the worker, `live` does not.
const SERVER: &str = r#"{
  listTools: () => ["die", "live"].map((name) => ({ name, inputSchema: { type: "object" } })),
  callTool: (name) => name === "die" ? process.exit(3) : "alive",
}"#;

async fn frail() -> (PluginFolder, TestServer, Organization) {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-frail", SERVER);
    let server = TestServer::builder()
        .plugins(plugins.path())
        .environment("HAYLOFT_LIMITS_CRASHES", "2")
        .start()
        .await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-frail", json!({})).await;
    (plugins, server, acme)
}

/// Lets it crash until it is held back, and gives what a person reads then.
async fn hold_back(acme: &Organization) -> Value {
    for _ in 0..2 {
        acme.call_tool("frail__die", json!({})).await.expect(502);
    }
    until("the plugin to be held back", async || {
        acme.get(FRAIL).await.expect(200).json()["state"] == "quarantined"
    })
    .await;
    acme.get(FRAIL).await.expect(200).json()
}

#[tokio::test]
async fn what_crashes_too_often_is_held_back_until_a_person_starts_it() {
    let (_plugins, mut server, acme) = frail().await;
    let detail = hold_back(&acme).await;
    let reason = detail["lastError"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("it failed 2 times within 10 minutes"), "{reason}");
    assert!(reason.ends_with("it ended with exit code 3"), "{reason}");

    // Who stops it has not looked at why it is held back.
    let stopped = acme.post(&format!("{FRAIL}/stop"), &json!({})).await.expect(200).json();
    assert_eq!(stopped["state"], "quarantined", "{stopped:#}");
    // Everybody is told why at once, and nothing runs; after a crash of the host as well.
    for round in 0..2 {
        let refused = acme.call_tool("frail__live", json!({})).await.expect(503).json();
        assert_eq!(refused["reason"], "quarantined", "{refused:#}");
        assert!(refused["detail"].as_str().unwrap().contains(&reason), "{refused:#}");
        assert!(server.processes().is_empty());
        if round == 0 {
            // Whoever was told was told of something that lasts.
            server.kill_9().await;
            server.restart().await;
        }
    }
    assert_eq!(acme.get(FRAIL).await.expect(200).json()["state"], "quarantined");

    let started = acme.post(&format!("{FRAIL}/restart"), &json!({})).await.expect(200).json();
    assert_eq!((&started["state"], &started["lastError"]), (&json!("ready"), &Value::Null), "{started:#}");
    assert_eq!(text_of(acme.call_tool("frail__live", json!({})).await), "alive");

    // By the command line as well.
    hold_back(&acme).await;
    let (url, id) = (server.url(), acme.id.clone());
    let said = hayloft(&[
        "plugin",
        "restart",
        "hay-plugin-frail",
        "--org",
        &id,
        "--url",
        &url,
        "--token",
        server.admin_token(),
    ]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(text_of(acme.call_tool("frail__live", json!({})).await), "alive");
}

#[tokio::test]
async fn nobody_is_told_before_it_is_written_and_what_was_told_holds_although_the_host_is_killed() {
    let (_plugins, mut server, acme) = frail().await;
    acme.call_tool("frail__die", json!({})).await.expect(502);
    assert_eq!(text_of(acme.call_tool("frail__live", json!({})).await), "alive");
    let lock = Lock::of(&server);
    acme.call_tool("frail__die", json!({})).await.expect(502);
    let mut next = tokio::spawn({
        let acme = acme.clone();
        async move { acme.call_tool("frail__live", json!({})).await }
    });
    // As long as it cannot be written, nobody hears of it.
    let early = tokio::time::timeout(Duration::from_secs(1), &mut next).await;
    assert!(early.is_err(), "{early:?}");
    assert_ne!(acme.get(FRAIL).await.expect(200).json()["state"], "quarantined");
    drop(lock);
    let refused = next.await.unwrap().expect(503).json();
    server.kill_9().await;
    assert_eq!(refused["reason"], "quarantined", "{refused:#}");
    server.restart().await;
    assert_eq!(acme.get(FRAIL).await.expect(200).json()["state"], "quarantined");
    acme.call_tool("frail__live", json!({})).await.expect(503);
}

#[tokio::test]
async fn new_settings_release_it_and_what_is_off_is_not_started() {
    let (_plugins, _server, acme) = frail().await;
    hold_back(&acme).await;
    acme.put(FRAIL, &json!({ "enabled": true })).await.expect(200);
    assert_eq!(text_of(acme.call_tool("frail__live", json!({})).await), "alive");

    acme.delete(FRAIL).await.expect(200);
    acme.post(&format!("{FRAIL}/restart"), &json!({})).await.expect(409);
    acme.post("plugins/hay-plugin-nobody/restart", &json!({})).await.expect(404);
}

#[tokio::test]
async fn a_new_version_releases_it() {
    let (plugins, _server, acme) = frail().await;
    hold_back(&acme).await;
    let entry = plugins.path().join("hay-plugin-frail/index.js");
    let mended = std::fs::read_to_string(&entry).unwrap().replace("\"alive\"", "\"mended\"");
    std::fs::write(&entry, mended).unwrap();
    until("the newer version to be taken", async || {
        acme.get(FRAIL).await.expect(200).json()["state"] != "quarantined"
    })
    .await;
    assert_eq!(text_of(acme.call_tool("frail__live", json!({})).await), "mended");
}

#[tokio::test]
async fn only_a_call_that_may_come_twice_is_repeated() {
    let plugins = PluginFolder::new();
    let marker = plugins.path().join("called");
    let server = format!(
        r#"{{
      listTools: () => [
        {{ name: "look", inputSchema: {{ type: "object" }}, annotations: {{ readOnlyHint: true }} }},
        {{ name: "set", inputSchema: {{ type: "object" }}, annotations: {{ readOnlyHint: false, idempotentHint: true }} }},
        {{ name: "add", inputSchema: {{ type: "object" }}, annotations: {{ readOnlyHint: "true" }} }},
        {{ name: "end", inputSchema: {{ type: "object" }}, annotations: {{ readOnlyHint: true }} }},
      ],
      callTool: async (name) => {{
        const fs = await import("node:fs");
        const calls = {path} + "-" + name;
        fs.appendFileSync(calls, "x");
        if (name === "end" || fs.readFileSync(calls).length === 1) process.exit(3);
        return name;
      }},
    }}"#,
        path = json!(marker)
    );
    mcp_plugin(&plugins, "hay-plugin-once", &server);
    let server = unjailed(TestServer::builder().plugins(plugins.path())).start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-once", json!({})).await;
    let calls = |name: &str| std::fs::read(format!("{}-{name}", marker.display())).unwrap().len();
    assert_eq!(text_of(acme.call_tool("once__look", json!({})).await), "look");
    assert_eq!(calls("look"), 2);
    // Later crashes make the next start wait, so the organization gives it a fresh start.
    acme.post("plugins/hay-plugin-once/restart", &json!({})).await.expect(200);
    assert_eq!(text_of(acme.call_tool("once__set", json!({})).await), "set");
    assert_eq!(calls("set"), 2);
    acme.post("plugins/hay-plugin-once/restart", &json!({})).await.expect(200);
    let broken = acme.call_tool("once__add", json!({})).await.expect(502).json();
    assert_eq!(broken["reason"], "crashed", "{broken:#}");
    assert_eq!(calls("add"), 1);
    acme.post("plugins/hay-plugin-once/restart", &json!({})).await.expect(200);
    // Once, and no more.
    let broken = acme.call_tool("once__end", json!({})).await.expect(502).json();
    assert_eq!(broken["reason"], "crashed", "{broken:#}");
    // It tells of the crash: nobody came a third time, and was told of a pause.
    assert!(!broken["detail"].as_str().unwrap().contains("may start again"), "{broken:#}");
    assert_eq!(calls("end"), 2);
}
