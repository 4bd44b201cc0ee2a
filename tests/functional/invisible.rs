//! A plugin that is not to be offered is listed only where it is switched on.

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::stdio_server;

fn plugin(folder: &PluginFolder, id: &str, invisible: &Value) {
    let manifest = json!({
        "id": id, "name": id, "version": "1.0.0", "description": "x", "author": "x", "type": ["mcp-connector"],
        "entry": "./dist/index.js", "invisible": invisible,
        "capabilities": { "mcp": {
            "connection": { "type": "local" }, "transport": "stdio", "startCommand": "node server.cjs", "tools": [],
        } },
    });
    folder.plugin(id).file("manifest.json", manifest.to_string()).file("server.cjs", stdio_server("'x'"));
}

/// What an organization is offered.
async fn listed(organization: &Organization) -> Vec<String> {
    let listed = organization.get("plugins").await.expect(200).json();
    let ids = listed["plugins"].as_array().unwrap().iter().map(|plugin| plugin["id"].as_str().unwrap());
    let mut ids: Vec<String> = ids.map(str::to_owned).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn an_invisible_plugin_is_listed_where_it_is_switched_on() {
    const HIDDEN: &str = "hay-plugin-hidden";
    const SHOWN: &str = "hay-plugin-shown";
    let folder = PluginFolder::new();
    plugin(&folder, HIDDEN, &json!(true));
    plugin(&folder, SHOWN, &json!(false));
    let server = TestServer::start(folder.path()).await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    assert_eq!(listed(&acme).await, [SHOWN]);
    // Whoever knows its name has it.
    let path = format!("plugins/{HIDDEN}");
    for organization in [&acme, &other] {
        let detail = organization.get(&path).await.expect(200).json();
        assert_eq!((&detail["id"], &detail["enabled"]), (&json!(HIDDEN), &json!(false)), "{detail:#}");
    }
    let detail = acme.enable(HIDDEN, json!({})).await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    assert_eq!(listed(&acme).await, [HIDDEN, SHOWN]);
    assert_eq!(listed(&other).await, [SHOWN]);
    acme.put(&path, &json!({ "enabled": false })).await.expect(200);
    assert_eq!(listed(&acme).await, [SHOWN]);
    acme.get(&path).await.expect(200);
}
