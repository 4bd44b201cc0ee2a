//! What is being made and nobody wants any more ends, with its jail, and its place in the line is somebody else's.

use std::fs;

use hayloft_testkit::process::Process;
use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::json;

use crate::support::{listed, text_of, until};
use crate::uploads::{packed, upload, versioned};

/// A plugin whose build is this.
fn built(plugins: &PluginFolder, made: &PluginFolder, id: &str, version: &str, build: &str) {
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\nexport default defineHayPlugin(() => ({ name: 'built' }));";
    let files = made.plugin(&format!("{id}-{version}")).file("index.js", entry).manifest(&json!({
        "name": id, "version": version, "type": "module",
        "scripts": { "build": format!("{build} && mkdir -p dist && cp index.js dist/index.js") },
        "hay-plugin": { "entry": "./dist/index.js", "displayName": "Built", "category": "tool", "capabilities": [] },
    }));
    let place = plugins.path().join(id);
    if place.exists() {
        fs::rename(&place, made.path().join(format!("{id}-before-{version}"))).unwrap();
    }
    fs::rename(files.root(), place).unwrap();
}

/// A program that does not end by itself, and is told from all others by its number.
struct Endless(String);

impl Endless {
    fn new(number: u32) -> Self {
        Self(format!("{}{number:03}", std::process::id()))
    }

    fn build(&self) -> String {
        format!("sleep {}", self.0)
    }

    fn find(&self) -> Option<Process> {
        Process::all().into_iter().find(|process| {
            let words = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
            words.split(|byte| *byte == 0).eq([&b"sleep"[..], self.0.as_bytes(), &b""[..]])
        })
    }

    async fn runs(&self) -> Process {
        until("the build", async || self.find().is_some()).await;
        self.find().unwrap()
    }
}

async fn server(plugins: &PluginFolder) -> TestServer {
    let server = TestServer::builder().plugins(plugins.path());
    server.environment("HAYLOFT_LIMITS_SAVE_ANSWER", "300ms").start().await
}

async fn wish(of: &Organization, id: &str) {
    of.put(&format!("plugins/{id}"), &json!({ "enabled": true })).await.expect(202);
}

async fn is_ready(of: &Organization, id: &str) -> bool {
    of.get(&format!("plugins/{id}")).await.expect(200).json()["state"] == "ready"
}

async fn gone(process: &Process) {
    until("the end of the build", async || !process.is_alive()).await;
}

#[tokio::test]
async fn what_is_switched_off_by_all_who_wished_it_gives_its_place_away() {
    let (plugins, made) = (PluginFolder::new(), PluginFolder::new());
    let (first, second) = (Endless::new(1), Endless::new(2));
    built(&plugins, &made, "hay-plugin-first", "1.0.0", &first.build());
    built(&plugins, &made, "hay-plugin-second", "1.0.0", &second.build());
    built(&plugins, &made, "hay-plugin-third", "1.0.0", "true");
    let server = server(&plugins).await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    wish(&acme, "hay-plugin-first").await;
    wish(&other, "hay-plugin-first").await;
    wish(&acme, "hay-plugin-second").await;
    let (first, second) = (first.runs().await, second.runs().await);
    // Both places are taken.
    wish(&acme, "hay-plugin-third").await;

    acme.delete("plugins/hay-plugin-first").await.expect(200);
    assert!(first.is_alive(), "somebody else waits for it");
    assert!(!is_ready(&acme, "hay-plugin-third").await);
    other.delete("plugins/hay-plugin-first").await.expect(200);
    gone(&first).await;
    until("whoever waited for the place", async || is_ready(&acme, "hay-plugin-third").await).await;
    assert!(second.is_alive(), "what is wanted goes on");
    let shown = acme.get("plugins/hay-plugin-first").await.expect(200).json();
    assert_eq!(shown["installation"]["state"], "waiting", "{shown:#}");
}

#[tokio::test]
async fn what_is_wished_is_what_the_folder_holds_in_the_end() {
    let (plugins, made) = (PluginFolder::new(), PluginFolder::new());
    let endless = Endless::new(3);
    let id = "hay-plugin-first";
    built(&plugins, &made, id, "1.0.0", &endless.build());
    let server = server(&plugins).await;
    let acme = server.organization("Acme").await;
    wish(&acme, id).await;
    let old = endless.runs().await;
    built(&plugins, &made, id, "2.0.0", "true");
    gone(&old).await;
    until("the newer version", async || is_ready(&acme, id).await).await;
    assert_eq!(acme.get(&format!("plugins/{id}")).await.expect(200).json()["version"], "2.0.0");

    // A newer version of what runs is no other matter.
    let endless = Endless::new(4);
    built(&plugins, &made, id, "3.0.0", &endless.build());
    let newer = endless.runs().await;
    acme.delete(&format!("plugins/{id}")).await.expect(200);
    gone(&newer).await;
}

#[tokio::test]
async fn what_is_uploaded_anew_or_removed_is_not_made_any_more() {
    let (plugins, made) = (PluginFolder::new(), PluginFolder::new());
    let server = server(&plugins).await;
    let acme = server.organization("Acme").await;
    let id = "hay-plugin-mine";
    let endless = |version: &str, endless: &Endless| {
        packed(&versioned(&made, id, version, "").manifest(&json!({
            "name": id, "version": version, "type": "module", "scripts": { "build": endless.build() },
            "hay-plugin": { "entry": "./dist/index.js", "displayName": "Mine", "category": "tool", "capabilities": [] },
        })))
    };
    let (first, third) = (Endless::new(5), Endless::new(6));
    upload(&acme, &endless("1.0.0", &first)).await.expect(201);
    wish(&acme, id).await;
    let first = first.runs().await;
    upload(&acme, &packed(&versioned(&made, id, "2.0.0", ""))).await.expect(201);
    gone(&first).await;
    until("the second version", async || is_ready(&acme, id).await).await;
    listed(&acme, "mine__act").await;
    assert_eq!(text_of(acme.call_tool("mine__act", json!({})).await), "2.0.0");

    upload(&acme, &endless("3.0.0", &third)).await.expect(201);
    let third = third.runs().await;
    acme.delete(&format!("plugins/{id}/installation")).await.expect(204);
    gone(&third).await;
    until("the end of all versions", async || !server.data_folder().join("packages").join(id).exists()).await;
}
