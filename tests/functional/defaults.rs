//! What a plugin's manifest asks of its host: to be on in new organizations, to run as soon as the host does, variables,
//! and rights.

use hayloft_testkit::{PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::{text_of, until};

/// A plugin with one route, and what its manifest says besides.
fn plugin(folder: &PluginFolder, id: &str, more: &Value) {
    let mut manifest = json!({
        "id": id,
        "name": id,
        "version": "1.0.0",
        "type": ["workflow"], "description": "Tests", "author": "Tests",
        "entry": "./dist/index.js",
        "capabilities": { "api": { "routes": [
            { "method": "GET", "path": "/hi", "handler": "./hi.mjs" },
            { "method": "GET", "path": "/inside", "handler": "./hi.mjs", "middleware": ["auth"] },
        ] } },
    });
    for (key, value) in more.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    folder
        .plugin(id)
        .file("manifest.json", manifest.to_string())
        .file("dist/index.js", "")
        .file("hi.mjs", "export default (req, res) => res.send(`hi ${process.env.HI_WORD ?? ''}`);");
}

async fn states(organization: &hayloft_testkit::Organization) -> Vec<(String, bool, String)> {
    let listed = organization.get("plugins").await.expect(200).json();
    let text = |plugin: &Value, key: &str| plugin[key].as_str().unwrap().to_owned();
    let plugins = listed["plugins"].as_array().unwrap().iter();
    plugins.map(|plugin| (text(plugin, "id"), plugin["enabled"] == true, text(plugin, "state"))).collect()
}

#[tokio::test]
async fn new_organizations_have_what_is_enabled_by_default() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "asked", &json!({}));
    let mut server = TestServer::start(plugins.path()).await;
    let early = server.organization("Early").await;
    plugin(&plugins, "default", &json!({ "enabled": true }));
    let needy = json!({ "enabled": true, "permissions": { "env": ["HI_MISSING"] } });
    plugin(&plugins, "needy", &needy);
    server.restart().await;

    let late = server.organization("Late").await;
    // It is on before the answer, and ready a moment later.
    let on: Vec<_> = states(&late).await.into_iter().map(|(id, enabled, _)| (id, enabled)).collect();
    assert_eq!(
        on,
        [("asked", false), ("default", true), ("needy", true)].map(|(id, on)| (id.to_owned(), on))
    );
    until("the plugin to be ready", async || {
        states(&late).await.iter().any(|(id, _, state)| id == "default" && state == "ready")
    })
    .await;
    late.route(&Method::GET, "default", "/hi", &[], "").await.expect(200);
    late.route(&Method::GET, "asked", "/hi", &[], "").await.expect(404);
    let needy = late.get("plugins/needy").await.expect(200).json();
    assert_eq!(needy["state"], "unconfigured");
    assert!(needy["lastError"].to_string().contains("HI_MISSING"), "{needy}");
    assert_eq!(needy["missing"][0]["field"], "HI_MISSING");
    // Who was there before decides for itself.
    assert!(states(&early).await.iter().all(|(_, enabled, _)| !enabled));
    // And so does who was not, from then on.
    late.delete("plugins/default").await.expect(200);
    server.restart().await;
    assert!(states(&late).await.iter().any(|(id, enabled, _)| id == "default" && !enabled));
}

#[tokio::test]
async fn what_activates_itself_runs_as_soon_as_the_host_does() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "eager", &json!({ "autoActivate": true }));
    plugin(&plugins, "patient", &json!({}));
    let mut server = TestServer::start(plugins.path()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable("eager", json!({})).await;
    one.enable("patient", json!({})).await;
    server.restart().await;
    until("the plugin to run", async || {
        states(&one).await.iter().any(|(id, _, state)| id == "eager" && state == "ready")
    })
    .await;
    let state = |id: &str, states: Vec<(String, bool, String)>| {
        states.into_iter().find(|(own, ..)| own == id).map(|(.., state)| state).unwrap()
    };
    assert_eq!(state("patient", states(&one).await), "stopped");
    assert_eq!(state("eager", states(&two).await), "disabled");
}

#[tokio::test]
async fn what_starts_with_the_host_does_not_wait_for_code_that_hangs() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "eager", &json!({ "autoActivate": true }));
    let mut server = TestServer::start(plugins.path()).await;
    let one = server.organization("One").await;
    one.enable("eager", json!({})).await;
    server.terminate().await;
    let hanging = 9;
    for number in 0..hanging {
        let entry = "export default () => ({ name: 'h', onInitialize: () => new Promise(() => setInterval(() => {}, 1000)) });";
        plugins.hay_package(&format!("hay-plugin-hangs-{number}"), &[], entry);
    }
    server.restart().await;
    until("the plugin to run", async || {
        states(&one).await.iter().any(|(id, _, state)| id == "eager" && state == "ready")
    })
    .await;
    let given_up = server.stderr().matches("the plugin is not loaded").count();
    assert!(given_up < hanging, "all of them were waited for");
}

