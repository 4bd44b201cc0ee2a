//! A plugin of which an organization must never have two workers at once: the older one ends before the newer one
//! begins, whatever the reason, and whoever calls in between waits and is answered.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hayloft_testkit::{PluginFolder, TestServer};
use serde_json::json;

use crate::support::{text_of, unjailed, until};

const PLUGIN: &str = "plugins/hay-plugin-single";

/// Holds a lock from its start until it is stopped. Who finds it held does not come up in order.
fn entry(lock: &Path, version: u32) -> String {
    r#"import { mkdirSync, rmdirSync } from "node:fs";
import { defineHayPlugin } from "@hay/plugin-sdk";
const lock = LOCK;
export default defineHayPlugin(({ register }) => ({
  name: "single",
  onInitialize() { register.config({ n: { type: "number", default: 0 } }); },
  onConfigUpdate({ config }) { if (config.get("n") === 13) throw new Error("thirteen brings bad luck"); },
  async onStart({ config, mcp }) {
    mkdirSync(lock);
    const n = config.get("n");
    await mcp.startLocal("main", () => ({
      listTools: () => [{ name: "n", inputSchema: { type: "object" } }],
      callTool: () => `VERSION/${n}`,
      stop: () => rmdirSync(lock),
    }));
  },
}));
"#
    .replace("LOCK", &json!(lock).to_string())
    .replace("VERSION", &version.to_string())
}

#[tokio::test]
async fn there_are_never_two_and_no_call_is_lost() {
    let (plugins, work) = (PluginFolder::new(), PluginFolder::new());
    let lock = work.path().join("lock");
    let root = plugins
        .plugin("hay-plugin-single")
        .manifest(&json!({
            "name": "hay-plugin-single", "version": "1.0.0", "type": "module",
            "hay-plugin": {
                "entry": "./index.js", "displayName": "Single", "category": "tool",
                "capabilities": ["config", "mcp"], "updateStrategy": "recreate",
            },
        }))
        .file("index.js", entry(&lock, 1))
        .root()
        .to_owned();
    let mut server = unjailed(TestServer::builder().plugins(plugins.path())).start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-single", json!({ "n": 1 })).await;
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (acme, over) = (acme.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut heard = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    heard.push(text_of(acme.call_tool("single__n", json!({})).await));
                }
                heard.dedup();
                heard
            })
        })
        .collect();
    let detail = async || acme.get(PLUGIN).await.expect(200).json();

    // New settings.
    let saved = acme.put(PLUGIN, &json!({ "config": { "n": 2 } })).await.expect(200).json();
    assert_eq!((&saved["state"], &saved["activeRevision"]), (&json!("ready"), &json!(2)), "{saved:#}");
    // Settings that do not come up: the older ones serve again, and the reason is told.
    let refused = acme.put(PLUGIN, &json!({ "config": { "n": 13 } })).await.expect(200).json();
    assert!(refused["lastError"].to_string().contains("thirteen brings bad luck"), "{refused:#}");
    assert_eq!((&refused["state"], &refused["activeRevision"]), (&json!("ready"), &json!(2)), "{refused:#}");
    assert_eq!(text_of(acme.call_tool("single__n", json!({})).await), "1/2");
    // A person who starts it anew.
    acme.post(&format!("{PLUGIN}/restart"), &json!({})).await.expect(200);
    // New code.
    acme.put(PLUGIN, &json!({ "config": { "n": 3 } })).await.expect(200);
    fs::write(root.join("index.js"), entry(&lock, 2)).unwrap();
    until("the newer code to serve", async || text_of(acme.call_tool("single__n", json!({})).await) == "2/3")
        .await;

    over.store(true, Ordering::Relaxed);
    for caller in callers {
        let heard = caller.await.expect("every call was answered");
        assert_eq!((heard.first().unwrap().as_str(), heard.last().unwrap().as_str()), ("1/1", "2/3"));
        assert!(heard.iter().all(|said| ["1/1", "1/2", "1/3", "2/3"].contains(&said.as_str())), "{heard:?}");
    }
    // Whoever found the lock held would say so here.
    let logs = acme.get(&format!("{PLUGIN}/logs?tail=500")).await.text();
    assert!(!logs.contains("EEXIST"), "{logs}");
    assert_eq!(detail().await["state"], "ready");
    server.terminate().await;
    assert!(!lock.exists(), "the last one was stopped in order");
}
