//! A newer version that is there but does not come up: the version before goes on, and so does whoever is about to start.

use std::fs;

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::until;

const ID: &str = "hay-plugin-moving";
const PLUGIN: &str = "plugins/hay-plugin-moving";

/// A plugin whose route says which version it is.
fn version(folder: &PluginFolder, version: &str, on_start: &str) {
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\nexport default defineHayPlugin(({{ register }}) => ({{ name: 'm',\n  onInitialize() {{ register.route('GET', '/', (_request, response) => response.json('{version}')); }},\n  async onStart() {{ {on_start} }} }}));"
    );
    let manifest = json!({
        "name": ID, "version": version, "type": "module",
        "hay-plugin": { "entry": "./index.js", "displayName": "M", "category": "tool", "capabilities": ["routes"] },
    });
    let root = folder.path().join(ID);
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("index.js"), entry).unwrap();
    fs::write(root.join("package.json"), manifest.to_string()).unwrap();
}

async fn said(acme: &Organization) -> Value {
    let answer = acme.route(&Method::GET, ID, "/", &[], "").await;
    if answer.status == 200 { answer.json() } else { Value::Null }
}

async fn shown(acme: &Organization) -> Value {
    acme.get(PLUGIN).await.expect(200).json()
}

const DIES: &str = "process.exit(1);";

#[tokio::test]
async fn a_version_whose_workers_do_not_come_up_does_not_take_the_place_of_the_one_before() {
    let folder = PluginFolder::new();
    version(&folder, "1.0.0", "");
    let server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable(ID, json!({})).await;
    assert_eq!(said(&acme).await, "1.0.0");

    version(&folder, "2.0.0", DIES);
    until("the trial", async || !shown(&acme).await["lastError"].is_null()).await;
    assert_eq!(said(&acme).await, "1.0.0", "what serves goes on serving");
    acme.post(&format!("{PLUGIN}/restart"), &json!({})).await;
    assert_eq!(said(&acme).await, "1.0.0", "it is what is started, too");
    let now = shown(&acme).await;
    assert!(
        now["lastError"].as_str().unwrap().contains("a newer version of the plugin did not come up"),
        "{now:#}"
    );

    version(&folder, "3.0.0", "");
    until("the version after", async || said(&acme).await == "3.0.0").await;
    assert_eq!(shown(&acme).await["lastError"], Value::Null);
}

#[tokio::test]
async fn a_version_that_fails_at_the_first_start_gives_way_to_the_one_before() {
    let folder = PluginFolder::new();
    version(&folder, "1.0.0", "");
    let server =
        TestServer::builder().plugins(folder.path()).environment("HAYLOFT_LIMITS_IDLE", "1s").start().await;
    let acme = server.organization("Acme").await;
    acme.enable(ID, json!({})).await;
    // Nothing of it runs, but it is what was in service.
    until("its worker to idle out", async || shown(&acme).await["state"] == "stopped").await;
    version(&folder, "2.0.0", DIES);
    until("the newer version", async || shown(&acme).await["version"] == "2.0.0").await;
    until("a version that comes up", async || said(&acme).await == "1.0.0").await;
    assert_ne!(shown(&acme).await["state"], "quarantined");
}

#[tokio::test]
async fn what_is_being_started_while_a_newer_version_comes_is_followed_by_it() {
    let folder = PluginFolder::new();
    version(&folder, "1.0.0", "await new Promise((started) => setTimeout(started, 6000));");
    let mut server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable(ID, json!({})).await;
    server.restart().await;
    let first = async {
        // It stands in `onStart` by now, from the older version.
        until("the start", async || shown(&acme).await["state"] == "starting").await;
        version(&folder, "2.0.0", "");
        until("the newer version", async || shown(&acme).await["version"] == "2.0.0").await;
        assert_eq!(shown(&acme).await["state"], "starting");
    };
    let (answer, ()) = tokio::join!(said(&acme), first);
    assert_eq!(answer, "1.0.0");
    until("the newer version to serve", async || said(&acme).await == "2.0.0").await;
}

#[tokio::test]
async fn a_trial_goes_on_where_the_host_was_killed_and_the_version_before_is_at_hand() {
    let folder = PluginFolder::new();
    version(&folder, "1.0.0", "");
    let mut server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable(ID, json!({})).await;
    assert_eq!(said(&acme).await, "1.0.0");

    // It ends by itself after a while, in which the host is killed.
    version(&folder, "2.0.0", "await new Promise((tried) => setTimeout(tried, 3000)); process.exit(1);");
    until("the trial", async || {
        let workers = server.admin().get("/v1/workers").await.expect(200).json();
        workers["workers"].as_array().unwrap().len() == 2
    })
    .await;
    assert_eq!(said(&acme).await, "1.0.0", "what serves goes on serving");
    server.kill_9().await;
    server.restart().await;

    until("a version that comes up", async || said(&acme).await == "1.0.0").await;
    // The trial may have been cut off before the newer version counted as the one that runs here: it begins anew then.
    until("what came of the trial", async || {
        let now = shown(&acme).await;
        assert_ne!(now["state"], "quarantined");
        now["lastError"]
            .as_str()
            .is_some_and(|told| told.contains("did not come up") || told.contains("exit code 1"))
    })
    .await;
    assert_eq!(said(&acme).await, "1.0.0");

    // What came of it is known to the next run of the host: nobody waits for that version again.
    server.kill_9().await;
    server.restart().await;
    assert_eq!(said(&acme).await, "1.0.0");
    version(&folder, "3.0.0", "");
    until("the version after", async || said(&acme).await == "3.0.0").await;
    until("nothing to be wrong", async || shown(&acme).await["lastError"].is_null()).await;
}
