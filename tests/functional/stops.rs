//! What runs can be ended at any moment by those who may, and runs again as soon as somebody needs it.

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::{listed, mcp_plugin, one_tool, text_of};

const ONE: &str = "plugins/hay-plugin-one";

/// Each worker counts its own calls.
const COUNT: &str = "globalThis.calls = (globalThis.calls ?? 0) + 1; return String(globalThis.calls);";

struct World {
    acme: Organization,
    other: Organization,
    server: TestServer,
    _plugins: PluginFolder,
}

async fn world() -> World {
    let plugins = PluginFolder::new();
    for id in ["hay-plugin-one", "hay-plugin-two"] {
        mcp_plugin(&plugins, id, &one_tool(COUNT));
    }
    let server = TestServer::start(plugins.path()).await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    for (organization, plugin) in [(&acme, "one"), (&acme, "two"), (&other, "one")] {
        organization.enable(&format!("hay-plugin-{plugin}"), json!({})).await;
        listed(organization, &format!("{plugin}__act")).await;
        assert_eq!(count(organization, plugin).await, "1");
    }
    World { acme, other, server, _plugins: plugins }
}

async fn count(organization: &Organization, plugin: &str) -> String {
    text_of(organization.call_tool(&format!("{plugin}__act"), json!({})).await)
}

/// What runs, as `organization plugin`.
async fn running(world: &World) -> Vec<String> {
    let workers = world.server.admin().get("/v1/workers").await.expect(200).json();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let workers = workers["workers"].as_array().expect("a list").iter();
    let mut running: Vec<_> = workers
        .map(|worker| {
            let name = if text(&worker["org"]) == world.acme.id { "acme" } else { "other" };
            format!("{name} {}", text(&worker["pluginId"]).replace("hay-plugin-", ""))
        })
        .collect();
    running.sort();
    running
}

/// Who stopped what, in the organization's trail, oldest first.
async fn taken_down(organization: &Organization) -> Vec<(Value, Value, Value)> {
    let trail = organization.get("audit").await.expect(200).json();
    let entries = trail["entries"].as_array().expect("a list").iter().rev();
    let stops = entries.filter(|entry| entry["action"] == "plugin.stopped");
    stops
        .map(|entry| (entry["actor"].clone(), entry["subject"].clone(), entry["detail"]["ran"].clone()))
        .collect()
}

#[tokio::test]
async fn what_is_stopped_runs_again_when_it_is_called() {
    let world = world().await;
    let World { acme, other, .. } = &world;
    assert_eq!(running(&world).await, ["acme one", "acme two", "other one"]);
    let shown = acme.post(&format!("{ONE}/stop"), &json!({})).await.expect(200).json();
    assert_eq!((&shown["state"], &shown["enabled"]), (&json!("stopped"), &json!(true)), "{shown:#}");
    assert_eq!(running(&world).await, ["acme two", "other one"]);
    // What does not run is left as it is.
    acme.post(&format!("{ONE}/stop"), &json!({})).await.expect(200);
    assert_eq!((count(acme, "one").await, count(acme, "two").await), ("1".into(), "2".into()));
    assert_eq!(count(other, "one").await, "2");

    acme.put(ONE, &json!({ "enabled": false })).await.expect(200);
    let shown = acme.post(&format!("{ONE}/stop"), &json!({})).await.expect(200).json();
    assert_eq!(shown["state"], "disabled");
    acme.call_tool("one__act", json!({})).await.expect(404);

    // The administrator's own token made the organization's first.
    let trail = taken_down(acme).await;
    let ran: Vec<_> = trail.iter().map(|(_, subject, ran)| (subject.as_str().unwrap(), ran)).collect();
    assert_eq!(ran, [("hay-plugin-one", &json!(true)), ("hay-plugin-one", &json!(false))]);
    assert!(trail.iter().all(|(actor, ..)| actor.as_str().is_some_and(|actor| actor.contains("tok_"))));
    assert_eq!(taken_down(other).await, []);
}

#[tokio::test]
async fn everything_of_one_organization_is_stopped_at_once() {
    let world = world().await;
    let World { acme, other, .. } = &world;
    let stopped = acme.post("stop", &json!({})).await.expect(200).json();
    assert_eq!(stopped, json!({ "stopped": ["hay-plugin-one", "hay-plugin-two"] }));
    assert_eq!(running(&world).await, ["other one"]);
    assert_eq!(acme.post("stop", &json!({})).await.expect(200).json(), json!({ "stopped": [] }));
    assert_eq!(count(other, "one").await, "2");
    assert_eq!((count(acme, "one").await, count(acme, "two").await), ("1".into(), "1".into()));
}

#[tokio::test]
async fn only_who_may_stops_anything() {
    let world = world().await;
    let World { acme, other, server, .. } = &world;
    let (member, agent) = (acme.create_token("member").await, acme.create_token("agent").await);
    for path in [acme.path(&format!("{ONE}/stop")), acme.path("stop")] {
        for token in [&member, &agent] {
            server.api(Some(token)).post(&path, &json!({})).await.expect(403);
        }
        server.api(None).post(&path, &json!({})).await.expect(401);
        other.api.post(&path, &json!({})).await.expect(404);
    }
    acme.post("plugins/hay-plugin-none/stop", &json!({})).await.expect(404);
    assert_eq!(running(&world).await, ["acme one", "acme two", "other one"]);
    assert_eq!(taken_down(acme).await, []);
}
