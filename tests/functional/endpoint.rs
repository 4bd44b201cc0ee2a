//! The MCP endpoint under many clients, and what it refuses.

use std::collections::BTreeSet;

use futures::future::join_all;
use hayloft_testkit::{PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::{mcp_plugin, until};

const ECHO: &str = r#"{
  listTools: () => [{ name: "echo", inputSchema: { type: "object" }, "x-vendor": { deep: [1.0, 1e5] } }],
  callTool: (name, args) => ({ content: [{ type: "text", text: args.text }], "x-own": { kept: [true, null] } }),
}"#;

async fn echo_server() -> (PluginFolder, TestServer) {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-echo", ECHO);
    let server = TestServer::start(plugins.path()).await;
    (plugins, server)
}

#[tokio::test]
async fn equal_ids_in_many_sessions_never_meet() {
    let (_plugins, server) = echo_server().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-echo", json!({})).await;
    let calls = (0..40).map(|session| {
        let mut client = acme.mcp();
        async move {
            client.open().await;
            let calls = (0..25).map(|call| {
                let (client, text) = (&client, format!("{session}/{call}"));
                async move {
                    // Every session counts from the same id.
                    let params = json!({ "name": "echo__echo", "arguments": { "text": text } });
                    let answer = client.request_as(&json!(call), "tools/call", params).await;
                    assert_eq!(answer.answer["id"], call);
                    assert_eq!(answer.result()["content"][0]["text"], text);
                    text
                }
            });
            join_all(calls).await
        }
    });
    let answers: BTreeSet<_> = join_all(calls).await.into_iter().flatten().collect();
    assert_eq!(answers.len(), 1000);
}

#[tokio::test]
async fn unknown_fields_survive() {
    let (_plugins, server) = echo_server().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-echo", json!({})).await;
    let mut client = acme.mcp();
    client.open().await;
    assert_eq!(client.list_tools().await[0]["x-vendor"], json!({ "deep": [1, 100_000] }));
    let answer = client.call_tool("echo__echo", json!({ "text": "a" })).await;
    assert_eq!(answer.result()["x-own"], json!({ "kept": [true, null] }));
}

#[tokio::test]
async fn a_changed_list_is_told_to_every_client_of_the_organization() {
    let (_plugins, server) = echo_server().await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    let mut client = one.mcp();
    client.open().await;
    assert!(client.tool_names().await.is_empty());
    let mut notifications = client.notifications().await;
    two.enable("hay-plugin-echo", json!({})).await;
    one.enable("hay-plugin-echo", json!({})).await;
    notifications.next_of("notifications/tools/list_changed").await;
    assert_eq!(client.tool_names().await, ["echo__echo"]);
    one.delete("plugins/hay-plugin-echo").await.expect(200);
    notifications.next_of("notifications/tools/list_changed").await;
    assert!(client.tool_names().await.is_empty());
}

#[tokio::test]
async fn a_session_belongs_to_who_opened_it() {
    let (_plugins, server) = echo_server().await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    let mut mine = one.mcp();
    mine.open().await;
    let mut thief = two.mcp();
    thief.resume(mine.session().unwrap(), "2025-11-25");
    assert_eq!(thief.request("tools/list", json!({})).await.status, 404);
    assert_eq!(mine.request("tools/list", json!({})).await.status, 200);
    let session = mine.session().unwrap().to_owned();
    mine.end().await;
    mine.resume(&session, "2025-11-25");
    assert_eq!(mine.request("tools/list", json!({})).await.status, 404);
}

#[tokio::test]
async fn what_is_not_a_message_is_refused() {
    let (_plugins, server) = echo_server().await;
    let acme = server.organization("Acme").await;
    let mut client = acme.mcp();
    client.open().await;
    let session = client.session().unwrap().to_owned();
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}1{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let cases: Vec<(String, u16, i64)> = vec![
        ("{".into(), 400, -32700),
        (r#"{"jsonrpc":"2.0","id":1}"#.into(), 400, -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#.into(), 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#.into(), 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}"#.into(), 200, -32601),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#.into(),
            200,
            -32602,
        ),
        (deep, 400, -32600),
    ];
    for (body, status, code) in cases {
        let answer = client.post_raw(body.clone(), &[("mcp-session-id", &session)]).await;
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        assert_eq!(
            (answer.status.as_u16(), json["error"]["code"].as_i64()),
            (status, Some(code)),
            "{:.80}: {}",
            body,
            answer.text()
        );
    }
    client.request("ping", json!({})).await.result();
}

#[tokio::test]
async fn a_stranger_host_or_origin_is_refused() {
    let (_plugins, server) = echo_server().await;
    let acme = server.organization("Acme").await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": { "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    let headers = |extra: (&'static str, &'static str)| {
        vec![("content-type", "application/json"), ("accept", "application/json, text/event-stream"), extra]
    };
    for (extra, status) in [
        (("x-control", "1"), 200),
        (("origin", "https://evil.example"), 403),
        (("origin", "null"), 403),
        (("host", "evil.example"), 403),
    ] {
        let answer = acme.api.send(&Method::POST, "/v1/mcp", &headers(extra), body.to_string()).await;
        assert_eq!(answer.status, status, "{extra:?}: {}", answer.text());
    }
    let nobody =
        server.api(None).send(&Method::POST, "/v1/mcp", &headers(("x-control", "1")), body.to_string()).await;
    assert_eq!(nobody.status, 401);
    assert!(nobody.header("www-authenticate").is_some());
}

#[tokio::test]
async fn a_cancelled_call_is_let_go() {
    let plugins = PluginFolder::new();
    let tool = r#"{
      listTools: () => [{ name: "wait", inputSchema: { type: "object" } }],
      callTool: (name, args, extra) => new Promise((resolve) => {
        ctx.logger.info("waiting");
        extra.signal.addEventListener("abort", () => { ctx.logger.info("let go"); resolve("late"); });
      }),
    }"#;
    mcp_plugin(&plugins, "hay-plugin-wait", tool);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-wait", json!({})).await;
    let logs = async || acme.get("plugins/hay-plugin-wait/logs").await.text();
    let mut client = acme.mcp();
    client.open().await;
    let id = json!("c-1");
    let call = client.request_as(&id, "tools/call", json!({ "name": "wait__wait", "arguments": {} }));
    let cancel = async {
        until("the call to arrive", async || logs().await.contains("waiting")).await;
        client
            .notify("notifications/cancelled", json!({ "requestId": "c-1", "reason": "changed my mind" }))
            .await;
        until("the plugin to hear of it", async || logs().await.contains("let go")).await;
    };
    // Whether a cancelled request is answered is the server's choice; that the plugin is told is what counts.
    let call = async {
        call.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = cancel => {}
        () = call => {}
    }
}
