//! What changed in a plugin's folder while the host was down.

use std::fs;

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::json;

use crate::packages::installed;
use crate::support::{listed, one_tool, text_of, until};

const ID: &str = "hay-plugin-v";

/// Builds by copying.
const GOOD: &str = "mkdir -p dist && cp src/index.js dist/index.js";

/// A plugin whose tool says its version, and which is built by a script.
fn write(folder: &PluginFolder, version: &str, script: &str) {
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\nexport default defineHayPlugin(() => ({{ name: 'v', async onStart(ctx) {{ await ctx.mcp.startLocal('main', () => ({})); }} }}));",
        one_tool(&format!("return {{ content: [{{ type: 'text', text: '{version}' }}] }};"))
    );
    let manifest = json!({
        "name": ID, "version": version, "type": "module",
        "hay-plugin": { "entry": "./dist/index.js", "displayName": "V", "category": "tool", "capabilities": ["mcp"] },
        "scripts": { "build": script },
    });
    let root = folder.path().join(ID);
    fs::create_dir_all(root.join("src")).unwrap();
    fs::write(root.join("src/index.js"), entry).unwrap();
    fs::write(root.join("package.json"), manifest.to_string()).unwrap();
}

/// A server with the first version switched on, and stopped.
async fn stopped(folder: &PluginFolder) -> (TestServer, Organization) {
    write(folder, "1.0.0", GOOD);
    let mut server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    let shown = installed(&acme, ID).await;
    assert_eq!(shown["state"], "ready", "{shown:#}");
    assert_eq!(said(&acme).await, "1.0.0");
    server.terminate().await;
    (server, acme)
}

async fn said(organization: &Organization) -> String {
    listed(organization, "v__act").await;
    text_of(organization.call_tool("v__act", json!({})).await)
}

#[tokio::test]
async fn the_version_before_serves_while_the_newer_one_cannot_be_made() {
    let folder = PluginFolder::new();
    let (mut server, acme) = stopped(&folder).await;
    let manifest = folder.path().join(ID).join("package.json");
    let broken = [
        ("echo this does not build && exit 3", None, "this does not build"),
        (GOOD, Some("{ \"hay-plugin\": {}, this is no JSON"), "package.json"),
    ];
    for (script, text, expected) in broken {
        write(&folder, "2.0.0", script);
        if let Some(text) = text {
            fs::write(&manifest, text).unwrap();
        }
        // Once more after that: what failed an earlier time changes nothing.
        for _ in 0..2 {
            server.restart().await;
            assert_eq!(said(&acme).await, "1.0.0", "before anything newer was tried");
            until("the problem of the newer version", async || {
                let shown = acme.get(&format!("plugins/{ID}")).await.expect(200).text();
                shown.contains("its newer version is not used") && shown.contains(expected)
            })
            .await;
            assert_eq!(said(&acme).await, "1.0.0");
            let shown = acme.get(&format!("plugins/{ID}")).await.expect(200).json();
            assert_eq!((&shown["version"], &shown["state"]), (&json!("1.0.0"), &json!("ready")), "{shown:#}");
            assert_eq!(shown["installation"]["state"], "installed", "{shown:#}");
        }
        server.terminate().await;
    }

    // Mended while the host runs, it takes over like any newer version.
    server.restart().await;
    write(&folder, "3.0.0", GOOD);
    until("the third version", async || said(&acme).await == "3.0.0").await;
}

#[tokio::test]
async fn a_newer_version_takes_over_once_it_is_ready() {
    let folder = PluginFolder::new();
    let (mut server, acme) = stopped(&folder).await;
    // Long enough that whoever waited for it would be seen to.
    write(&folder, "2.0.0", &format!("sleep 1 && {GOOD}"));
    server.restart().await;
    assert_eq!(said(&acme).await, "1.0.0", "nobody waits for the build");
    until("the newer version", async || said(&acme).await == "2.0.0").await;
    let shown = acme.get(&format!("plugins/{ID}")).await.expect(200).json();
    assert_eq!(shown["version"], "2.0.0", "{shown:#}");
    // It is the one that counts from now on.
    server.restart().await;
    assert_eq!(said(&acme).await, "2.0.0");
    assert!(!acme.get(&format!("plugins/{ID}")).await.expect(200).text().contains("newer version"));
}

#[tokio::test]
async fn what_nobody_has_switched_on_is_what_its_folder_holds() {
    let folder = PluginFolder::new();
    let (mut server, acme) = stopped(&folder).await;
    server.restart().await;
    acme.put(&format!("plugins/{ID}"), &json!({ "enabled": false })).await.expect(200);
    server.terminate().await;
    write(&folder, "2.0.0", "exit 3");
    server.restart().await;
    let shown = acme.get(&format!("plugins/{ID}")).await.expect(200).json();
    assert_eq!((&shown["version"], &shown["needsBuilding"]), (&json!("2.0.0"), &json!(true)), "{shown:#}");
}

#[tokio::test]
async fn what_is_said_of_an_installation_is_what_lies_on_the_shelf() {
    let folder = PluginFolder::new();
    let (mut server, acme) = stopped(&folder).await;
    server.restart().await;
    let facts = async || {
        let shown = acme.get(&format!("plugins/{ID}")).await.expect(200).json();
        let listed = acme.get("plugins").await.expect(200).json()["plugins"][0].clone();
        let facts = ["version", "contentHash", "installedAt", "installation", "needsBuilding"];
        assert!(facts.iter().all(|fact| shown[fact] == listed[fact]), "{shown:#}\n{listed:#}");
        facts.map(|fact| shown[fact].clone())
    };
    let before = facts().await;
    let [version, hash, installed_at, installation, needs_building] = &before;
    assert_eq!((version, needs_building), (&json!("1.0.0"), &json!(false)));
    assert_eq!(installation, &json!({ "state": "installed" }));
    assert!(installed_at.is_string(), "{before:?}");
    let versions = server.data_folder().join("packages").join(ID);
    assert!(versions.join(hash.as_str().unwrap()).is_dir(), "{hash} in {}", versions.display());
    server.restart().await;
    assert_eq!(facts().await, before);
    server.kill_9().await;
    server.restart().await;
    assert_eq!(facts().await, before);
    // A newer one that fails, with the host down meanwhile, changes none of it.
    write(&folder, "2.0.0", "exit 3");
    server.restart().await;
    assert_eq!(facts().await, before);

    // A database without its shelf, as from a backup, says of nothing that it is installed.
    write(&folder, "1.0.0", GOOD);
    server.terminate().await;
    fs::remove_dir_all(server.data_folder().join("packages")).unwrap();
    server.restart().await;
    let [version, other_hash, installed_at, installation, _] = facts().await;
    assert_eq!((&version, &other_hash), (&before[0], &before[1]));
    assert!(installed_at.is_null() && installation["state"] != "installed", "{installation}");
    assert_eq!(said(&acme).await, "1.0.0", "it is made anew for whoever calls");
    let [_, _, installed_at, installation, _] = facts().await;
    assert!(installed_at.is_string() && installation["state"] == "installed", "{installation}");
}
