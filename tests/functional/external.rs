//! MCP servers elsewhere: the host reaches them itself, under the plugin's network policy, whether or not a worker runs.

use std::time::{Duration, Instant};

use hayloft_testkit::node_service::NodeService;
use serde_json::json;

use crate::support::{text_of, until, workspace_file};

mod hostile;
mod items;
mod life;
mod world;

use world::{PLUGIN, World, class, one_at};

#[tokio::test]
async fn real_servers_are_called_without_a_worker() {
    let mut world = World::start(
        "await mcp.startExternal({ id: 'http', url: 'http://http.outside.test/mcp' });
         await mcp.startExternal({ id: 'sse', url: 'http://sse.outside.test/sse' });
         await mcp.startExternal({ id: 'socket', url: 'ws://socket.outside.test/' });",
    )
    .await;
    let detail = world.enable().await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    for tool in ["act", "get-sum"] {
        world.until_listed(tool).await;
    }
    until("all servers", async || {
        let mut all = true;
        for id in ["http", "sse", "socket"] {
            all &= world.shown(id).await["connected"] == true;
        }
        all
    })
    .await;
    let listed = world.tools().await;
    // Two servers have it, and each its own name.
    let sums: Vec<_> = listed.iter().filter(|name| name.contains("get-sum")).cloned().collect();
    assert_eq!(sums.len(), 2, "{listed:?}");
    world.no_worker().await;
    let check = async |world: &World| {
        for sum in &sums {
            let said = text_of(world.acme.call_tool(sum, json!({ "a": 2, "b": 3 })).await);
            assert!(said.contains('5'), "{said}");
        }
        assert_eq!(text_of(world.call("act", json!({ "a": 1 })).await), r#"{"a":1}"#);
        assert_eq!(world.workers().await, 0);
    };
    check(&world).await;
    let mut client = world.acme.mcp();
    client.open().await;
    let answer = client.call_tool(&sums[0], json!({ "a": 20, "b": 3 })).await;
    assert!(answer.result()["content"][0]["text"].as_str().unwrap().contains("23"), "{answer:?}");

    // Another run of the host knows them, and starts nothing to call them.
    world.server.restart().await;
    assert_eq!(world.tools().await, listed);
    check(&world).await;

    // What is switched off is gone.
    world.acme.put(&format!("plugins/{PLUGIN}"), &json!({ "enabled": false })).await.expect(200);
    assert_eq!(world.tools().await, [] as [String; 0]);
    world.acme.call_tool(&sums[0], json!({})).await.expect(404);
}

#[tokio::test]
async fn a_plugin_that_is_all_elsewhere_never_runs() {
    let url = "http://simple.outside.test/mcp";
    let mut world = World::all_elsewhere(url, "http", &json!({})).await;
    world.until_listed("headers").await;
    let headers = text_of(world.call("headers", json!({})).await);
    assert!(headers.contains("simple.outside.test") && !headers.contains("authorization"), "{headers}");
    world.server.restart().await;
    text_of(world.call("headers", json!({})).await);
    assert_eq!(world.workers().await, 0);
    let detail = world.detail().await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
}

#[tokio::test]
async fn the_host_adds_what_authenticates_and_never_shows_it() {
    let mut world = World::start(
        "await mcp.startExternal({ id: 'key', url: 'http://simple.outside.test/locked',
           authHeaders: { Authorization: `Bearer ${config.get('key')}`, 'X-Own': 'own' } });
         await mcp.startExternal({ id: 'wrong', url: 'http://simple.outside.test/locked?',
           authHeaders: { Authorization: 'Bearer wrong-canary' } }).catch((error) => logger.error(String(error)));",
    )
    .await;
    world.acme.enable(PLUGIN, json!({ "key": "canary-key" })).await;
    world.until_listed("headers").await;
    world.no_worker().await;
    let said = text_of(world.call("headers", json!({})).await);
    assert!(said.contains("Bearer canary-key") && said.contains(r#""x-own":"own""#), "{said}");
    world.server.restart().await;
    assert!(text_of(world.call("headers", json!({})).await).contains("Bearer canary-key"));

    // Sealed where it lies, and nowhere to be read.
    let database = std::fs::read(world.server.data_folder().join("hayloft.db")).expect("the database");
    assert!(!String::from_utf8_lossy(&database).contains("canary-key"));
    let shown = world.acme.get(&format!("plugins/{PLUGIN}")).await.text() + &world.logs().await;
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn a_class_says_once_how_it_authenticates() {
    let register =
        r#"await this.sdk.mcp.registerRemoteMCP({ url: "http://simple.outside.test/locked", tools: [] });"#;
    let world = World::with(class(register)).await;
    world.acme.enable(PLUGIN, json!({ "key": "wrong-canary" })).await;
    let refused = "refused the credentials (HTTP 401): not with \u{2022}";
    until("the refusal", async || {
        let error = world.last_error("remote").await;
        error.contains(refused) && !error.contains("canary")
    })
    .await;
    // Other settings count at once.
    world.acme.enable(PLUGIN, json!({ "key": "canary-key" })).await;
    world.until_listed("headers").await;
    world.no_worker().await;
    assert!(text_of(world.call("headers", json!({})).await).contains("Bearer canary-key"));
    assert!(!world.logs().await.contains("canary"));
}

#[tokio::test]
async fn tls_is_spoken_with_those_who_prove_their_name() {
    let world = World::start(
        "await mcp.startExternal({ id: 'good', url: 'https://api.outside.test/mcp' });
         await mcp.startExternal({ id: 'evil', url: 'https://evil.outside.test/mcp' });",
    )
    .await;
    world.enable().await;
    world.until_listed("headers").await;
    let said = text_of(world.call("headers", json!({})).await);
    assert!(said.contains(r#""host":"api.outside.test""#), "{said}");
    let reason = "failed to agree on TLS with `evil.outside.test`";
    until("the reason", async || world.last_error("evil").await.contains(reason)).await;
}

#[tokio::test]
async fn a_dead_or_slow_server_holds_up_nobody_else() {
    let world = World::start(
        "for (const [id, url] of Object.entries({ tcp: 'http://mute.outside.test/', tls: 'https://mute.outside.test/',
           initialize: 'http://simple.outside.test/hang', nobody: 'http://nobody.outside.test/' }))
           await mcp.startExternal({ id, url });
         await mcp.startExternal({ id: 'good', url: 'http://simple.outside.test/mcp' });",
    )
    .await;
    let begun = Instant::now();
    let detail = world.enable().await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    world.acme.enable("hay-plugin-local", json!({})).await;
    world.until_listed("headers").await;
    for _ in 0..5 {
        let begun = Instant::now();
        assert!(world.tools().await.len() >= 5);
        assert!(text_of(world.call("headers", json!({})).await).contains("simple"));
        assert_eq!(text_of(world.acme.call_tool("local__act", json!({})).await), "here");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    for (server, reason) in
        [("nobody", "failed to reach `nobody.outside.test`"), ("initialize", "did not answer")]
    {
        until(reason, async || world.last_error(server).await.contains(reason)).await;
    }
}

#[tokio::test]
async fn a_call_whose_connection_dies_is_repeated_only_where_that_is_safe() {
    let world = World::start(&one_at("mcp")).await;
    world.enable().await;
    world.until_listed("write").await;
    let problem = world.call("write", json!({})).await.expect(502).json();
    assert_eq!(problem["reason"], "crashed", "{problem:#}");
    assert!(
        problem["detail"].as_str().unwrap().contains("the connection broke before the answer"),
        "{problem:#}"
    );
    assert_eq!(world.seen().await["calls"], 1);
    // The next one is answered, then the first attempt of the last one is dropped and its second answered.
    text_of(world.call("write", json!({})).await);
    let said = text_of(world.call("read", json!({})).await);
    assert!(said.contains(r#""calls":4"#), "{said}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let mut world = World::start(&one_at("mcp")).await;
    world.enable().await;
    world.until_listed("headers").await;
    text_of(world.call("headers", json!({})).await);
    let port = world.outside.announcement()["simple"].as_u64().expect("a port").to_string();
    world.outside.stop();
    // A call or two later nobody waits for it any more, and people see why. The first one may fail by itself, before the
    // session is known to be over.
    until("calls to be refused at once", async || {
        let begun = Instant::now();
        let answer = world.call("headers", json!({})).await.expect(503).json();
        let refused = answer["reason"] == "unavailable"
            && answer["detail"].as_str().unwrap().contains("simple.outside.test")
            && begun.elapsed() < Duration::from_millis(500);
        refused && world.last_error("simple").await.contains("failed to reach `simple.outside.test`")
    })
    .await;
    assert!(world.tools().await.contains(&String::from("far__headers")));
    let script = workspace_file("tests/functional/fixtures/external.cjs");
    world.outside = NodeService::start::<&str>(&script, &[], &[("SIMPLE_PORT", &port)]);
    until("an answer", async || world.call("headers", json!({})).await.status == 200).await;
    assert_eq!(world.shown("simple").await["connected"], true);
}
