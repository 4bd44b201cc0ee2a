//! Where jails have no root of their own nothing is fetched or built: what is whole runs, and the rest says why not.

use std::fs;

use hayloft_testkit::{PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::packages::installed;
use crate::support::text_of;

/// What a person reads.
const WHY: &str = "that takes isolation A or B, and this machine gives";
const HINT: &str = "`npm install` and `npm run build` in its folder make it whole";

/// A plugin whose entry is what its build makes of its source, with a dependency or without.
fn write(folder: &PluginFolder, id: &str, dependencies: &Value) {
    let manifest = json!({
        "name": id, "version": "1.0.0", "type": "module",
        "hay-plugin": { "entry": "./dist/index.js", "displayName": id, "category": "tool", "capabilities": ["mcp"] },
        "scripts": { "build": "mkdir -p dist && cp src/index.js dist/index.js" },
        "dependencies": dependencies,
    });
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
        export default defineHayPlugin(() => ({ name: 'x', async onStart(ctx) { await ctx.mcp.startLocal('main', () => ({\n\
          listTools: () => [{ name: 'act', inputSchema: { type: 'object' } }],\n\
          callTool: async () => ({ content: [{ type: 'text', text: 'whole' }] }) })); } }));";
    folder.plugin(id).file("src/index.js", entry).manifest(&manifest);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_here_says_so_and_what_is_whole_runs() {
    for tier in ["C", "off"] {
        let folder = PluginFolder::new();
        write(&folder, "hay-plugin-build", &json!({}));
        write(&folder, "hay-plugin-fetch", &json!({ "is-number": "7.0.0" }));
        let server = TestServer::builder()
            .plugins(folder.path())
            .isolation(tier)
            .environment("HAYLOFT_STRONGEST_ISOLATION", tier)
            .start()
            .await;
        let acme = server.organization("Acme").await;
        for (name, state, verb) in [("build", "build_error", "built"), ("fetch", "install_error", "fetched")]
        {
            let id = format!("hay-plugin-{name}");
            let before = acme.get(&format!("plugins/{id}")).await.expect(200).json();
            assert_eq!(before["needsBuilding"], true, "{before:#}");
            let shown = installed(&acme, &id).await;
            let installation = &shown["installation"];
            assert_eq!(installation["state"], state, "{tier}: {shown:#}");
            let problem = &installation["problems"][0];
            let message = problem["message"].as_str().unwrap();
            assert!(message.starts_with(&format!("nothing can be {verb} here: {WHY} `{tier}`")), "{message}");
            assert!(problem["hint"].as_str().unwrap().starts_with(HINT), "{problem:#}");
            assert!(shown["lastError"].as_str().unwrap_or_default().contains(WHY), "{tier}: {shown:#}");
        }

        // A person reads the same on the command line.
        let staged = PluginFolder::new();
        write(&staged, "hay-plugin-mine", &json!({}));
        let uploaded = staged.path().join("hay-plugin-mine");
        let path = uploaded.to_str().unwrap();
        let output = crate::support::hayloft(&[
            "plugin",
            "install",
            path,
            "--enable",
            "--url",
            &server.url(),
            "--token",
            &acme.token,
        ]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(WHY), "{tier}: {said}");

        // What its author made whole runs from where it lies.
        let root = folder.path().join("hay-plugin-build");
        fs::create_dir(root.join("dist")).unwrap();
        fs::copy(root.join("src/index.js"), root.join("dist/index.js")).unwrap();
        crate::support::until("the whole package to be read", async || {
            acme.get("plugins/hay-plugin-build").await.expect(200).json()["needsBuilding"] == false
        })
        .await;
        assert_eq!(installed(&acme, "hay-plugin-build").await["state"], "ready", "{tier}");
        assert_eq!(text_of(acme.call_tool("build__act", json!({})).await), "whole");
    }
}

#[test]
fn a_machine_below_the_minimum_tries_nothing() {
    let folder = PluginFolder::new();
    write(&folder, "hay-plugin-build", &json!({}));
    let path = folder.path().join("hay-plugin-build");
    #[expect(clippy::disallowed_methods, reason = "the command line is what is tested")]
    let mut command = std::process::Command::new(hayloft_testkit::workspace::hayloft_binary());
    command.env_clear().env("HAYLOFT_STRONGEST_ISOLATION", "C").args(["plugin", "check", "--run"]).arg(&path);
    let refused = command.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("isolation"), "{said}");
    assert!(!path.join("dist").exists());

    // With the weaker minimum it is tried, and the same is said as by a server.
    let output = command.args(["--isolation", "C"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains(WHY), "{output:?}");
}
