//! Workers are ready before somebody needs them, within what the operator gives for that; they follow what their plugin
//! is, and none outlives the host.

use std::fs;

use hayloft_testkit::process::Process;
use hayloft_testkit::{Organization, PluginFiles, PluginFolder, TestServer};
use http::Method;
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

/// Another version of a plugin that asks for these interfaces of the host.
fn asking(staged: &PluginFolder, folder: &PluginFolder, version: &str, apis: &[&str]) {
    const ID: &str = "hay-plugin-asking";
    let manifest = json!({
        "id": ID, "name": "Asks", "version": version, "description": "Asks for things", "author": "Tests",
        "type": ["channel"], "entry": "./dist/index.js", "permissions": { "api": apis },
        "capabilities": { "api": { "routes": [{ "method": "GET", "path": "/here", "handler": "./here.js" }] } },
    });
    let files = staged
        .plugin(version)
        .file("here.js", "module.exports = (request, response) => response.json({});")
        .file("dist/index.js", "")
        .file("manifest.json", manifest.to_string());
    let place = folder.path().join(ID);
    if place.exists() {
        fs::rename(&place, staged.path().join("before")).unwrap();
    }
    fs::rename(files.root(), place).unwrap();
}

#[tokio::test]
async fn what_is_ready_goes_when_the_plugin_is_granted_something_else() {
    let (folder, staged) = (PluginFolder::new(), PluginFolder::new());
    asking(&staged, &folder, "1.0.0", &["email"]);
    let server = TestServer::builder().plugins(folder.path()).warm_pool("512MiB").start().await;
    let one = server.organization("One").await;
    let path = "plugins/hay-plugin-asking";
    one.enable("hay-plugin-asking", json!({})).await;
    let first = warm(&server).await;
    asking(&staged, &folder, "1.1.0", &["email", "messages"]);
    let shown = async || one.get(path).await.expect(200).json();
    until("the newer version", async || shown().await["version"] == "1.1.0").await;
    // Ready is what the newer version may without what nobody has granted yet.
    let mut withheld = Value::Null;
    until("a worker of the newer version", async || {
        withheld = warm(&server).await;
        withheld["contentHash"] != first["contentHash"]
    })
    .await;
    let pending = shown().await["pendingPermissions"].clone();
    assert_eq!(pending, json!([{ "kind": "capability", "name": "messages" }]));
    one.post(&format!("{path}/permissions"), &json!({ "permissions": pending })).await.expect(200);
    until("the one without the grant to go", async || {
        unowned(&server).await.iter().all(|worker| worker["workerId"] != withheld["workerId"])
    })
    .await;
    let granted = warm(&server).await;
    assert_eq!(granted["contentHash"], withheld["contentHash"], "{granted:#}");
}

#[tokio::test]
async fn nobody_asks_a_route_before_its_organization_is_asked() {
    let folder = PluginFolder::new();
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
let asked = 0;
export default defineHayPlugin(({ register }) => ({
  name: "ready",
  onInitialize() {
    for (const [method, path] of [["GET", "/"], ["GET", "/health"], ["GET", "/look"], ["POST", "/look"]]) {
      register.route(method, path, (request, response) => {
        asked += 1;
        console.log(`somebody asks ${method} ${path}`);
        response.send("");
      });
    }
  },
  async onStart({ mcp }) {
    await mcp.startLocal("main", () => ({
      listTools: () => [{ name: "who", inputSchema: { type: "object" } }],
      callTool: () => String(asked),
    }));
  },
}));
"#;
    folder.hay_package(PLUGIN, &["mcp", "routes"], entry);
    let server = TestServer::builder().plugins(folder.path()).warm_pool("256MiB").start().await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable(PLUGIN, json!({})).await;
    let ready = warm(&server).await;
    two.enable(PLUGIN, json!({})).await;
    assert_eq!(who(&two).await, "0");
    let listed = server.admin().get("/v1/workers").await.expect(200).json();
    let claimed = |worker: &Value| worker["workerId"] == ready["workerId"] && worker["org"] == *two.id;
    assert!(listed["workers"].as_array().unwrap().iter().any(claimed), "{listed:#}");
    let lines = async || {
        let logs = two.get(&format!("plugins/{PLUGIN}/logs?tail=500")).await.expect(200).text();
        logs.matches("somebody asks").count()
    };
    assert_eq!(lines().await, 0);
    // Whoever does ask is counted, and seen in the log.
    two.route(&Method::GET, PLUGIN, "/look", &[], "").await.expect(200);
    assert_eq!(who(&two).await, "1");
    until("the line of the route", async || lines().await == 1).await;
}
