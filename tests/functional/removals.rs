//! A removed organization is gone for good, also where the host itself ends in the middle of it.

use hayloft_testkit::{PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::{listed, one_tool, stored, text_of, until};

/// A plugin whose `onDisable` never ends.
fn slow_to_leave(plugins: &PluginFolder) {
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';
         export default defineHayPlugin(({{ register }}) => ({{
           name: 'slow',
           onInitialize() {{ register.config({{ key: {{ type: 'string', sensitive: true }} }}); }},
           async onStart(ctx) {{ await ctx.mcp.startLocal('main', () => ({})); }},
           onDisable: () => new Promise(() => {{}}),
         }}));",
        one_tool("return 'here';")
    );
    plugins.hay_package("hay-plugin-slow", &["mcp", "config"], &entry);
}

/// How many rows of each table name an organization, read from the database itself.
fn rows(server: &TestServer, organization: &str) -> Value {
    let tables = "select tables.name from sqlite_master as tables join pragma_table_info(tables.name) as columns \
        on columns.name = 'organization_id' where tables.type = 'table'";
    let tables = stored(server, tables);
    let counts = tables.iter().map(|table| {
        let table = table["name"].as_str().unwrap();
        format!("select '{table}' as name, count(*) as count from {table} where organization_id = '{organization}'")
    });
    let counts = stored(server, &counts.collect::<Vec<_>>().join(" union all ")).into_iter();
    let some = counts.filter(|row| row["count"] != 0);
    some.map(|row| (row["name"].as_str().unwrap().to_owned(), row["count"].clone())).collect()
}

#[tokio::test]
async fn a_removal_that_a_crash_cut_off_is_ended_by_the_next_start() {
    let plugins = PluginFolder::new();
    slow_to_leave(&plugins);
    let mut server = TestServer::builder()
        .plugins(plugins.path())
        .environment("HAYLOFT_LIMITS_ON_DISABLE", "12s")
        .start()
        .await;
    let (gone, stays) = (server.organization("Gone").await, server.organization("Stays").await);
    for organization in [&gone, &stays] {
        organization.enable("hay-plugin-slow", json!({ "key": "canary" })).await;
        listed(organization, "slow__act").await;
        assert_eq!(text_of(organization.call_tool("slow__act", json!({})).await), "here");
    }
    let (before, kept) = (rows(&server, &gone.id), rows(&server, &stays.id));
    for table in ["configurations", "instances", "organization_keys", "tools"] {
        assert!(before[table].as_u64().is_some_and(|count| count > 0), "{before}");
    }
    let admin = server.admin();
    let remove = admin.request(&Method::DELETE, &format!("/v1/orgs/{}", gone.id), &[], "");
    let http = admin.http().clone();
    let removing = tokio::spawn(async move { http.try_send(remove).await.map(drop) });
    // Its plugin is told to leave, and the host ends before that has.
    until("the removal to begin", async || {
        server.admin().get(&gone.path("plugins")).await.status == 404
            && rows(&server, &gone.id)["removed_organizations"] == 1
    })
    .await;
    server.kill_9().await;
    assert!(removing.await.unwrap().is_err(), "nobody was told that it is done");
    let cut_off = rows(&server, &gone.id);
    assert!(
        cut_off["organization_keys"] == 1 && cut_off["configurations"] == before["configurations"],
        "{cut_off}"
    );

    server.restart().await;
    gone.get("plugins").await.expect(401);
    server.admin().get(&gone.path("plugins")).await.expect(404);
    until("the rest to be erased", async || rows(&server, &gone.id)["organization_keys"].is_null()).await;
    let left = rows(&server, &gone.id);
    let left: Vec<&String> = left.as_object().unwrap().keys().collect();
    for table in ["configurations", "instances", "tools", "tool_names", "permissions"] {
        assert!(!left.iter().any(|left| *left == table), "{left:?}");
    }
    // What people have to answer for stays, and so does everybody else.
    assert!(left.iter().any(|left| *left == "audit"), "{left:?}");
    assert_eq!(rows(&server, &stays.id)["configurations"], kept["configurations"]);
    assert_eq!(text_of(stays.call_tool("slow__act", json!({})).await), "here");
}
