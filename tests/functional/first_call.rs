//! What a newcomer does first: switch a sample plugin on and call its tool, by REST and by MCP.

use hayloft_testkit::TestServer;
use serde_json::json;

use crate::support::examples;

#[tokio::test]
async fn a_tool_is_called_by_rest() {
    let server = TestServer::start(examples()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("hay-plugin-hello-tool", json!({})).await;
    assert_eq!(detail["state"], "ready", "{detail:#}");

    let tools = acme.get("tools").await.expect(200).json();
    assert_eq!(tools["tools"][0]["name"], "hello_tool__hello", "{tools:#}");
    assert_eq!(tools["tools"][0]["pluginId"], "hay-plugin-hello-tool");
    assert_eq!(tools["tools"][0]["serverId"], "hello");

    let result = acme.call_tool("hello_tool__hello", json!({ "name": "Ada" })).await.expect(200).json();
    assert_eq!(result["content"][0]["text"], "Hello, Ada!");
}

#[tokio::test]
async fn a_tool_is_called_by_mcp_in_every_supported_revision() {
    let server = TestServer::start(examples()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-hello-tool", json!({})).await;
    for revision in ["2025-06-18", "2025-11-25"] {
        let mut client = server.mcp(&acme.create_token("agent").await);
        let opened = client.initialize(revision).await;
        assert_eq!(opened.result()["protocolVersion"], revision);
        assert_eq!(opened.result()["capabilities"]["tools"]["listChanged"], true);
        assert_eq!(client.tool_names().await, ["hello_tool__hello"]);
        let answer = client.call_tool("hello_tool__hello", json!({ "name": "Ada" })).await;
        assert_eq!(answer.result()["content"][0]["text"], "Hello, Ada!");
    }
}

#[tokio::test]
async fn a_stdio_server_from_npm_serves_all_of_its_tools() {
    let server = TestServer::start(examples()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("hay-plugin-everything", json!({})).await;
    assert_eq!(detail["state"], "ready", "{detail:#}");

    let mut client = acme.mcp();
    client.open().await;
    let names = client.tool_names().await;
    assert!(names.contains(&"everything__echo".to_owned()), "{names:?}");
    let answer = client.call_tool("everything__echo", json!({ "message": "hi" })).await;
    assert_eq!(answer.result()["content"][0]["text"], "Echo: hi");
}

#[tokio::test]
async fn progress_of_a_long_call_reaches_the_caller() {
    let server = TestServer::start(examples()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-everything", json!({})).await;
    let mut client = acme.mcp();
    client.open().await;
    let names = client.tool_names().await;
    let long = names.iter().find(|name| name.contains("long")).expect("a long-running tool");
    let answer = client
        .request(
            "tools/call",
            json!({ "name": long, "arguments": { "duration": 1, "steps": 3 }, "_meta": { "progressToken": "t-1" } }),
        )
        .await;
    let progress: Vec<_> =
        answer.before.iter().filter(|message| message["method"] == "notifications/progress").collect();
    assert_eq!(progress.len(), 3, "{:?}", answer.before);
    assert!(progress.iter().all(|message| message["params"]["progressToken"] == "t-1"));
    assert!(answer.result()["content"][0]["text"].is_string());
}
