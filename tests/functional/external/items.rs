//! What MCP servers elsewhere have beside tools reaches agents like that of any other server, whether or not a worker runs.

use hayloft_testkit::McpProbe;
use serde_json::{Value, json};

use super::world::{PLUGIN, World};

async fn listed(client: &mut McpProbe, method: &str, member: &str, identity: &str) -> Vec<String> {
    let answer = client.request(method, json!({})).await;
    let list =
        answer.result()[member].as_array().unwrap_or_else(|| panic!("no {member}: {answer:?}")).clone();
    list.iter().map(|item| item[identity].as_str().expect("an identity").to_owned()).collect()
}

async fn resources(client: &mut McpProbe) -> Vec<String> {
    listed(client, "resources/list", "resources", "uri").await
}

async fn prompts(client: &mut McpProbe) -> Vec<String> {
    listed(client, "prompts/list", "prompts", "name").await
}

async fn read(client: &mut McpProbe, uri: &str) -> Value {
    client.request("resources/read", json!({ "uri": uri })).await.result()["contents"][0].clone()
}

async fn prompt(client: &mut McpProbe, name: &str, arguments: Value) -> String {
    let answer = client.request("prompts/get", json!({ "name": name, "arguments": arguments })).await;
    answer.result()["messages"][0]["content"]["text"].as_str().expect("a text").to_owned()
}

const NOTES: &str = "hayloft://hay-plugin-far/socket/notes://today";

#[tokio::test]
async fn they_are_listed_and_read_without_a_worker() {
    let mut world = World::start(
        "await mcp.startExternal({ id: 'http', url: 'http://http.outside.test/mcp' });
         await mcp.startExternal({ id: 'socket', url: 'ws://socket.outside.test/' });
         // One that has none, and one that is not there: they hide nobody else's.
         await mcp.startExternal({ id: 'simple', url: 'http://simple.outside.test/mcp' });
         await mcp.startExternal({ id: 'nobody', url: 'http://nobody.outside.test/' });",
    )
    .await;
    world.enable().await;
    world.no_worker().await;
    let check = async |client: &mut McpProbe| {
        let addresses = resources(client).await;
        assert!(addresses.iter().any(|address| address == NOTES), "{addresses:?}");
        let note = read(client, NOTES).await;
        assert_eq!(note, json!({ "uri": NOTES, "text": "buy hay" }));
        let everything: Vec<_> = addresses
            .iter()
            .filter(|address| address.starts_with("hayloft://hay-plugin-far/http/"))
            .collect();
        let first = everything.first().unwrap_or_else(|| panic!("{addresses:?}"));
        assert_eq!(read(client, first).await["uri"], first.as_str());
        let templates = listed(client, "resources/templates/list", "resourceTemplates", "uriTemplate").await;
        assert!(templates.iter().any(|template| template.starts_with("hayloft://hay-plugin-far/http/")));
        let names = prompts(client).await;
        let args =
            names.iter().find(|name| name.starts_with("far__args")).unwrap_or_else(|| panic!("{names:?}"));
        let said = prompt(client, args, json!({ "city": "Husum" })).await;
        assert!(said.contains("Husum"), "{said}");
    };
    let mut client = world.acme.mcp();
    client.open().await;
    check(&mut client).await;
    assert_eq!(world.workers().await, 0);
    // Nobody else sees them, or reads them.
    let other = world.server.organization("Other").await;
    let mut stranger = other.mcp();
    stranger.open().await;
    assert_eq!(resources(&mut stranger).await, [] as [String; 0]);
    let refused = stranger.request("resources/read", json!({ "uri": NOTES })).await;
    assert_eq!(refused.error()["code"], -32002);

    // Another run of the host finds a prompt by its name before anybody asked for a list, and starts nothing for it.
    world.server.restart().await;
    let mut client = world.acme.mcp();
    client.open().await;
    assert_eq!(prompt(&mut client, "far__begin", json!({})).await, "begin here");
    check(&mut client).await;
    assert_eq!(world.workers().await, 0);

    // What is switched off is gone.
    world.acme.put(&format!("plugins/{PLUGIN}"), &json!({ "enabled": false })).await.expect(200);
    assert_eq!(resources(&mut client).await, [] as [String; 0]);
    assert_eq!(prompts(&mut client).await, [] as [String; 0]);
    let refused = client.request("resources/read", json!({ "uri": NOTES })).await;
    assert_eq!(refused.error()["code"], -32002);
}

#[tokio::test]
async fn what_such_a_server_adds_is_told() {
    let world =
        World::start("await mcp.startExternal({ id: 'socket', url: 'ws://socket.outside.test/' });").await;
    world.enable().await;
    world.until_listed("act").await;
    let mut client = world.acme.mcp();
    client.open().await;
    assert_eq!(prompts(&mut client).await, ["far__begin"]);
    let mut notifications = client.notifications().await;
    client.call_tool("far__act", json!({ "add": "later" })).await.result();
    notifications.next_of("notifications/prompts/list_changed").await;
    assert_eq!(prompts(&mut client).await, ["far__begin", "far__later"]);
    assert_eq!(prompt(&mut client, "far__later", json!({})).await, "later here");
}

#[tokio::test]
async fn a_plugin_that_is_all_elsewhere_is_asked_without_ever_running() {
    let mut world = World::all_elsewhere("ws://socket.outside.test/", "websocket", &json!({})).await;
    let check = async |world: &World| {
        let mut client = world.acme.mcp();
        client.open().await;
        assert_eq!(prompts(&mut client).await, ["far__begin"]);
        let notes = "hayloft://hay-plugin-far/main/notes://today";
        assert_eq!(resources(&mut client).await, [notes]);
        assert_eq!(read(&mut client, notes).await["text"], "buy hay");
        assert_eq!(world.workers().await, 0);
    };
    check(&world).await;
    world.server.restart().await;
    check(&world).await;
}
