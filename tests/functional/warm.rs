//! Workers are ready before somebody needs them, within what the operator gives for that; they follow what their plugin
//! is, and none outlives the host.

use std::fs;

use hayloft_testkit::process::Process;
use hayloft_testkit::{Organization, PluginFiles, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::{text_of, until};

const PLUGIN: &str = "hay-plugin-ready";

/// A plugin whose tool tells which version of its code answers, and in which process.
fn plugin(folder: &PluginFolder, version: &str) -> PluginFiles {
    folder.hay_package(PLUGIN, &["mcp"], &entry(version))
}

fn entry(version: &str) -> String {
    format!(
        r#"import {{ defineHayPlugin }} from "@hay/plugin-sdk";
export default defineHayPlugin(() => ({{
  name: "ready",
  async onStart({{ mcp, org }}) {{
    await mcp.startLocal("main", () => ({{
      listTools: () => [{{ name: "who", inputSchema: {{ type: "object" }} }}],
      callTool: () => "{version} for " + org.id,
    }}));
  }},
}}));
"#
    )
}

async fn who(organization: &Organization) -> String {
    text_of(organization.call_tool("ready__who", json!({})).await)
}

/// The workers that are ready for nobody in particular, as the administrator sees them.
async fn unowned(server: &TestServer) -> Vec<Value> {
    let listed = server.admin().get("/v1/workers").await.expect(200).json();
    let workers = listed["workers"].as_array().unwrap().iter();
    workers.filter(|worker| worker["org"].is_null()).cloned().collect()
}

async fn warm(server: &TestServer) -> Value {
    let mut found = Value::Null;
    until("a worker that is ready", async || {
        let warm = unowned(server).await.into_iter().find(|worker| worker["workerState"] == "warm");
        found = warm.unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

#[tokio::test]
async fn whoever_comes_next_is_served_by_the_one_that_is_ready() {
    let folder = PluginFolder::new();
    plugin(&folder, "1");
    let mut server = TestServer::builder().plugins(folder.path()).warm_pool("256MiB").start().await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable(PLUGIN, json!({})).await;
    let ready = warm(&server).await;
    assert_eq!((&ready["state"], &ready["pluginId"]), (&json!("warm"), &json!(PLUGIN)), "{ready:#}");
    assert!(ready["pid"].is_u64() && ready["contentHash"].is_string(), "{ready:#}");
    // Its settings are tried in the one that is there.
    two.enable(PLUGIN, json!({})).await;
    assert_eq!(who(&two).await, format!("1 for {}", two.id));
    let listed = server.admin().get("/v1/workers").await.expect(200).json();
    let serving =
        listed["workers"].as_array().unwrap().iter().find(|worker| worker["org"] == *two.id).unwrap();
    assert_eq!(
        (&serving["workerId"], &serving["pid"], &serving["workerState"]),
        (&ready["workerId"], &ready["pid"], &json!("bound"))
    );
    let metrics = server.admin().get("/metrics").await.expect(200).text();
    for kind in ["cold", "warm"] {
        let counted = |line: &&str| {
            line.starts_with("hayloft_worker_starts_seconds_count")
                && line.contains(&format!("kind=\"{kind}\""))
        };
        assert!(metrics.lines().any(|line| counted(&line)), "{kind}: {metrics}");
    }
    assert_eq!(who(&one).await, format!("1 for {}", one.id));
    // A host that is killed takes those that wait along, and so does one that ends in order.
    let pid = u32::try_from(warm(&server).await["pid"].as_u64().unwrap()).unwrap();
    let process = Process::find(pid).expect("it runs");
    server.kill_9().await;
    assert!(process.wait_gone(std::time::Duration::from_secs(5)));
    server.assert_nothing_left().await;
    server.restart().await;
    who(&one).await;
    warm(&server).await;
    server.terminate().await;
    server.assert_nothing_left().await;
}

#[tokio::test]
async fn what_is_ready_follows_the_plugin() {
    let folder = PluginFolder::new();
    let files = plugin(&folder, "1");
    let server = TestServer::builder().plugins(folder.path()).warm_pool("256MiB").start().await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable(PLUGIN, json!({})).await;
    let old = warm(&server).await;
    // A newer version takes over: what was ready for the older one is of no use.
    fs::write(files.root().join("index.js"), entry("2")).unwrap();
    until("the newer version", async || who(&one).await.starts_with('2')).await;
    until("the older ones to go", async || {
        unowned(&server).await.iter().all(|worker| worker["contentHash"] != old["contentHash"])
    })
    .await;
    let new = warm(&server).await;
    assert_ne!(new["contentHash"], old["contentHash"]);
    two.enable(PLUGIN, json!({})).await;
    assert!(who(&two).await.starts_with('2'));
    // As long as one has it on, one is ready; after that none is.
    warm(&server).await;
    one.delete(&format!("plugins/{PLUGIN}")).await.expect(200);
    warm(&server).await;
    two.delete(&format!("plugins/{PLUGIN}")).await.expect(200);
    until("all to go", async || unowned(&server).await.is_empty()).await;
}

#[tokio::test]
async fn what_an_organization_uploaded_or_asks_too_early_is_not_ready_for_anybody() {
    let folder = PluginFolder::new();
    plugin(&folder, "1");
    let early = "import { defineHayPlugin } from '@hay/plugin-sdk';
        const organization = process.env.ORGANIZATION_ID;
        export default defineHayPlugin(() => ({ name: 'early ' + organization }));";
    folder.hay_package("hay-plugin-early", &[], early);
    let server = TestServer::builder().plugins(folder.path()).warm_pool("256MiB").start().await;
    let own = server.organization("Own").await;
    let place = folder.path().join("custom").join(&own.id);
    fs::create_dir_all(&place).unwrap();
    let staged = PluginFolder::new();
    staged.hay_package("hay-plugin-own", &["mcp"], &entry("own"));
    fs::rename(staged.path().join("hay-plugin-own"), place.join("hay-plugin-own")).unwrap();
    until("the own plugin", async || own.get("plugins/hay-plugin-own").await.status == 200).await;
    for id in ["hay-plugin-own", "hay-plugin-early"] {
        let shown = own.enable(id, json!({})).await;
        assert_eq!(shown["state"], "ready", "{shown:#}");
    }
    // By the time that the other one is ready, these would be: they were needed before.
    own.enable(PLUGIN, json!({})).await;
    warm(&server).await;
    let others: Vec<_> =
        unowned(&server).await.into_iter().filter(|worker| worker["pluginId"] != PLUGIN).collect();
    assert!(others.is_empty(), "{others:#?}");
}
