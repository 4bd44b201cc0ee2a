//! How many workers a plugin may have is chosen while the host runs, and so is which of an organization's plugins starts
//! first.

use hayloft_testkit::{PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::{mcp_plugin, one_tool, text_of, until};

const PLUGIN: &str = "hay-plugin-pooled";

async fn pool(server: &TestServer) -> Value {
    let listed = server.admin().get("/v1/pools").await.expect(200).json();
    let pools = listed["pools"].as_array().unwrap();
    pools.iter().find(|pool| pool["pluginId"] == PLUGIN).unwrap_or_else(|| panic!("{listed:#}")).clone()
}

#[tokio::test]
async fn a_pool_is_limited_while_the_host_runs() {
    let plugins = PluginFolder::new();
    mcp_plugin(
        &plugins,
        PLUGIN,
        &one_tool("await new Promise((resolve) => setTimeout(resolve, args.wait ?? 0)); return 'done';"),
    );
    let mut server = TestServer::start(plugins.path()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    for organization in [&one, &two] {
        organization.enable(PLUGIN, json!({})).await;
    }
    until("both workers", async || pool(&server).await["inUse"] == 2).await;
    let before = pool(&server).await;
    assert_eq!(
        (&before["workers"], &before["chosen"], &before["waiting"]),
        (&json!(10), &Value::Null, &json!(0))
    );

    let admin = server.admin();
    let limit = async |body: Value| admin.put(&format!("/v1/pools/{PLUGIN}"), &body).await;
    let limited = limit(json!({ "workers": 1 })).await.expect(200).json();
    assert_eq!((&limited["workers"], &limited["chosen"]), (&json!(1), &json!(1)));
    server.restart().await;
    assert_eq!(pool(&server).await["workers"], 1, "it is remembered");
    // While one is in a call the other one waits for its place, and then gets it.
    let busy = tokio::spawn({
        let one = one.clone();
        async move { text_of(one.call_tool("pooled__act", json!({ "wait": 2_000 })).await) }
    });
    until("the call", async || {
        let workers = server.admin().get("/v1/workers").await.json();
        workers["workers"][0]["inFlight"].as_u64() == Some(1)
    })
    .await;
    let waiting = tokio::spawn({
        let two = two.clone();
        async move { text_of(two.call_tool("pooled__act", json!({})).await) }
    });
    until("the other one to wait", async || pool(&server).await["waiting"] == 1).await;
    assert_eq!(pool(&server).await["inUse"], 1);
    // More room lets it in at once: the first call goes on all the while.
    limit(json!({ "workers": 2 })).await.expect(200);
    assert_eq!(waiting.await.unwrap(), "done");
    assert_eq!(busy.await.unwrap(), "done");
    assert_eq!(pool(&server).await["inUse"], 2);
    let usual = limit(json!({ "workers": null })).await.expect(200).json();
    assert_eq!((&usual["workers"], &usual["chosen"]), (&json!(10), &Value::Null));

    for body in [json!({}), json!({ "workers": 0 }), json!({ "workers": "1" })] {
        limit(body).await.expect(422);
    }
    let unknown = server.admin().put("/v1/pools/hay-plugin-nobody", &json!({ "workers": 1 })).await;
    unknown.expect(404);
    one.api.get("/v1/pools").await.expect(403);
    one.api.put(&format!("/v1/pools/{PLUGIN}"), &json!({ "workers": 1 })).await.expect(403);
}

#[tokio::test]
async fn a_priority_is_an_organizations_own_and_is_remembered() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, PLUGIN, &one_tool("return 'done';"));
    let mut server = TestServer::start(plugins.path()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    let path = format!("plugins/{PLUGIN}");
    let choose =
        async |priority: Value| one.put(&format!("{path}/priority"), &json!({ "priority": priority })).await;
    assert_eq!(one.get(&path).await.expect(200).json()["priority"], 0);
    assert_eq!(choose(json!(7)).await.expect(200).json()["priority"], 7);
    one.enable(PLUGIN, json!({})).await;
    server.restart().await;
    assert_eq!(one.get(&path).await.expect(200).json()["priority"], 7);
    assert_eq!(two.get(&path).await.expect(200).json()["priority"], 0);
    assert_eq!(text_of(one.call_tool("pooled__act", json!({})).await), "done");

    for wrong in [json!(101), json!(-101), json!(1.5), json!("7"), Value::Null] {
        choose(wrong).await.expect(422);
    }
    one.put("plugins/hay-plugin-nobody/priority", &json!({ "priority": 1 })).await.expect(404);
    let agent = one.create_token("agent").await;
    server
        .api(Some(&agent))
        .put(&one.path(&format!("{path}/priority")), &json!({ "priority": 1 }))
        .await
        .expect(403);
    // It goes with all else that was saved.
    one.delete(&path).await.expect(200);
    one.delete(&format!("{path}/configuration")).await.expect(204);
    assert_eq!(one.get(&path).await.expect(200).json()["priority"], 0);
}