#[tokio::test]
async fn a_variable_of_the_host_makes_a_plugin_complete() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "needy", &json!({ "permissions": { "env": ["HI_WORD"] } }));
    let mut server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("needy", json!({})).await;
    assert_eq!(
        (&detail["state"], &detail["missing"][0]["field"]),
        (&json!("unconfigured"), &json!("HI_WORD"))
    );
    server.configure(|builder| builder.environment("HI_WORD", "there"));
    server.restart().await;
    let answer = acme.route(&Method::GET, "needy", "/hi", &[], "").await.expect(200);
    assert_eq!(answer.text(), "hi there");
}

#[tokio::test]
async fn a_route_with_auth_wants_a_token_of_the_organization() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "guarded", &json!({}));
    let server = TestServer::start(plugins.path()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable("guarded", json!({})).await;
    server.admin().get("/v1/workers").await.expect(200);
    let ask = async |path: &str, token: Option<&str>| {
        let named = [("x-organization-id", one.id.as_str())];
        let path = format!("/v1/plugins/guarded{path}");
        server.api(token).send(&Method::GET, &path, &named, "").await.status.as_u16()
    };
    assert_eq!(ask("/hi", None).await, 200);
    assert_eq!(ask("/inside", None).await, 401);
    assert_eq!(ask("/inside", Some("hlt_made-up")).await, 401);
    assert_eq!(ask("/inside", Some(&two.token)).await, 401);
    assert_eq!(ask("/inside", Some(&one.token)).await, 200);
    assert_eq!(ask("/inside", Some(server.admin_token())).await, 200);
}

#[tokio::test]
async fn tools_are_called_only_where_the_plugin_asks_for_the_right() {
    let plugins = PluginFolder::new();
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(() => ({ name: 'x', onStart: ({ mcp }) => mcp.startLocal('main', () => ({\n\
           listTools: () => [{ name: 'act', inputSchema: { type: 'object' } }], callTool: () => 'done' })) }));";
    for (id, scopes) in [
        ("silent", json!([])),
        ("other", json!(["org:<organizationId>:customers:read"])),
        ("asking", json!(["org:<organizationId>:mcp:invoke"])),
    ] {
        let manifest = json!({
            "id": id, "name": id, "description": "Tests", "author": "Tests", "version": "1.0.0",
            "type": ["workflow"], "entry": "./index.mjs", "capabilities": ["mcp"],
            "permissions": { "scopes": scopes },
        });
        plugins.plugin(id).file("manifest.json", manifest.to_string()).file("index.mjs", entry);
    }
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    for id in ["silent", "other", "asking"] {
        acme.enable(id, json!({})).await;
    }
    assert_eq!(text_of(acme.call_tool("asking__act", json!({})).await), "done");
    for id in ["silent", "other"] {
        let refused = acme.call_tool(&format!("{id}__act"), json!({})).await.expect(403).json();
        assert_eq!(refused["type"], "urn:hayloft:problem:tool-not-callable");
        assert!(
            refused["detail"].to_string().contains("does not ask for the right `mcp:invoke`"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn what_is_kept_alive_goes_on_while_others_are_stopped() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "kept", &json!({}));
    plugin(&plugins, "usual", &json!({}));
    let server = TestServer::builder()
        .plugins(plugins.path())
        .environment("HAYLOFT_LIMITS_IDLE", "500ms")
        .environment("HAYLOFT_PLUGIN_KEEP_ALIVE", "kept")
        .start()
        .await;
    let acme = server.organization("Acme").await;
    let workers = async || {
        let listed = server.admin().get("/v1/workers").await.expect(200).json();
        listed["workers"].as_array().unwrap().clone()
    };
    acme.enable("kept", json!({})).await;
    acme.route(&Method::GET, "kept", "/hi", &[], "").await.expect(200);
    let [kept] = &workers().await[..] else { panic!("one worker") };
    // It came later and was used later, so whoever is stopped for that would have been stopped before it.
    acme.enable("usual", json!({})).await;
    acme.route(&Method::GET, "usual", "/hi", &[], "").await.expect(200);
    until("the usual one to be stopped", async || {
        states(&acme).await.iter().any(|(id, _, state)| id == "usual" && state == "stopped")
    })
    .await;
    let [left] = &workers().await[..] else { panic!("one worker") };
    assert_eq!((&left["workerId"], &left["pid"]), (&kept["workerId"], &kept["pid"]));
    assert!(states(&acme).await.iter().any(|(id, _, state)| id == "kept" && state == "ready"));
}
